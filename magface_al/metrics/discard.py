"""Error versus discard: how the FNMR falls when the genuine pairs of lowest quality are not decided at all.

A pair's quality is the lower of its two images' qualities, so a pair is discarded as soon as one image is bad. The
threshold is fixed where all impostor pairs give the starting FMR, and stays there (arXiv 2303.13294); MagFace's own
evaluation takes a new one for every share, which is another curve and stands under its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from magface_al.metrics.bootstrap import intervals

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3)  # at which the table gives the FNMR
MAGFACE_STEP, MAGFACE_FMR = 0.05, 1e-3  # eval/eval_quality/eval_quality.py @99bae614
MAGFACE_IMPOSTORS = 101  # it stops where fewer are left


@dataclass(frozen=True)
class DiscardCurve:
    """share float [K], rising from 0 and below 1: the part discarded; fnmr float [K] of what is left.

    Between two shares nothing new is discarded, so the curve is a staircase: fnmr[k] holds from share[k] to share[k + 1],
    the last one up to `end`. What lies beyond is None.
    """

    share: np.ndarray
    fnmr: np.ndarray
    end: float = 1.0

    def area(self, limit: float) -> float | None:
        """The area under the staircase from 0 to `limit`; divided by limit, the mean FNMR."""
        if limit > self.end + 1e-9:
            return None
        edges = np.minimum(np.append(self.share, 1.0), limit)
        return float(np.sum(np.diff(edges) * self.fnmr))

    def summary(self, limit: float) -> dict[str, Any]:
        """For quality.json: the area up to `limit`, alone and over that of discarding nothing, and the curve itself."""
        area, untouched = self.area(limit), float(self.fnmr[0]) * limit
        return {
            "area": area,
            "area_over_no_discard": area / untouched if untouched and area is not None else None,
            "fnmr": {f"{share:g}": self.at(share) for share in SHARES},
            "curve": {"share": self.share.tolist(), "fnmr": self.fnmr.tolist()},
        }

    def at(self, share: float) -> float | None:
        """FNMR where `share` of the pairs may be discarded."""
        if share >= self.end - 1e-9:
            return None
        return float(self.fnmr[np.searchsorted(self.share, share + 1e-12, side="right") - 1])


def pair_quality(quality1: np.ndarray, quality2: np.ndarray) -> np.ndarray:
    """float [N] of each side -> float [N]: the lower one."""
    lower: np.ndarray = np.minimum(quality1, quality2)
    return lower


def discard_curve(
    similarity: np.ndarray, quality: np.ndarray, threshold: float, weight: np.ndarray | None = None
) -> DiscardCurve:
    """The curve of genuine pairs at a fixed threshold. similarity, quality and weight (how often a pair counts) float [N].

    A pair at the threshold is called different. Pairs of equal quality are discarded together, because nothing says which
    of them is worse. Pairs of weight 0 do not exist. Without any pair the curve is empty.
    """
    weight = np.ones(len(quality)) if weight is None else weight
    order = np.argsort(quality, kind="stable")
    ranked = quality[order]
    first_of_tie = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)])
    below = np.concatenate([[0.0], np.cumsum(weight[order])])  # weight of the k pairs of lowest quality
    missed = np.concatenate([[0.0], np.cumsum(weight[order] * (similarity[order] <= threshold))])
    left = below[-1] - below[first_of_tie]
    some = left > 0
    at = first_of_tie[some]
    return DiscardCurve(below[at] / below[-1], (missed[-1] - missed[at]) / left[some])


def area_intervals(
    similarity: np.ndarray,
    qualities: Mapping[str, np.ndarray],
    threshold: float,
    limit: float,
    weights: Iterator[np.ndarray],
) -> dict[str, tuple[float, float] | None]:
    """The 95 % interval of each score's area, the threshold kept. Arrays [N] of genuine pairs, as are the resampled weights."""

    def areas(weight: np.ndarray) -> dict[str, float | None]:
        if not weight.any():
            return dict.fromkeys(qualities)
        return {
            name: discard_curve(similarity, quality, threshold, weight).area(limit)
            for name, quality in qualities.items()
        }

    return intervals(areas, weights)


def ideal_curve(missed: int, genuine: int) -> DiscardCurve:
    """What a quality score would give that discards exactly the `missed` of the `genuine` pairs first."""
    discarded = np.arange(min(missed, genuine - 1) + 1)
    return DiscardCurve(discarded / genuine, (missed - discarded) / (genuine - discarded))


def magface_curve(similarity: np.ndarray, same: np.ndarray, quality: np.ndarray) -> DiscardCurve:
    """MagFace's own evaluation, exactly: shares of all pairs in steps of 5 %, the threshold chosen anew.

    similarity float64 [N], quality float [N], same [N] bool. The threshold is the distance at place (M - 1) // 1000 of the
    M impostor pairs left, in rising order; a pair strictly below it is called same, so the FMR stays below 1e-3. With
    fewer than 101 impostors left there is no point any more. At least 101 impostor pairs and a genuine one are expected.
    """
    distance = np.arccos(np.clip(similarity, -1, 1)) / np.pi
    order = np.argsort(quality, kind="stable")
    shares, fnmr = [], []
    for share in np.arange(0, 0.98, MAGFACE_STEP):
        kept = order[int(share * len(order)) :]
        genuine, impostor = distance[kept][same[kept]], np.sort(distance[kept][~same[kept]])
        if len(impostor) >= MAGFACE_IMPOSTORS and len(genuine):
            shares.append(float(share))
            fnmr.append(float(np.mean(genuine >= impostor[(len(impostor) - 1) // round(1 / MAGFACE_FMR)])))
    return DiscardCurve(np.array(shares), np.array(fnmr), end=shares[-1] + MAGFACE_STEP)
