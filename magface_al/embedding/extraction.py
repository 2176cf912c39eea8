"""All images of a list into a feature store, a batch at a time, taken up where a killed run stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from magface_al.embedding.embedder import Embedder, face_batches
from magface_al.embedding.store_writer import FeatureWriter
from magface_al.models.backbone import Backbone


def made_from(list_sha256: str, root: Path, backbone: Backbone, flip: str) -> dict[str, Any]:
    """What an interrupted run must have in common with this one to be taken up: FeatureWriter compares it."""
    return {
        "list_sha256": list_sha256,
        "root": str(root),
        "weights_sha256": backbone.weights_sha256,
        "preprocessing": backbone.preprocessing.to_dict(),
        "flip": flip,
    }


def embed_list(
    images: Iterable[tuple[str, Path]],
    embedder: Embedder,
    writer: FeatureWriter,
    batch_size: int,
    workers: int,
    progress: Callable[[int], object] = lambda images: None,
) -> int:
    """Embed what the writer has not consumed of (name, path) images, and append it. Returns how many had to be resized.

    progress is called after every batch with the number of images in it, unreadable ones included.
    """
    resized = 0
    left = islice(images, writer.consumed, None)
    for batch in face_batches(left, batch_size, workers, embedder.preprocessing.size):
        writer.append(batch.names, embedder(batch.faces), batch.failures)
        resized += batch.resized
        progress(len(batch.names) + len(batch.failures))
    return resized
