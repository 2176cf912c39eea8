"""Verification metrics from similarities: confusion at a threshold, ROC, TAR@FAR, EER, and their intervals.

Similarity is the cosine; a pair is called "same" when its similarity is strictly above the threshold. Genuine pairs show
one person, impostor pairs two. FMR (= FAR) is the share of impostor pairs called same, FNMR the share of genuine pairs
called different. A figure that the pairs cannot support is None, never 0 or a guess.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAR_TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
Curve = tuple[np.ndarray, np.ndarray]  # FMR, TAR: see Ranking.roc


@dataclass(frozen=True)
class Confusion:
    """Counts of pairs at one threshold; "positive" means called the same person. Whole numbers unless weighted."""

    true_positives: float
    true_negatives: float
    false_positives: float
    false_negatives: float

    @property
    def accuracy(self) -> float | None:
        """Share of pairs called rightly."""
        right = self.true_positives + self.true_negatives
        return _ratio(right, right + self.false_positives + self.false_negatives)

    @property
    def precision(self) -> float | None:
        """Share of the pairs called same that are; None when none was called same."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the genuine pairs called same (the TAR); None without genuine pairs."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def fmr(self) -> float | None:
        """False match rate; None without impostor pairs."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def fnmr(self) -> float | None:
        """False non-match rate; None without genuine pairs."""
        return _ratio(self.false_negatives, self.false_negatives + self.true_positives)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def confusion(
    similarity: np.ndarray, same: np.ndarray, threshold: float, weight: np.ndarray | None = None
) -> Confusion:
    """similarity [N] float in [-1, 1], same [N] bool, weight [N] (see Ranking). AT the threshold is called different."""
    called_same = similarity > threshold
    cells = (called_same & same, ~called_same & ~same, called_same & ~same, ~called_same & same)
    if weight is None:
        return Confusion(*(int(np.count_nonzero(cell)) for cell in cells))
    return Confusion(*(float(weight[cell].sum()) for cell in cells))


class Ranking:
    """Pairs sorted by similarity once, so that metrics can be taken again and again under other weights.

    similarity [N] float, same [N] bool. A weight is how often a pair counts: all 1 for the sample itself, other whole
    numbers in a bootstrap resample.
    """

    def __init__(self, similarity: np.ndarray, same: np.ndarray) -> None:
        order = np.argsort(-similarity, kind="stable")
        ranked = similarity[order]
        self.order, self.same = order, same[order]
        self.last_of_tie = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # ties share one operating point
        self.similarity = ranked[self.last_of_tie]

    def roc(self, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(FMR, TAR), each [K + 1]: the share of impostor and genuine pairs called same at each operating point.

        Point 0 calls nothing same; point k >= 1 calls same all pairs with similarity >= self.similarity[k - 1].
        """
        weight = np.ones(len(self.same)) if weight is None else weight[self.order]
        genuine = np.cumsum(weight * self.same)
        impostor = np.cumsum(weight) - genuine
        with np.errstate(invalid="ignore"):  # no genuine or no impostor pairs: NaN, turned into None by the callers
            fmr = np.append(0.0, impostor[self.last_of_tie]) / impostor[-1]
            tar = np.append(0.0, genuine[self.last_of_tie]) / genuine[-1]
        return fmr, tar


def auc(fmr: np.ndarray, tar: np.ndarray) -> float | None:
    """Area under the ROC by trapezes, ties counted half (the Mann-Whitney statistic)."""
    return _finite(float(np.trapezoid(tar, fmr)))


def eer(fmr: np.ndarray, tar: np.ndarray) -> float | None:
    """Equal error rate: where FMR = FNMR on the ROC, linear between its points (ISO/IEC 19795-1)."""
    gap = fmr - (1 - tar)  # rises from -1 to 1
    if not np.isfinite(gap).all():
        return None
    after = int(np.argmax(gap >= 0))
    rise = gap[after] - gap[after - 1]
    share = -gap[after - 1] / rise
    return float(fmr[after - 1] + share * (fmr[after] - fmr[after - 1]))


def operating_point(fmr: np.ndarray, tar: np.ndarray, far: float, impostors: int) -> tuple[float, float] | None:
    """(TAR, FMR attained) with the largest TAR whose FMR does not exceed `far`.

    None if fewer than 1 / far impostor pairs can show it.
    """
    if impostors * far < 1 - 1e-9 or not np.isfinite(fmr).all() or not np.isfinite(tar).all():
        return None
    at = np.searchsorted(fmr, far * (1 + 1e-12), side="right") - 1
    return float(tar[at]), float(fmr[at])


