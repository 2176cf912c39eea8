"""What has been asked before, and what the answers imply: same is transitive, and carries "different" along.

If a and b show one person, and b and c do, nobody needs to be asked about a and c; if a and d do not, neither do b and d.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.command.words import counted, shown
from magface_al.embedding.pair_scores import rows_of
from magface_al.embedding.store import FeatureStore
from magface_al.faces.identities import connected_components
from magface_al.labelling.answer_words import UNABLE
from magface_al.metrics.cosine import LARGEST
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair, PairFile, describe, read_pairs
from magface_al.pairs.people import contradictions, contradictions_note

BLOCK = 1 << 20  # pairs held at a time
OPEN = -1  # asked, but nobody could or would say


@dataclass(frozen=True)
class Asked:
    """The pairs of some answered files as rows of a feature store.

    pairs int64 [K, 2] with i < j, none twice; label int64 [K]: 1, 0 or OPEN; round int64 [K], in which it was asked, 0 if
    the file does not say (its key is "batch"); entries [K] as they stand in the files.
    """

    pairs: np.ndarray
    label: np.ndarray
    round: np.ndarray
    entries: list[Pair]

    def where(self, chosen: np.ndarray) -> Asked:
        """Those of a bool mask [K]."""
        entries = [entry for entry, keep in zip(self.entries, chosen, strict=True) if keep]
        return Asked(self.pairs[chosen], self.label[chosen], self.round[chosen], entries)

    def in_random_slice(self) -> np.ndarray:
        """bool [K]: of a random slice, which is kept out of training (its key is "holdout")."""
        return np.array([entry.is_holdout() for entry in self.entries], dtype=bool)

    def unable(self) -> np.ndarray:
        """bool [K]: somebody looked and could not tell."""
        return np.array([entry.extra.get("answer") in UNABLE for entry in self.entries], dtype=bool)


def read_asked(paths: Sequence[Path], store: FeatureStore, run: Run) -> Asked:
    """The pairs of all files of --answered, with notes of what is odd about them."""
    files = [read_pairs(path) for path in paths]
    for path, file in zip(paths, files, strict=True):
        run.input(path, describe(file.pairs))
        if both := file.with_both_labels():
            told = counted(len(both), "pair has", "pairs have")
            run.note(f"{path}: {told} both labels (first: pairs {both[0][0]} and {both[0][1]}); the last answer counts")
    asked, absent = find_asked(files, store)
    if absent:
        image = f"an image that is not in {store.path}"
        have = f"pair asked before has {image} and counts", f"pairs asked before have {image} and count"
        run.note(f"{counted(absent, *have)} for nothing here")
    if wrong := contradictions(asked.entries):
        run.note(contradictions_note(wrong))
    return asked


def find_asked(files: Sequence[PairFile], store: FeatureStore) -> tuple[Asked, int]:
    """The files' pairs whose two images are in the store, and how many others there were.

    An image is found by its name as written, otherwise by its place on disk. Every pair of the files counts as asked,
    with or without an answer. Of a pair that comes twice, in either order, the last answer holds.
    """
    found: dict[tuple[int, int], Pair] = {}
    absent = 0
    for answered in files:
        row = rows_of(store, answered)
        for number, pair in enumerate(answered.pairs):
            _check_keys(answered.path, number, pair)
            i, j = row.get(pair.image1), row.get(pair.image2)
            if i is None or j is None or i == j:
                absent += 1
                continue
            key = (min(i, j), max(i, j))
            if pair.label is not None or key not in found:
                found[key] = pair
    entries = list(found.values())
    label = np.array([OPEN if pair.label is None else pair.label for pair in entries], dtype=np.int64)
    rounds = np.array([int(pair.extra.get("batch") or 0) for pair in entries], dtype=np.int64)
    return Asked(np.array(list(found), dtype=np.int64).reshape(-1, 2), label, rounds, entries), absent


def _check_keys(path: Path, number: int, pair: Pair) -> None:
    """Raises UserError for a key of choose_pairs.py that holds another kind of value."""
    similarity = pair.extra.get("similarity", 0.0)
    if type(similarity) not in (int, float) or not abs(similarity) <= LARGEST:
        raise UserError(f'{path}: pair {number}: key "similarity" is {shown(similarity)}, expected a number')
    for key in ("batch", "stratum_pairs"):
        value = 0 if pair.extra.get(key) is None else pair.extra[key]
        if type(value) is not int or not 0 <= value < 2**53:
            raise UserError(f'{path}: pair {number}: key "{key}" is {shown(value)}, expected a whole number')


class Known:
    """Everything that answers say about `count` images. pairs int64 [K, 2] with i < j, label int64 [K]: 1, 0 or OPEN."""

    def __init__(self, count: int, pairs: np.ndarray, label: np.ndarray) -> None:
        self.count, self.asked = count, pairs
        rows = np.unique(pairs).tolist()
        joined = connected_components(rows, pairs[label == SAME].tolist())
        self.group = np.arange(count)
        self.group[rows] = [joined[row] for row in rows]
        self._asked = self.keys(pairs)
        apart = self.group[pairs[label == DIFFERENT]]
        self._apart = np.unique(self.keys(apart[apart[:, 0] != apart[:, 1]]))

    def keys(self, pairs: np.ndarray) -> np.ndarray:
        """One whole number for each pair [K, 2], whatever its order."""
        return np.asarray(pairs.min(axis=1) * self.count + pairs.max(axis=1))

    def implies(self, pairs: np.ndarray) -> np.ndarray:
        """bool [K]: the pairs whose label is known, answered or implied."""
        group = self.group[pairs]
        return np.asarray((group[:, 0] == group[:, 1]) | np.isin(self.keys(group), self._apart))

    def covers(self, pairs: np.ndarray) -> np.ndarray:
        """bool [K]: the same, and those that were asked before without an answer."""
        return np.asarray(self.implies(pairs) | np.isin(self.keys(pairs), self._asked))

    def count_implied(self) -> int:
        """How many pairs `implied` gives."""
        _, left, right, size = self._boxes()
        each = np.where(left == right, size[left] * (size[left] - 1) // 2, size[left] * size[right])
        return int(each.sum())

    def implied(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(pairs int64 [M, 2] with i < j, same bool [M]): every pair whose label is known, answered or implied, none twice.

        Some at a time: a million answers about twenty thousand images imply as many millions.
        """
        order, left, right, size = self._boxes()
        first = np.cumsum(size) - size
        so_far = np.cumsum(size[left] * size[right])
        for boxes in np.split(np.arange(len(left)), np.flatnonzero(np.diff(so_far // BLOCK)) + 1):
            one, other = left[boxes], right[boxes]
            pairs_in = size[one] * size[other]
            box = np.repeat(np.arange(len(boxes)), pairs_in)
            row, column = np.divmod(np.arange(len(box)) - (np.cumsum(pairs_in) - pairs_in)[box], size[other][box])
            same = (one == other)[box]
            keep = ~same | (row < column)  # of a group with itself each pair once
            pairs = np.stack([order[first[one][box] + row], order[first[other][box] + column]], axis=1)[keep]
            yield np.sort(pairs, axis=1), same[keep]

    def _boxes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The images, one group behind the other; the groups, by their places in that order, whose pairs are known: each of
        `left` with its `right`, itself included; and how large each is."""
        order = np.argsort(self.group, kind="stable")
        groups, size = np.unique(self.group, return_counts=True)
        several = np.flatnonzero(size > 1)
        apart = np.searchsorted(groups, np.stack(np.divmod(self._apart, self.count)))
        return order, np.concatenate([several, apart[0]]), np.concatenate([several, apart[1]]), size
