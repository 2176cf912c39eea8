"""Device, precision and seeds."""

from __future__ import annotations

import contextlib
import ctypes
import sys

import torch

from magface_al.command.errors import UserError
from magface_al.command.numbers import is_whole
from magface_al.models.precisions import PRECISIONS


def pick_device(choice: str, force_cpu: bool = False) -> torch.device:
    """ "auto" (a GPU when there is one), "cpu", "cuda" or "cuda:N" -> device. Raises UserError for a GPU that is not there."""
    if force_cpu or choice == "cpu" or (choice == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if choice == "auto":
        return torch.device("cuda")
    if choice.split(":")[0] != "cuda":
        raise UserError(f"--device {choice}: expected auto, cpu, cuda or cuda:N")
    number = choice.partition(":")[2] or "0"
    if not is_whole(number) or int(number) >= torch.cuda.device_count():
        raise UserError(
            f"--device {choice}: {torch.cuda.device_count()} CUDA devices are visible; use --force_cpu, or check nvidia-smi"
        )
    return torch.device("cuda", int(number))


def device_name(device: torch.device) -> str:
    """For the screen and the manifest: the GPU's name, or "cpu (N threads)"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({torch.get_num_threads()} threads)"


def mixed_precision(device: torch.device, precision: str = "auto") -> contextlib.AbstractContextManager[object]:
    """Autocast as a precision of PRECISIONS says. auto: bfloat16 on a GPU, nothing on the CPU.

    bfloat16 has float32's range, so gradients need no scaling; float16 needs it.
    """
    chosen = PRECISIONS[precision]
    number = chosen.gpu if device.type == "cuda" else chosen.cpu
    return torch.autocast(device.type, dtype=getattr(torch, number)) if number else contextlib.nullcontext()


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed memory instead of handing it back to the kernel after every layer of a network.

    Activations are large, so by default each one is mapped and zeroed anew; on two CPU cores that took half of the
    time of a forward pass, and more of a training step. The price is a heap with holes, so only what runs networks asks
    for it: a pass over all pairs would grow to gigabytes. Where the C library is another one nothing happens.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of mallopt(3)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
