"""Several processes seen from inside one, and one alone; test_split_fc.py has several for real."""

from __future__ import annotations

import pytest
import torch
from torch import distributed as dist

from magface_al.command.errors import UserError
from magface_al.training import distributed


@pytest.mark.parametrize(("count", "parts"), [(11, 4), (3, 4), (8, 2), (0, 3)])
def test_shares_cover_everything_once_and_differ_by_one_at_most(count, parts):
    shares = [distributed.share_of(count, place, parts) for place in range(parts)]
    assert [number for first, last in shares for number in range(first, last)] == list(range(count))
    sizes = [last - first for first, last in shares]
    assert max(sizes) - min(sizes) <= 1


def test_the_first_parts_take_the_remainder():
    assert [distributed.share_of(11, place, 4) for place in range(4)] == [(0, 3), (3, 6), (6, 9), (9, 11)]
    assert [distributed.share_of(2, place, 3) for place in range(3)] == [(0, 1), (1, 2), (2, 2)]


def test_alone_every_function_is_the_identity(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    values = torch.arange(6.0).reshape(3, 2)

    def work(device):
        assert not dist.is_initialized()
        assert (distributed.rank(), distributed.world_size()) == (0, 1)
        distributed.barrier()
        assert distributed.mean_over_ranks(values) is values
        assert distributed.gather(values) is values
        assert torch.equal(distributed.gather_shards(values.requires_grad_(), 3), values)
        assert distributed.gather_objects({"a": 1}) == [{"a": 1}]
        assert distributed.all_true(True, device)
        assert not distributed.all_true(False, device)
        return device

    assert distributed.together(work, "auto", True) == torch.device("cpu")


def test_alone_what_the_work_raises_comes_out(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(KeyboardInterrupt):
        distributed.together(lambda device: (_ for _ in ()).throw(KeyboardInterrupt), "cpu", True)


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        ({"RANK": "0", "LOCAL_RANK": "0"}, "MASTER_ADDR, MASTER_PORT"),
        ({"RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}, "LOCAL_RANK"),
    ],
)
def test_one_of_several_that_no_launcher_started_is_refused(monkeypatch, given, absent):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WORLD_SIZE": "2", **given}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"one of 2 processes .WORLD_SIZE. without {absent}: start it with torchrun"):
        distributed.together(lambda device: None, "cpu", True)


@pytest.mark.parametrize("size", ["", " 1", "01"])
def test_one_process_is_alone_however_it_is_written(monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    assert distributed.together(lambda device: distributed.world_size(), "cpu", True) == 1
