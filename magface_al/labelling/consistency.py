"""Same is transitive: which answers contradict each other, and what follows from the answers without asking."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from magface_al.faces.identities import connected_components
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair
from magface_al.pairs.people import contradictions


@dataclass(frozen=True)
class Contradiction:
    """A pair answered different, and the shortest chain of "same" answers from its one image to the other."""

    different: Pair
    chain: list[Pair]

    def faces(self) -> list[str]:
        """The images along the chain, from one image of the different pair to the other."""
        faces = [self.different.image1]
        for pair in self.chain:
            faces.append(pair.image2 if pair.image1 == faces[-1] else pair.image1)
        return faces


def find_contradictions(pairs: Sequence[Pair], most: int = 50) -> tuple[list[Contradiction], int]:
    """The contradictions among answered pairs, shortest chain first, and how many there are.

    One wrong "same" between two well-known people makes hundreds; the chains of the first `most` are looked for.
    """
    clashing = contradictions(pairs)
    if not clashing:
        return [], 0
    neighbours: dict[str, list[tuple[str, Pair]]] = defaultdict(list)
    for pair in pairs:
        if pair.label == SAME:
            neighbours[pair.image1].append((pair.image2, pair))
            neighbours[pair.image2].append((pair.image1, pair))
    found = [Contradiction(pair, _shortest_chain(neighbours, pair)) for pair in clashing[:most]]
    return sorted(found, key=lambda contradiction: len(contradiction.chain)), len(clashing)


def _shortest_chain(neighbours: dict[str, list[tuple[str, Pair]]], between: Pair) -> list[Pair]:
    """Breadth first from image1 to image2, which the caller knows to be connected."""
    came_by: dict[str, tuple[str, Pair] | None] = {between.image1: None}
    queue = deque([between.image1])
    while between.image2 not in came_by:
        here = queue.popleft()
        for there, pair in neighbours[here]:
            if there not in came_by:
                came_by[there] = (here, pair)
                queue.append(there)
    chain: list[Pair] = []
    step = came_by[between.image2]
    while step is not None:
        chain.append(step[1])
        step = came_by[step[0]]
    return chain[::-1]


def implied_labels(answered: Sequence[Pair], others: Iterable[Pair]) -> dict[tuple[str, str], int]:
    """Pair.key() -> label of those `others` that follow from the answered pairs.

    Two images joined by "same" answers are the same; they are different if anybody of the one group was called
    different from anybody of the other. Groups with a contradiction inside imply nothing.
    """
    same = [(pair.image1, pair.image2) for pair in answered if pair.label == SAME]
    names = dict.fromkeys(name for pair in answered for name in (pair.image1, pair.image2))
    group = connected_components(names, same)
    apart = {frozenset((group[p.image1], group[p.image2])) for p in answered if p.label == DIFFERENT}
    torn = {next(iter(pair)) for pair in apart if len(pair) == 1}
    implied = {}
    for pair in others:
        one, two = group.get(pair.image1), group.get(pair.image2)
        if one is None or two is None or one in torn or two in torn:
            continue
        if one == two:
            implied[pair.key()] = SAME
        elif frozenset((one, two)) in apart:
            implied[pair.key()] = DIFFERENT
    return implied
