"""Split pairs by person, so that nobody in the validation or test part is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magface_al.faces.identities import connected_components
from magface_al.pairs.pair_file import Pair
from magface_al.pairs.people import image_identities, name_people

DRAWS = 64  # random partitions tried; the one that wastes fewest pairs is taken


@dataclass(frozen=True)
class Split:
    """The pairs of each part, and how many had a person in two parts and were left out."""

    parts: list[list[Pair]]
    crossing: int
    unit: str  # what was kept whole: "identity", "group of answers" or "pair"


def split_pairs(
    pairs: Sequence[Pair], shares: Sequence[float], rng: np.random.Generator, by: str = "identity"
) -> Split:
    """Split into len(shares) parts holding about those shares (summing to 1) of the pairs.

    by="identity": people are dealt to the parts, and a pair of two people in different parts is left out. Where the
    pairs do not name their identities, images that any pair connects stay together; if that leaves nearly everything
    in one lump, images joined by "same" answers do. by="pair" deals pairs regardless of who is on them: people leak
    from one part to the other, and the figures come out too good.
    """
    if by == "pair":
        order = rng.permutation(len(pairs))
        ends = np.round(np.cumsum([0, *shares]) * len(pairs)).astype(int)
        return Split([[pairs[k] for k in order[a:b]] for a, b in zip(ends[:-1], ends[1:], strict=True)], 0, "pair")
    person, unit = _people(pairs, max(shares))
    sides = np.unique([person[name] for pair in pairs for name in (pair.image1, pair.image2)], return_inverse=True)[1]
    sides = sides.reshape(-1, 2)
    labels = np.array([pair.label for pair in pairs])
    kinds = len(set(labels))
    best: np.ndarray | None = None
    best_waste = np.inf
    for _ in range(DRAWS):
        part_of_person = np.digitize(rng.random(sides.max() + 1), np.cumsum(shares)[:-1])
        part = part_of_person[sides]
        part = np.where(part[:, 0] == part[:, 1], part[:, 0], -1)
        kept = np.array([np.count_nonzero(part == k) for k in range(len(shares))])
        # Pairs lost, plus those by which the small parts miss their share of what is kept: both make worse evidence.
        waste = len(pairs) - kept.sum() + np.abs(kept - np.array(shares) * kept.sum())[1:].sum() * 2
        # A part that shows only one kind of pair is no evidence at all.
        waste += len(pairs) * sum(len(set(labels[part == k])) < kinds for k in range(len(shares)) if shares[k] > 0)
        if waste < best_waste:
            best, best_waste = part, waste
    assert best is not None
    parts = [[pair for pair, where in zip(pairs, best, strict=True) if where == k] for k in range(len(shares))]
    return Split(parts, int(np.count_nonzero(best == -1)), unit)


def _people(pairs: Sequence[Pair], largest_share: float) -> tuple[dict[str, str], str]:
    """image -> what must stay together, and what that is called."""
    identity = image_identities(pairs)
    if name_people(pairs):
        return identity, "identity"
    together = connected_components(identity, ((pair.image1, pair.image2) for pair in pairs))
    groups = [together[pair.image1] for pair in pairs]
    largest = max(groups.count(group) for group in set(groups))
    return (
        (together, "group of answers") if largest <= largest_share * len(pairs) else (identity, "group of same answers")
    )
