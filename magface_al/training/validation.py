"""Verification accuracy while a model is being trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from magface_al.command.errors import UserError
from magface_al.embedding.embedder import Embedder, face_batches
from magface_al.metrics.kfold import PROTOCOLS, cross_validate, fold_numbers
from magface_al.pairs.pair_file import PairFile

BATCH = 128


def validate_sets(embedder: Embedder, sets: Mapping[str, PairFile], workers: int) -> dict[str, float]:
    """Name -> ten-fold accuracy of the plain cosine on each set. Raises UserError for a set with an unreadable image."""
    return {name: _accuracy(embedder, name, pair_file, workers) for name, pair_file in sets.items()}


def _accuracy(embedder: Embedder, name: str, pair_file: PairFile, workers: int) -> float:
    images = pair_file.images()
    row = {image: number for number, image in enumerate(images)}
    parts: list[np.ndarray] = []
    sources = ((image, pair_file.source(image)) for image in images)
    for batch in face_batches(sources, BATCH, workers, embedder.preprocessing.size):
        if batch.failures:
            raise UserError(f"{pair_file.path}: {batch.failures[0][0]}: {batch.failures[0][1]}; validation needs every image of {name}")  # fmt: skip
        parts.append(embedder(batch.faces))
    embeddings = np.concatenate(parts)
    sides = [embeddings[[row[getattr(pair, side)] for pair in pair_file.pairs]] for side in ("image1", "image2")]
    fold = fold_numbers(len(pair_file.pairs), min(10, len(pair_file.pairs)))
    return float(cross_validate(*sides, pair_file.labels(), fold, PROTOCOLS["cosine"], False).accuracy.mean())
