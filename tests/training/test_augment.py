"""Augmentation against what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.faces.drawn.people import draw_person
from magface_al.training.augment import LUMINANCE_BGR, augment, cropped, low_resolution, photometric
from magface_al.training.recipe import Augmentation

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
