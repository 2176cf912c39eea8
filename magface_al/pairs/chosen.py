"""How pairs were chosen: by a model's errors, or at random. Figures on the former say how hard they are, not how good a model is.

Of the pairs on which a model errs, any other model gets some right, better or not (regression to the mean): a change measured
on them is too good by far. The key "strategy" of a pair says what chose it; what is neither named here nor absent mined it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from magface_al.command.errors import UserError
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair

RANDOM, BALANCED, RANDOM_SLICE = "random", "balanced", "random_slice"  # strategies that no model's errors steer
DOUBTED, FLIPPED = "doubted", "flipped"  # strategies of our own that do: relabel.json, flipped.json
LEAST_OF_A_KIND = 10  # pairs of each kind, below which figures are no ground for a verdict


def strategy(pair: Pair) -> str | None:
    """What chose it, as it says; None for a pair that does not say, as those of public benchmarks do not."""
    found = pair.extra.get("strategy")
    return None if found is None else str(found)


def is_mined(pair: Pair) -> bool:
    """Whether a model's errors chose it. A pair that does not say what chose it counts as not mined."""
    return strategy(pair) not in (None, RANDOM, BALANCED, RANDOM_SLICE)


def in_random_slice(pair: Pair) -> bool:
    """Whether it stands here as one of a random slice, and so for all pairs alike to it."""
    return pair.is_holdout() and not is_mined(pair)


def picked_for_errors(pair: Pair, by: str) -> Pair:
    """The pair as one that errors picked out of a file (DOUBTED, FLIPPED), whatever had chosen it before."""
    return pair if is_mined(pair) else replace(pair, extra={**pair.extra, "strategy": by})


def mined(pairs: Sequence[Pair]) -> np.ndarray:
    """bool [N]: is_mined of each pair."""
    return np.array([is_mined(pair) for pair in pairs], dtype=bool)


def pairs_it_stands_for(pairs: Sequence[Pair]) -> np.ndarray:
    """float [N]: of how many pairs each is the sample: one over the probability with which a random slice drew it, and 1
    for all others. A slice takes as many of the rare alike pairs as of the mass of strangers, so it is no even sample.

    Raises UserError for a probability that is none.
    """
    return np.array([_stands_for(pair) for pair in pairs], dtype=float)


def _stands_for(pair: Pair) -> float:
    share = pair.extra.get("inclusion_probability", 1) if in_random_slice(pair) else 1
    if type(share) not in (int, float) or not 0 < share <= 1:
        raise UserError(
            f'{pair.image1} and {pair.image2}: key "inclusion_probability" is {share!r}, expected a number above 0, at most 1'
        )
    return 1 / share


def drawn_at_random(pairs: Sequence[Pair]) -> np.ndarray:
    """bool [N]: the pairs on which figures are honest: those of random slices, or the others that no model's errors chose,
    whichever are more. They are not counted together, for they stand for different numbers of pairs."""
    in_slice = np.array([in_random_slice(pair) for pair in pairs], dtype=bool)
    others = ~in_slice & ~mined(pairs)
    return in_slice if np.count_nonzero(in_slice) > np.count_nonzero(others) else others


def enough(pairs: Sequence[Pair]) -> bool:
    """Whether there are enough pairs of both kinds for a verdict."""
    labels = [pair.label for pair in pairs]
    return min(labels.count(SAME), labels.count(DIFFERENT)) >= LEAST_OF_A_KIND


def mined_in_words(pairs: Sequence[Pair]) -> str | None:
    """ "60 of 80 pairs were chosen by a model's errors (strategy exact)"; None where no pair was."""
    by = sorted({str(strategy(pair)) for pair in pairs if is_mined(pair)})
    if not by:
        return None
    count, was = int(mined(pairs).sum()), "pairs was" if len(pairs) > 1 else "pair was"
    were = was if count == 1 else "pairs were"
    return f"{count} of {len(pairs)} {were} chosen by a model's errors (strategy {', '.join(by)})"


def random_pairs_file(chosen: Path) -> Path:
    """Where the random pairs of the people of a file of chosen ones stand: val_pairs.json -> val_random_pairs.json."""
    return chosen.with_name(f"{chosen.stem.removesuffix('_pairs')}_random_pairs.json")
