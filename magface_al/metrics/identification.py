"""1:N search: at which rank a probe's person is found in a gallery (CMC), and how often strangers are taken for somebody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PROBES = 512  # searched at a time


@dataclass(frozen=True)
class Search:
    """rank int [P] of the first gallery entry of each probe's person, 1 being the best, 0 where the gallery has none of it.

    best float32 [P]: the highest score of the probe in the gallery; mate float32 [P]: of its own person, -inf without one.
    """

    rank: np.ndarray
    best: np.ndarray
    mate: np.ndarray

    def cmc(self, most: int) -> np.ndarray | None:
        """float [most]: the share of the probes with a mate that are identified within each rank; None without such probes."""
        found = self.rank[self.rank > 0]
        return np.array([np.mean(found <= rank) for rank in range(1, most + 1)]) if len(found) else None

    def tpir(self, fpir: float) -> float | None:
        """Share of the probes with a mate that come first and above the threshold, at which at most `fpir` of the others do.

        Others are probes without a mate in this gallery. None if fewer than 1 / fpir of them can show it.
        """
        strangers = np.sort(self.best[self.rank == 0])[::-1]
        known = self.rank > 0
        if len(strangers) * fpir < 1 - 1e-9 or not known.any():
            return None
        allowed = int(np.floor(len(strangers) * fpir + 1e-9))
        threshold = strangers[allowed] if allowed < len(strangers) else -np.inf
        return float(np.mean((self.rank[known] == 1) & (self.mate[known] > threshold)))


def search(probes: np.ndarray, probe_subject: np.ndarray, gallery: np.ndarray, gallery_subject: np.ndarray) -> Search:
    """Rank every probe's person. probes float32 [P, D] and gallery float32 [G, D] of length 1; subjects int [P] and [G].

    The rank is one more than the number of entries of other people that score at least as high as the person's best
    entry: a tie counts against the model, so a network that gives one embedding to everybody identifies nobody.
    """
    rank = np.zeros(len(probes), np.int64)
    best, mate = np.empty(len(probes), np.float32), np.empty(len(probes), np.float32)
    for start in range(0, len(probes), PROBES):
        block = slice(start, start + PROBES)
        scores = probes[block] @ gallery.T
        own = probe_subject[block, None] == gallery_subject
        best[block] = scores.max(1)
        mate[block] = np.where(own, scores, -np.inf).max(1)
        above = np.count_nonzero((scores >= mate[block, None]) & ~own, axis=1)
        rank[block] = np.where(own.any(1), above + 1, 0)
    return Search(rank, best, mate)
