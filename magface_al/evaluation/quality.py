"""Quality scores of images from a file: `path score` a line, higher is better."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines


def read_quality_scores(path: Path) -> dict[str, float]:
    """Image -> score. The score is the last column, so a path may contain spaces. Raises UserError naming the line."""
    scores: dict[str, float] = {}
    for number, line in read_lines(path, "lines of `path score`"):
        image, _, score = line.strip().replace("\t", " ").rpartition(" ")
        try:
            value = float(score)
        except ValueError:
            value = float("nan")
        if not image or not np.isfinite(value):
            raise UserError(f"{path}: line {number}: {line.strip()!r}, expected `path score` with a finite score")
        scores[image.strip()] = value
    return scores


def scores_of(images: list[str], path: Path) -> np.ndarray:
    """float64 [N]: the scores in the file of N images, by the name that the pairs give them. Raises UserError if one is absent."""
    known = read_quality_scores(path)
    wanted = dict.fromkeys(images)
    absent = [image for image in wanted if image not in known]
    if absent:
        raise UserError(
            f"{path}: {len(absent)} of {len(wanted)} images have no score (first: {absent[0]}), expected all, named as in the pairs"
        )
    return np.array([known[image] for image in images])
