"""Verification accuracy while a model is being trained."""

from __future__ import annotations

from collections.abc import Mapping

from magface_al.command.errors import UserError
from magface_al.embedding.embedder import Embedder, embed_images
from magface_al.metrics.kfold import PROTOCOLS, cross_validate, fold_numbers
from magface_al.metrics.sides import sides_of
from magface_al.pairs.pair_file import PairFile

BATCH = 128


def validate_sets(embedder: Embedder, sets: Mapping[str, PairFile], workers: int) -> dict[str, float]:
    """Name -> ten-fold accuracy of the plain cosine on each set. Raises UserError for a set with an unreadable image."""
    return {name: _accuracy(embedder, name, pair_file, workers) for name, pair_file in sets.items()}


def _accuracy(embedder: Embedder, name: str, pair_file: PairFile, workers: int) -> float:
    images = [(image, pair_file.source(image)) for image in pair_file.images()]
    embeddings, failures = embed_images(embedder, images, BATCH, workers)
    if failures:
        image, reason = failures[0]
        raise UserError(f"{pair_file.path}: {image}: {reason}; validation needs every image of {name}")
    sides = sides_of(embeddings, [(pair.image1, pair.image2) for pair in pair_file.pairs])
    fold = fold_numbers(len(pair_file.pairs), min(10, len(pair_file.pairs)))
    return float(cross_validate(sides, pair_file.labels(), fold, PROTOCOLS["cosine"], False).accuracy.mean())
