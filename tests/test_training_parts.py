"""Augmentation, order of the images, schedules, loss scaling: each against what it promises."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import torch

from magface_al.command.errors import UserError
from magface_al.faces.class_numbers import number_identities
from magface_al.faces.drawn.people import draw_people, draw_person
from magface_al.faces.identities import identity_lines
from magface_al.faces.recordio import RecordFile, images_by_label, pack, write_records
from magface_al.faces.sources import HeldSource
from magface_al.faces.training_set import TrainingSet
from magface_al.models.checkpoint import new_backbone
from magface_al.training.augment import LUMINANCE_BGR, augment, cropped, low_resolution, photometric
from magface_al.training.batches import FaceReader, rows_of_epoch
from magface_al.training.loss_scale import GROWTH_INTERVAL, LossScale
from magface_al.training.recipe import Augmentation, TrainingRecipe
from magface_al.training.schedules import average, warmup_linear, warmup_multistep
from magface_al.training.tensorboard import open_events
from magface_al.training.trainer import Trainer

FACE = draw_person(1, 2, 3)


def test_a_crop_keeps_a_rectangle_in_its_place_and_blackens_the_rest():
    shares = []
    face = np.maximum(FACE, 1)
    for seed in range(200):
        kept = cropped(face, np.random.default_rng(seed))
        rows, columns = np.flatnonzero(kept.any((1, 2))), np.flatnonzero(kept.any((0, 2)))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        assert np.array_equal(kept[box], face[box])
        assert np.count_nonzero(kept) == kept[box].size
        height, width = kept[box].shape[:2]
        assert (0.74 < width / height < 1.35) or (height, width) == (112, 112)
        shares.append(height * width / 112**2)
    assert 0.19 < min(shares) < 0.25
    assert max(shares) <= 1


def test_low_resolution_loses_detail_and_keeps_the_size():
    for seed in range(20):
        small = low_resolution(FACE, np.random.default_rng(seed))
        assert small.shape == FACE.shape
        assert small.dtype == np.uint8
    edges = [
        np.abs(np.diff(face.astype(int), axis=0)).mean()
        for face in (FACE, low_resolution(FACE, np.random.default_rng(0)))
    ]
    assert edges[1] < edges[0]


def test_photometric_changes_follow_their_formulas():
    class Fixed:
        """Brightness 1.5, contrast 0.5, saturation 1.25, in this order."""

        factors = iter([1.5, 0.5, 1.25])

        def permutation(self, count):
            return np.arange(count)

        def uniform(self, low, high):
            return next(self.factors)

    pixels = np.clip(FACE.astype(float) * 1.5, 0, 255)
    mean = (pixels @ LUMINANCE_BGR).mean()
    pixels = np.clip(mean + 0.5 * (pixels - mean), 0, 255)
    grey = (pixels @ LUMINANCE_BGR)[..., None]
    pixels = np.clip(grey + 1.25 * (pixels - grey), 0, 255)
    assert np.abs(photometric(FACE, Fixed()).astype(float) - pixels).max() <= 0.51


def test_augmentation_happens_as_often_as_asked_and_follows_the_seed():
    always, never = Augmentation(mirror=1.0), Augmentation(mirror=0.0)
    assert np.array_equal(augment(FACE, always, np.random.default_rng(0)), FACE[:, ::-1])
    assert np.array_equal(augment(FACE, never, np.random.default_rng(0)), FACE)
    often = Augmentation(crop=0.2, low_resolution=0.2, photometric=0.2, mirror=0.5)
    changed = [not np.array_equal(augment(FACE, often, np.random.default_rng(k)), FACE) for k in range(600)]
    assert np.mean(changed) == pytest.approx(1 - 0.8**3 * 0.5, abs=0.06)
    assert np.array_equal(*(augment(FACE, often, np.random.default_rng(5)) for _ in range(2)))


def test_processes_share_a_step_whose_images_do_not_depend_on_their_number():
    alone = rows_of_epoch(103, 24, 1, 0, 1, seed=1, epoch=2)
    shared = [rows_of_epoch(103, 24, 3, part, 2, seed=1, epoch=2) for part in range(3)]
    assert alone.shape == (4, 1, 24)
    assert shared[0].shape == (4, 2, 4)
    for step in range(4):
        assert sorted(alone[step].ravel()) == sorted(np.concatenate([part[step].ravel() for part in shared]))
    assert len(set(alone.ravel())) == 96
    assert not np.array_equal(alone, rows_of_epoch(103, 24, 1, 0, 1, seed=1, epoch=3))


def test_rates_drop_at_the_milestones_of_all_finished_epochs():
    rates = [warmup_multistep(step, 250, 0.04, [100, 180, 220], 0.1) for step in range(250)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert [rates[k] for k in (10, 99, 100, 179, 180, 219, 220, 249)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3])  # fmt: skip
    line = [warmup_linear(step, 100, 0.1) for step in range(100)]
    assert np.diff(line[10:]) == pytest.approx(-1 / 90)
    assert (line[9], line[10]) == (1, 1)


def test_averaging_is_the_moving_average():
    mean, model = (torch.nn.BatchNorm1d(2) for _ in range(2))
    expected = mean.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            model.weight.fill_(float(step))
            model.num_batches_tracked += 1
        average(mean, model, 0.8, step)
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert torch.allclose(mean.weight, expected)
    assert int(mean.num_batches_tracked) == 30


def test_the_loss_scale_halves_at_an_overflow_and_doubles_after_a_good_while():
    scale = LossScale(enabled=True)
    scale.update(False)
    assert scale.factor == 2.0**15
    for _ in range(GROWTH_INTERVAL):
        scale.update(True)
    assert scale.factor == 2.0**16
    copy = LossScale(enabled=True)
    copy.load_state_dict(scale.state_dict())
    assert vars(copy) == vars(scale)
    plain = LossScale(enabled=False)
    plain.update(False)
    assert plain.factor == 1


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


def test_identities_are_numbered_in_order_and_gaps_are_told():
    labels, classes, notes = number_identities(["10", "2", "10", "5"], None)
    assert (labels.tolist(), classes) == ([2, 0, 2, 1], ["2", "5", "10"])
    assert notes == ["8 of the ids 0 to 10 have no image; the others are numbered without gaps (first: 0)"]
    assert number_identities(["0", "1", "2"], None)[2] == []
    labels, classes, notes = number_identities(["b", "10", "2"], None)
    assert (labels.tolist(), classes, notes) == ([2, 0, 1], ["10", "2", "b"], [])
    labels, classes, notes = number_identities(["3", "0"], 5)
    assert (labels.tolist(), len(classes)) == ([3, 0], 5)
    assert "2 of the ids 0 to 3 have no image and stay in the classifier (first: 1)" in notes


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="TensorBoard is not installed; pip install"):
        open_events(tmp_path, wanted=True)
    open_events(tmp_path, wanted=False).add("train", {"loss": 1.0}, 1)
    assert not list(tmp_path.iterdir())


def test_a_list_is_read_line_by_line(tmp_path):
    (tmp_path / "l").write_text("a b\n\nc 0 d 0\n")
    assert list(identity_lines(tmp_path / "l")) == [(1, "a", "b"), (3, "c", "d")]


def test_ranges_that_float32_cannot_hold_are_not_trusted(tmp_path):
    """From 16.7 million images on, InsightFace's key ranges are rounded; labels of the images themselves are right."""
    payloads = {key: pack((float(key % 2),), key, b"jpeg") for key in (1, 2, 3)}
    payloads |= {0: pack((2.0**24 + 2, 2.0**24 + 4), 0, b""), 2**24 + 2: pack((1.0, 2.0**24), 2**24 + 2, b"")}
    write_records(tmp_path / "t.rec", payloads)
    with RecordFile(tmp_path / "t.rec") as records:
        assert images_by_label(records) == {0: [2], 1: [1, 3]}
