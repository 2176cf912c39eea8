"""Which input convention is recommended: none on a tie, and another one only where its gain is no chance."""

from __future__ import annotations

import re

import numpy as np
import pytest

from magface_al.evaluation import presets
from magface_al.evaluation.presets import TriedPreset, advice
from magface_al.pairs.pair_file import SAME, Pair


def tried(pairs, **similarities):
    """Presets of those names and similarities, best first as try_presets gives them."""
    same = np.array([pair.label == SAME for pair in pairs])
    found = [TriedPreset(name, pairs, same, np.asarray(scores, float)) for name, scores in similarities.items()]
    return sorted(found, key=lambda preset: -preset.row()[0])


def people(count):
    """A same pair of each of `count` people, and a different pair of each and the next."""
    same = [Pair(f"{k}a", f"{k}b", 1, {"identity1": str(k), "identity2": str(k)}) for k in range(count)]
    next_one = [Pair(f"{k}a", f"{(k + 1) % count}b", 0, {"identity1": str(k), "identity2": str((k + 1) % count)}) for k in range(count)]  # fmt: skip
    return same + next_one


def test_nothing_is_said_on_an_exact_tie():
    pairs = people(20)
    scores = np.random.default_rng(0).normal(size=40) / 10
    for in_use in ("one", "two"):
        assert advice(tried(pairs, one=scores, two=scores / 2), in_use) is None


def test_nothing_is_said_when_the_convention_in_use_is_best():
    pairs = people(20)
    assert advice(tried(pairs, good=[0.8] * 20 + [0.1] * 20, bad=[0.1] * 40), "good") is None


def test_a_clear_gain_is_recommended_with_its_interval():
    pairs, rng = people(60), np.random.default_rng(0)
    good, bad = np.r_[np.full(60, 0.8), np.full(60, 0.1)], rng.normal(size=120) / 5
    found = tried(pairs, good=good, bad=bad)
    said = advice(found, "bad")
    difference, low, high = map(float, re.findall(r"[-+]?\d\.\d{4}", said))
    assert difference == pytest.approx(1 - found[1].row()[0], abs=1e-4)
    assert 0 < low < difference < high
    assert said.endswith("consider --preprocessing good in every stage")


def test_a_gain_that_one_pair_makes_may_be_chance():
    pairs = people(30)
    own = np.r_[np.full(29, 0.8), 0.0, np.full(30, 0.1)]
    said = advice(tried(pairs, other=np.r_[np.full(30, 0.8), np.full(30, 0.1)], own=own), "own")
    assert "its AUC is 0.0333 higher than own's" in said
    assert said.endswith("which may be chance")
    assert "consider" not in said


def test_the_script_tries_every_preset_and_keeps_quiet_on_a_tie(run_script, faces, tiny_checkpoint, write_pairs_file):
    """Drawn faces whose two kinds of pairs are far apart: identical images against those of different people."""
    names = [str(faces / f"person_{k:02d}" / "0.png") for k in range(8)]
    same = [{"image1": name, "image2": name, "label": 1} for name in names]
    different = [{"image1": a, "image2": b, "label": 0} for a, b in zip(names, names[1:], strict=False)]
    path = write_pairs_file({"pairs": same + different})
    done = run_script("inspect_checkpoint.py", "--checkpoint", tiny_checkpoint, "--feedback_file", path, "--force_cpu")
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r" +\S+ +1\.0000 +0\.00%", line)]
    assert {row[0] for row in rows} == set(presets.PRESETS)
    assert "told apart best as" not in done.stderr
    assert "<- in use" in done.stdout
