"""Several pairs files as one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from magface_al.pairs.chosen import is_mined
from magface_al.pairs.pair_file import Pair, PairFile

HOW_CHOSEN = ("strategy", "holdout", "stratum", "stratum_pairs", "inclusion_probability")


def join_files(files: Sequence[PairFile]) -> PairFile:
    """Several pairs files as one. Images go by their full paths, so that one image is one whichever file names it; of a pair
    that stands in several files the last one counts, but how it was chosen is not forgotten (_how_chosen). A single file
    stays as it is."""
    if len(files) == 1:
        return files[0]
    joined: dict[tuple[str, str], Pair] = {}
    for file in files:
        for pair in file.pairs:
            image1, image2 = (os.path.realpath(file.locate(name)) for name in (pair.image1, pair.image2))
            placed = replace(pair, image1=image1, image2=image2)
            earlier = joined.get(placed.key())
            if earlier is not None:
                placed = replace(placed, extra=_how_chosen(earlier, placed))
            joined[placed.key()] = placed
    return PairFile(files[0].path, list(joined.values()))


def _how_chosen(earlier: Pair, later: Pair) -> dict[str, Any]:
    """The later pair's keys. What was drawn at random stays so, though its answer is doubted later: without such pairs the
    rest of a random sample would be too easy. A strategy is never lost, and once in a random slice a pair stays there."""
    before = {key: earlier.extra[key] for key in HOW_CHOSEN if key in earlier.extra}
    if is_mined(earlier) or later.is_holdout():
        return {**before, **later.extra}
    return {**{key: value for key, value in later.extra.items() if key not in HOW_CHOSEN}, **before}