def tar_at_far(fmr: np.ndarray, tar: np.ndarray, far: float, impostors: int) -> float | None:
    """The TAR of operating_point."""
    point = operating_point(fmr, tar, far, impostors)
    return None if point is None else point[0]


def nearest_operating_point(fmr: np.ndarray, tar: np.ndarray, far: float) -> tuple[float, float]:
    """(TAR, FMR attained) as MagFace's eval_ijb.py and CVLface's evaluate.py read it: the FMR nearest to `far`.

    It may exceed `far`, and answers however few the pairs are. As in scikit-learn's roc_curve, points between two
    others on a line are left out first; of equally near points the one with the largest FMR and TAR is taken.
    """
    corner = np.ones(len(fmr), bool)
    corner[2:-1] = (np.abs(np.diff(fmr[1:], 2)) > 1e-12) | (np.abs(np.diff(tar[1:], 2)) > 1e-12)
    fmr, tar = fmr[corner][::-1], tar[corner][::-1]
    at = int(np.argmin(np.abs(fmr - far)))
    return float(tar[at]), float(fmr[at])


def best_threshold(similarity: np.ndarray, same: np.ndarray) -> tuple[float | None, float | None]:
    """(threshold, accuracy) of the most accurate threshold, halfway between two neighbouring similarities.

    Of several equally accurate thresholds the middle one is taken. None without pairs of both kinds.
    """
    if same.all() or not same.any():
        return None, None
    ranking = Ranking(similarity, same)
    fmr, tar = ranking.roc()
    right = tar * np.count_nonzero(same) + (1 - fmr) * np.count_nonzero(~same)
    winners = np.flatnonzero(right >= right.max() - 1e-9)
    at = int(winners[len(winners) // 2])
    edges = np.concatenate([[1.0], ranking.similarity.astype(float), [-1.0]])
    return float((edges[at] + edges[at + 1]) / 2), float(right[at] / len(same))


def threshold_at_fmr(similarity: np.ndarray, same: np.ndarray, far: float) -> float | None:
    """The lowest threshold whose FMR does not exceed `far`; None if the impostor pairs are too few to show it."""
    impostor = np.sort(similarity[~same])[::-1]
    if len(impostor) * far < 1 - 1e-9:
        return None
    allowed = int(np.floor(len(impostor) * far + 1e-9))
    return float(impostor[allowed]) if allowed < len(impostor) else -1.0


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


class Figures:
    """Every headline figure of one set of scores, as often as a bootstrap asks for them.

    similarity [N] float in [-1, 1], same [N] bool; threshold is the cosine at which decisions are taken.
    """

    def __init__(self, similarity: np.ndarray, same: np.ndarray, threshold: float) -> None:
        self.similarity, self.same, self.threshold = similarity, same, threshold
        self._ranking = Ranking(similarity, same)
        self._impostors = int(np.count_nonzero(~same))

    def __call__(self, weight: np.ndarray | None = None) -> dict[str, float | None]:
        """Keys: accuracy, precision, recall, fmr, fnmr (at the threshold), auc, eer, tar_at_far_0.1, tar_at_far_0.01, ..."""
        counts = confusion(self.similarity, self.same, self.threshold, weight)
        decisions = {name: getattr(counts, name) for name in ("accuracy", "precision", "recall", "fmr", "fnmr")}
        return decisions | self.of_curve(weight)

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """(FMR, TAR) of the pairs, as Ranking.roc gives them."""
        return self._ranking.roc()

    def of_curve(self, weight: np.ndarray | None = None) -> dict[str, float | None]:
        """The figures that need no threshold: auc, eer, tar_at_far_0.1, ..."""
        fmr, tar = self._ranking.roc(weight)
        return {
            "auc": auc(fmr, tar),
            "eer": eer(fmr, tar),
            **{f"tar_at_far_{far:g}": tar_at_far(fmr, tar, far, self._impostors) for far in FAR_TARGETS},
        }


LABELS = {
    "accuracy": "accuracy", "precision": "precision", "recall": "recall (TAR)", "fmr": "FMR", "fnmr": "FNMR", "auc": "AUC", "eer": "EER",
    **{f"tar_at_far_{far:g}": f"TAR @ FAR {far:g}" for far in FAR_TARGETS},
}  # fmt: skip


def percent(name: str, value: float | None) -> str:
    """A figure for the screen, in percent; without a value, the word that says why."""
    if value is None:
        return "insufficient data" if name.startswith("tar_at_far") else "undefined"
    return f"{100 * value:.2f} %"
