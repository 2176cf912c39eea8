"""What a comparison may claim. The two models are equally good here: each sees the truth through noise of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magface_al.evaluation.before_after import Comparison, flipped_pairs
from magface_al.evaluation.verdict import judge
from magface_al.metrics.roc import Figures
from magface_al.pairs.chosen import is_mined
from magface_al.pairs.pair_file import Pair

PATH = Path("pairs.json")
GENUINE, IMPOSTOR = 2000, 18000


def population(seed=0):
    """(same, before, after) of all pairs; nothing but the noise differs."""
    rng = np.random.default_rng(seed)
    same = np.arange(GENUINE + IMPOSTOR) < GENUINE
    truth = np.where(same, 0.6, 0.1) + rng.normal(0, 0.1, len(same))
    return same, truth + rng.normal(0, 0.15, len(same)), truth + rng.normal(0, 0.15, len(same))


def compared(rows, extras, gain=0.0, resamples=100):
    """A comparison of these rows of the population, everybody in one pair only; the genuine pairs gain a little."""
    same, before, after = population()
    pairs = [
        Pair(
            f"{k}a",
            f"{k}b",
            int(same[k]),
            {"identity1": f"{k}a", "identity2": f"{k}{'a' if same[k] else 'b'}", **extra},
        )
        for k, extra in zip(rows.tolist(), extras, strict=True)
    ]
    return Comparison(pairs, before[rows], after[rows] + gain * same[rows], 0.4, seed=1, resamples=resamples)


def hardest(count):
    same, before, _ = population()
    genuine, impostor = np.flatnonzero(same), np.flatnonzero(~same)
    return np.concatenate(
        [genuine[np.argsort(before[genuine])[:count]], impostor[np.argsort(-before[impostor])[:count]]]
    )


def at_random(count, seed=1):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(GENUINE, count, False), GENUINE + rng.choice(IMPOSTOR, count, False)])


def drawn_slice(each, seed=0):
    """Rows of strata of the old similarity, `each` of every one, and what a pairs file says of them."""
    same, before, _ = population()
    strata = np.digitize(before, [0.2, 0.4, 0.6])
    rows, extras = [], []
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        rows.append(np.random.default_rng([seed, int(stratum)]).choice(members, each, False))
        share = each / len(members)
        extras += [{"strategy": "random_slice", "holdout": True, "inclusion_probability": share}] * each
    return np.concatenate(rows), extras


def test_equally_good_models_seem_far_apart_on_pairs_that_errors_chose_and_get_no_verdict():
    rows = hardest(200)
    found = judge(PATH, compared(rows, [{"strategy": "exact"}] * len(rows)))
    assert found.whole.change()["eer"] < -0.2  # what used to be printed as the gain
    assert found.whole.change_intervals()["eer"][1] < 0
    assert found.verdict() is None
    assert found.conclusion().startswith("no verdict: no pairs drawn at random, expected at least 10 of each kind")
    warning = "400 of 400 pairs were chosen by a model's errors (strategy exact): the change below overstates the gain, so there is no verdict on it"
    assert found.tables().startswith(f"pairs.json: {warning}\n")
    written = found.as_dict()
    assert (written["title"], written["chosen_by_errors"]) == (f"pairs.json: {warning}", 400)
    assert (written["verdict"], written["drawn_at_random"]) == (None, None)


@pytest.mark.parametrize(("gain", "verdict"), [(0, "no improvement shown"), (0.2, "better"), (-0.2, "worse")])
def test_pairs_drawn_at_random_get_a_verdict(gain, verdict):
    rows = at_random(300)
    found = judge(PATH, compared(rows, [{"strategy": "random"}] * len(rows), gain=gain))
    assert found.honest is found.whole
    assert found.conclusion().startswith(f"verdict: {verdict}: EER ")
    assert found.conclusion().endswith("on 600 pairs (300 same, 300 different)")
    assert found.title(found.whole) == "pairs.json"


def test_the_part_that_was_drawn_at_random_is_judged_on_its_own():
    chosen, drawn = hardest(100), at_random(100)
    whole = compared(np.concatenate([chosen, drawn]), [{"strategy": "hardest"}] * len(chosen) + [{}] * len(drawn))
    found = judge(PATH, whole)
    assert found.warning.startswith("200 of 400 pairs were chosen by a model's errors (strategy hardest)")
    assert found.best is found.honest
    assert found.verdict().startswith("no improvement shown")
    assert "pairs.json: its 200 pairs (100 same, 100 different) drawn at random\n" in found.tables()
    assert found.as_dict()["drawn_at_random"]["pairs"] == 200
    assert found.as_dict()["chosen_by_errors"] == 200


def test_a_slice_is_weighed_for_its_strata_are_of_the_old_models_making():
    same, before, after = population()
    samples = [compared(*drawn_slice(200, seed), resamples=20) for seed in range(40)]
    for name in ("fmr", "fnmr"):
        for scores, figures in ((before, "figures_before"), (after, "figures_after")):
            mean = np.mean([getattr(sample, figures)[name] for sample in samples])
            assert mean == pytest.approx(Figures(scores, same, 0.4)()[name], rel=0.1), (name, figures)
    verdicts = [judge(PATH, sample).verdict() for sample in samples]
    assert np.mean([verdict.startswith("no improvement shown") for verdict in verdicts]) > 0.8
    rows, extras = drawn_slice(200, seed=0)
    assert compared(rows, [{}] * len(rows)).change()["fmr"] < -0.1  # each counted once: of models that do not differ
    assert samples[0].best_thresholds() == (None, None)


def test_a_few_pairs_drawn_at_random_are_no_ground_for_a_verdict():
    rows = at_random(9)
    found = judge(PATH, compared(rows, [{}] * len(rows)))
    assert found.verdict() is None
    assert found.conclusion().startswith("no verdict: 18 pairs (9 same, 9 different) drawn at random")


def test_random_slices_and_other_pairs_are_no_one_sample():
    rows, extras = drawn_slice(50)
    more = np.setdiff1d(at_random(20), rows)
    found = judge(PATH, compared(np.concatenate([rows, more]), [*extras, *[{"strategy": "random"}] * len(more)]))
    assert found.warning.startswith("pairs of random slices and others are no one sample")
    assert len(found.honest.pairs) == len(rows)
    assert ", each weighed by how many it stands for" in found.tables()


def test_flipped_pairs_are_no_random_sample_whatever_they_come_from():
    rows = at_random(300)
    fixed, broken = flipped_pairs(compared(rows, [{"strategy": "random"}] * len(rows)))
    assert len(fixed) > 10
    assert len(broken) > 10
    assert all(map(is_mined, [*fixed, *broken]))
