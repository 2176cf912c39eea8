"""The embeddings of many pairs, each image's held once: a million pairs of ten thousand faces are no two million rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_BLOCK = 1 << 14  # pairs measured at a time: 130 MB of two sides of 512 float64 values


@dataclass(frozen=True)
class Sides:
    """The two sides of N pairs of U images. embeddings float32 [U, D], raw; side1 and side2 int [N]: rows of them."""

    embeddings: np.ndarray
    side1: np.ndarray
    side2: np.ndarray

    def measured(
        self, measure: Callable[[np.ndarray, np.ndarray], np.ndarray], minus: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """[N]: measure(side 1, side 2) of float64 [B, D] twice, for a block of pairs at a time, after taking `minus` away."""
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(self.side1), _BLOCK)]
        return np.concatenate(
            [measure(self._rows(self.side1[block], minus), self._rows(self.side2[block], minus)) for block in blocks]
        )

    def _rows(self, rows: np.ndarray, minus: np.ndarray | float) -> np.ndarray:
        found: np.ndarray = self.embeddings[rows].astype(float) - minus
        return found

    def mean(self, chosen: np.ndarray) -> np.ndarray:
        """float64 [D]: the mean over both sides of the chosen pairs, bool [N]; an image counts as often as it stands there."""
        sides = (self.side1[chosen], self.side2[chosen])
        often = sum(np.bincount(side, minlength=len(self.embeddings)) for side in sides)
        mean: np.ndarray = often @ self.embeddings.astype(float) / (2 * np.count_nonzero(chosen))
        return mean


def sides_of(embeddings: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]]) -> Sides:
    """The sides of N pairs of image names, out of name -> embedding [D]. N is 1 at least."""
    row_of = {name: row for row, name in enumerate(dict.fromkeys(name for pair in pairs for name in pair))}
    rows = np.array([(row_of[one], row_of[other]) for one, other in pairs])
    return Sides(np.stack([embeddings[name] for name in row_of]), rows[:, 0], rows[:, 1])
