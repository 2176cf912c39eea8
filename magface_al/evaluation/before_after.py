"""Two models on the same pairs: figures before and after, and how sure the change is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from magface_al.metrics import bootstrap
from magface_al.metrics.roc import Figures, best_threshold
from magface_al.pairs.pair_file import SAME, Pair
from magface_al.pairs.people import pair_identities

Values = dict[str, float | None]
Limits = dict[str, tuple[float, float] | None]


class Comparison:
    """Similarities before and after, float32 [N], of N labelled pairs. Both are resampled together (paired bootstrap)."""

    def __init__(
        self, pairs: Sequence[Pair], before: np.ndarray, after: np.ndarray, threshold: float, seed: int, resamples: int
    ) -> None:
        self.pairs, self.before, self.after, self.threshold = pairs, before, after, threshold
        self.same = np.array([pair.label == SAME for pair in pairs])
        of_before, of_after = (Figures(scores, self.same, threshold) for scores in (before, after))
        self.figures_before, self.figures_after = of_before(), of_after()
        weights = bootstrap.identity_resamples(*pair_identities(pairs), seed, resamples)
        self._resampled = [(of_before(weight), of_after(weight)) for weight in weights]

    def change(self) -> Values:
        """After minus before of every figure; None where either is undefined."""
        return _differences(self.figures_before, self.figures_after)

    def change_intervals(self) -> Limits:
        """95 % interval of each change; it excludes zero where the change is unlikely to be chance."""
        drawn = [_differences(*both) for both in self._resampled]
        return {name: bootstrap.interval([row[name] for row in drawn]) for name in self.figures_before}

    def best_thresholds(self) -> tuple[float | None, float | None]:
        """The most accurate threshold before and after, on these very pairs."""
        return best_threshold(self.before, self.same)[0], best_threshold(self.after, self.same)[0]

    def as_dict(self) -> dict[str, Any]:
        """For evaluation.json."""
        return {
            "pairs": len(self.pairs),
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
    return {
        name: None if value is None or after[name] is None else after[name] - value for name, value in before.items()
    }


def flipped_pairs(comparison: Comparison) -> tuple[list[Pair], list[Pair]]:
    """(fixed, broken): pairs whose decision changed from wrong to right, and from right to wrong."""
    right_before = (comparison.before > comparison.threshold) == comparison.same
    right_after = (comparison.after > comparison.threshold) == comparison.same

    def listed(rows: np.ndarray, outcome: str) -> list[Pair]:
        return [
            replace(pair, extra={**pair.extra, "similarity_before": round(float(comparison.before[k]), 6),
                                 "similarity": round(float(comparison.after[k]), 6), "outcome": outcome})
            for k, pair in enumerate(comparison.pairs) if rows[k]
        ]  # fmt: skip

    return listed(~right_before & right_after, "fixed"), listed(right_before & ~right_after, "broken")
