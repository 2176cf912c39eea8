"""A backbone is added in one table."""

from __future__ import annotations

import pytest
import torch

import finetune_on_feedback
import gen_features
import train
from magface_al.command.errors import UserError
from magface_al.models.architectures import ARCHITECTURES, TRAINABLE, Architecture
from magface_al.models.backbones import build_backbone, trainable_modules
from magface_al.models.layouts import read_layout


@pytest.fixture
def narrow(monkeypatch):
    """A seventh: iResNet-18 at an eighth of its width."""
    options = {"blocks": (2, 2, 2, 2), "widths": (8, 16, 32, 64), "embedding_size": 32}
    monkeypatch.setitem(ARCHITECTURES, "iresnet_narrow", Architecture("iresnet", options))


@pytest.mark.parametrize("script", [gen_features, train])
def test_a_new_architecture_is_in_the_help(narrow, script):
    assert "mobilefacenet,iresnet_narrow}" in script.build_parser().format_help()


def test_a_new_architecture_is_built_found_in_a_file_and_listed(narrow, tmp_path):
    state = build_backbone("iresnet_narrow").state_dict()
    assert (
        read_layout(tmp_path / "w.pth", {f"module.{key}": value for key, value in state.items()}).arch
        == "iresnet_narrow"
    )
    with pytest.raises(UserError, match="of no known architecture .*mobilefacenet, iresnet_narrow"):
        read_layout(tmp_path / "w.pth", {"a.weight": torch.zeros(2, 2, 3, 3)})


def test_the_parts_that_can_be_trained_are_in_one_table(monkeypatch):
    monkeypatch.setitem(TRAINABLE, "ends", "ENDS")
    assert "--trainable {all,last_stage,head,ends}" in finetune_on_feedback.build_parser().format_help()
    model = build_backbone("iresnet_tiny")
    monkeypatch.setattr(type(model), "ENDS", ("conv1", "fc"), raising=False)
    assert trainable_modules(model, "ends") == [model.conv1, model.fc]
    assert trainable_modules(model, "all") == [model]
    assert trainable_modules(model, "head") == [model.bn2, model.fc, model.features]
    assert trainable_modules(model, "last_stage") == [model.layer4, model.bn2, model.fc, model.features]
