"""Several processes, one model: what torchrun starts, seen from inside one of them. Alone, every function is the identity."""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import distributed as dist

from magface_al.command.errors import UserError
from magface_al.command.surroundings import launched
from magface_al.models.device import pick_device

Result = TypeVar("Result")


def together(work: Callable[[torch.device], Result], choice: str, force_cpu: bool, meeting: str = "env://") -> Result:
    """Join the other processes if torchrun started this one, do the work on this process's device, and leave them again.

    GPUs talk through NCCL, CPUs through gloo; meeting is where the processes find each other (torchrun's own by default).
    Raises what the work raises, and UserError for more processes on this machine than it has GPUs.

    The order of leaving matters: a process group that is destroyed while a DistributedDataParallel is alive aborts the
    process (SIGABRT). So the work is a function, whose locals are gone when it ends; after an error they would live on in
    the traceback's frames, which are emptied.
    """
    device = _join(choice, force_cpu, meeting)
    try:
        return work(device)
    except BaseException as error:
        _forget_locals(error)
        raise
    finally:
        if dist.is_initialized():
            gc.collect()  # DistributedDataParallel refers to itself
            dist.destroy_process_group()


def _join(choice: str, force_cpu: bool, meeting: str) -> torch.device:
    processes = launched("WORLD_SIZE", 1, least=1)
    if processes == 1:
        return pick_device(choice, force_cpu)
    needed = ("RANK", "LOCAL_RANK", *(("MASTER_ADDR", "MASTER_PORT") if meeting == "env://" else ()))
    if absent := [name for name in needed if not os.environ.get(name, "").strip()]:
        raise UserError(
            f"started as one of {processes} processes (WORLD_SIZE) without {', '.join(absent)}: start it with torchrun, which "
            "sets them, or unset WORLD_SIZE"
        )
    local, here = launched("LOCAL_RANK", 0), launched("LOCAL_WORLD_SIZE", 1, least=1)
    cuda = torch.cuda.is_available() and not force_cpu and choice != "cpu"
    if cuda and here > torch.cuda.device_count():
        raise UserError(
            f"{here} processes on this machine, but {torch.cuda.device_count()} GPUs; "
            "give torchrun --nproc_per_node as many, or train.py --force_cpu"
        )
    device = pick_device(f"cuda:{local}" if cuda else "cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if cuda else "gloo",
        meeting,
        rank=launched("RANK", 0),
        world_size=processes,
        device_id=device if cuda else None,
    )
    return device


def _forget_locals(error: BaseException) -> None:
    """Empty the frames of an error and of those that led to it; the lines that a traceback shows stay."""
    found: BaseException | None = error
    while found is not None:
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__ or found.__context__


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier()


def share_of(count: int, place: int, parts: int) -> tuple[int, int]:
    """(first, one past the last) of the items that part `place` of `parts` holds; the first parts take the remainder."""
    size, remainder = divmod(count, parts)
    first = place * size + min(place, remainder)
    return first, first + size + (place < remainder)


def mean_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """The mean of a small tensor over the processes, without gradient."""
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= world_size()
    return values


def all_true(flag: bool, device: torch.device) -> bool:
    """Whether a condition holds on every process."""
    if world_size() == 1:
        return flag
    value = torch.tensor(int(flag), device=device)
    dist.all_reduce(value, dist.ReduceOp.MIN)
    return bool(value)


def gather(values: torch.Tensor) -> torch.Tensor:
    """Tensors [B, ...] of one shape -> [world B, ...] in rank order, without gradient."""
    if world_size() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def gather_shards(shard: torch.Tensor, count: int) -> torch.Tensor | None:
    """Shards as `share_of` cuts them -> the whole [count, ...] on rank 0's CPU; None on the others.

    One shard at a time travels, so that no process needs memory for the whole on its device.
    """
    if world_size() == 1:
        return shard.detach().cpu()
    if rank() > 0:
        dist.send(shard.detach().contiguous(), 0)
        return None
    parts = [shard.detach().cpu()]
    for other in range(1, world_size()):
        first, last = share_of(count, other, world_size())
        part = shard.new_empty(last - first, *shard.shape[1:])
        dist.recv(part, other)
        parts.append(part.cpu())
    return torch.cat(parts)


def gather_objects(value: Result) -> list[Result]:
    """One small picklable value from each process, in rank order."""
    values = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values
