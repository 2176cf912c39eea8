"""A step of training: overflows, infinities, parts that add up."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from magface_al.faces.drawn.people import draw_people
from magface_al.faces.sources import HeldSource
from magface_al.faces.training_set import TrainingSet
from magface_al.models.checkpoint import new_backbone
from magface_al.training.batches import FaceReader
from magface_al.training.loss_scale import LossScale
from magface_al.training.recipe import TrainingRecipe
from magface_al.training.trainer import Trainer


def trainer_of(**choices):
    """A tiny network on the faces of four drawn people, one step an epoch."""
    images = [cv2.imencode(".png", face)[1].tobytes() for _, _, face in draw_people(4, 2, seed=1)]
    data = TrainingSet([HeldSource("drawn", images, np.arange(8) // 2)])
    recipe = TrainingRecipe(epochs=50, batch_size=8, lr=0.001, **choices)
    reader = FaceReader(data, 112, recipe.augmentation, 0, 1, 0.0)
    start = new_backbone("iresnet_tiny", "magface", 0)
    return Trainer(start.model, start.preprocessing, reader, recipe, torch.device("cpu"))


def snapshot(trainer):
    return [tensor.clone() for part in (trainer.model, trainer.classifier) for tensor in part.state_dict().values()
            if tensor.is_floating_point()]  # fmt: skip


def test_an_overflow_of_scaled_gradients_costs_a_step_and_nothing_else():
    """float16's own range takes ten seconds a step on a CPU, so the scale is set where float32's range ends."""
    trainer = trainer_of(head="adaface")
    trainer.loss_scale = LossScale(enabled=True)
    trainer.loss_scale.factor = 2.0**126
    before, skipped = snapshot(trainer), 0
    for epoch in range(1, 20):
        figures = next(trainer.epoch(epoch))
        if not figures["skipped"]:
            break
        skipped += 1
        assert all(torch.equal(a, b) for a, b in zip(before, snapshot(trainer), strict=True))
    assert 0 < skipped == trainer.skipped < 19
    assert trainer.loss_scale.factor == 2.0 ** (126 - skipped)
    after = snapshot(trainer)
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.isfinite(tensor).all() for tensor in after)


def test_infinite_activations_do_not_reach_the_running_statistics():
    trainer = trainer_of()
    slope = trainer.model.layer1[0].prelu.weight
    good = slope.detach().clone()
    with torch.no_grad():
        slope.fill_(torch.nan)
    before = snapshot(trainer)
    assert next(trainer.epoch(1))["skipped"] == 1
    with torch.no_grad():
        slope.copy_(good)
        before = [
            torch.where(torch.isnan(tensor), good, tensor) if tensor.shape == good.shape else tensor
            for tensor in before
        ]
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(trainer), strict=True))
    assert next(trainer.epoch(2))["skipped"] == 0


def test_parts_of_a_step_add_up_to_the_step():
    whole, parts = (
        trainer_of(batch_norm="frozen", dropout=0.0),
        trainer_of(batch_norm="frozen", dropout=0.0, accumulate=4),
    )
    assert next(parts.epoch(1))["loss"] == pytest.approx(next(whole.epoch(1))["loss"], rel=1e-5)
    for a, b in zip(snapshot(whole), snapshot(parts), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)
