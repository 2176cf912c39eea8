"""TensorBoard where it is and where it is not."""

from __future__ import annotations

import sys

import pytest

from magface_al.command.errors import UserError
from magface_al.training.tensorboard import open_events


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(
        UserError,
        match=r"tensorboard is not installed and is needed for --tensorboard: pip install .*'\.\[tensorboard\]'",
    ):
        open_events(tmp_path, wanted=True)
    open_events(tmp_path, wanted=False).add("train", {"loss": 1.0}, 1)
    assert not list(tmp_path.iterdir())
