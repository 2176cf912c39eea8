"""Two models on the same pairs: figures before and after, and how sure the change is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.run import Run
from magface_al.embedding.model_flags import ModelChoice
from magface_al.embedding.pair_scores import score_pairs
from magface_al.metrics import bootstrap
from magface_al.metrics.roc import LABELS, Figures, best_threshold, percent
from magface_al.pairs.chosen import FLIPPED, in_random_slice, mined, pairs_it_stands_for, picked_for_errors
from magface_al.pairs.pair_file import SAME, Pair, describe, read_pairs
from magface_al.pairs.people import pair_identities

MAX_EER_RISE = 0.01  # on ordinary faces; one percentage point more and the change is called harm
TRAINED_ON = "people_trained_on"  # top-level key of a pairs file: true where fine-tuning was shown people of its pairs
Values = dict[str, float | None]
Limits = dict[str, tuple[float, float] | None]


class Comparison:
    """Similarities before and after, float32 [N], of N labelled pairs. Both are resampled together (paired bootstrap).

    left_out: how many pairs could not be scored. weight float [N]: of how many pairs each is the sample, where all of them
    were drawn for random slices; None where each counts as one. trained_on: their file says that their people were.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        before: np.ndarray,
        after: np.ndarray,
        threshold: float,
        seed: int,
        resamples: int,
        left_out: int = 0,
        trained_on: bool = False,
    ) -> None:
        self.left_out, self.trained_on = left_out, trained_on
        self.pairs, self.before, self.after, self.threshold = pairs, before, after, threshold
        self.seed, self.resamples = seed, resamples
        self.same = np.array([pair.label == SAME for pair in pairs])
        self.weight = pairs_it_stands_for(pairs) if all(map(in_random_slice, pairs)) else None
        of_before, of_after = (Figures(scores, self.same, threshold) for scores in (before, after))
        self.figures_before, self.figures_after = of_before(self.weight), of_after(self.weight)
        each = 1.0 if self.weight is None else self.weight
        drawn = bootstrap.identity_resamples(*pair_identities(pairs), seed, resamples)
        self._resampled = [(of_before(each * times), of_after(each * times)) for times in drawn]

    def of(self, rows: np.ndarray) -> Comparison:
        """The same of some of the pairs alone. rows: bool [N]."""
        pairs = [pair for pair, keep in zip(self.pairs, rows, strict=True) if keep]
        return Comparison(pairs, self.before[rows], self.after[rows], self.threshold, self.seed, self.resamples)

    def change(self) -> Values:
        """After minus before of every figure; None where either is undefined."""
        return _differences(self.figures_before, self.figures_after)

    def change_intervals(self) -> Limits:
        """95 % interval of each change; it excludes zero where the change is unlikely to be chance."""
        drawn = [_differences(*both) for both in self._resampled]
        return {name: bootstrap.interval([row[name] for row in drawn]) for name in self.figures_before}

    def best_thresholds(self) -> tuple[float | None, float | None]:
        """The most accurate threshold before and after, on these very pairs; none where pairs stand for more than themselves."""
        if self.weight is not None:
            return None, None
        return best_threshold(self.before, self.same)[0], best_threshold(self.after, self.same)[0]

    def as_dict(self) -> dict[str, Any]:
        """For evaluation.json."""
        return {
            "pairs": len(self.pairs),
            "chosen_by_errors": int(mined(self.pairs).sum()),
            "before": self.figures_before,
            "after": self.figures_after,
            "change": self.change(),
            "change_intervals_95": self.change_intervals(),
            "before_intervals_95": self._intervals(0),
            "after_intervals_95": self._intervals(1),
            "best_threshold": dict(zip(("before", "after"), self.best_thresholds(), strict=True)),
        }

    def _intervals(self, side: int) -> Limits:
        return {
            name: bootstrap.interval([both[side][name] for both in self._resampled]) for name in self.figures_before
        }


def _differences(before: Values, after: Values) -> Values:
    both = ((name, value, after[name]) for name, value in before.items())
    return {name: None if old is None or new is None else new - old for name, old, new in both}


def compare(
    pairs: Path, before: ModelChoice, after: ModelChoice, run: Run, threshold: float, resamples: int, seed: int
) -> Comparison:
    """Score one pairs file with both models; a pair counts only if both could read its images. Raises UserError."""
    pair_file = read_pairs(pairs).labelled()
    run.input(pairs, describe(pair_file.pairs))
    of_before = score_pairs(pair_file, before, run)
    of_after = score_pairs(of_before.pair_file, after, run)
    kept = of_before.pair_file.pairs
    left_out = len(pair_file.pairs) - len(kept)
    trained_on = pair_file.extra.get(TRAINED_ON) is True
    return Comparison(kept, of_before.similarity, of_after.similarity, threshold, seed, resamples, left_out, trained_on)


def before_after_table(comparison: Comparison) -> str:
    """Before, after and the change of every figure in points, with the interval of the change."""
    before, after = comparison.figures_before, comparison.figures_after
    changes, intervals = comparison.change(), comparison.change_intervals()
    lines = [f"{'':>14}  {'before':>18}  {'after':>18}  {'change in points [95 % interval]':>34}"]
    for name, label in LABELS.items():
        change, limits = changes[name], intervals[name]
        delta = "" if change is None else f"{100 * change:+.2f}"
        interval = "" if change is None or limits is None else f"[{100 * limits[0]:+.2f}, {100 * limits[1]:+.2f}]"
        values = f"{percent(name, before[name]):>18}  {percent(name, after[name]):>18}"
        lines.append(f"{label:>14}  {values}  {delta:>14} {interval:>19}")
    best = ["undefined" if value is None else f"{value:.3f}" for value in comparison.best_thresholds()]
    lines.append(f"{'best threshold':>14}  {best[0]:>18}  {best[1]:>18}")
    return "\n".join(lines)


def flipped_pairs(comparison: Comparison) -> tuple[list[Pair], list[Pair]]:
    """(fixed, broken): pairs whose decision changed from wrong to right, and from right to wrong."""
    right_before = (comparison.before > comparison.threshold) == comparison.same
    right_after = (comparison.after > comparison.threshold) == comparison.same

    def listed(rows: np.ndarray, outcome: str) -> list[Pair]:
        return [_flipped(comparison, row, outcome) for row in np.flatnonzero(rows).tolist()]

    return listed(~right_before & right_after, "fixed"), listed(right_before & ~right_after, "broken")


def _flipped(comparison: Comparison, row: int, outcome: str) -> Pair:
    """The pair with both similarities and what became of it, for flipped.json."""
    before, after = (round(float(scores[row]), 6) for scores in (comparison.before, comparison.after))
    pair = picked_for_errors(comparison.pairs[row], FLIPPED)
    return replace(pair, extra={**pair.extra, "similarity_before": before, "similarity": after, "outcome": outcome})
