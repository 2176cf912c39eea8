"""Images -> embeddings: decoding in threads, ahead of the network, which runs on the GPU or CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from magface_al.command.ahead import ahead
from magface_al.command.errors import WorkError
from magface_al.command.last_resort import is_out_of_memory
from magface_al.command.words import counted
from magface_al.embedding.model_flags import ModelChoice
from magface_al.faces.preprocess import Preprocessing, decode_image, to_input
from magface_al.metrics.cosine import ODD, is_ordinary
from magface_al.models.backbone import Backbone
from magface_al.models.checkpoint import load_backbone
from magface_al.models.device import keep_freed_memory, pick_device

# activations of more faces fall out of the processor's cache: 128 at once ran at less than half the speed
CPU_BATCH = 16


@dataclass(frozen=True)
class FaceBatch:
    """Images read together: names and faces uint8 [B, size, size, 3] BGR of those that could be read, and the rest."""

    names: list[str]
    faces: np.ndarray
    failures: list[tuple[str, str]]  # name, reason
    resized: int  # how many had another size than the network's


def read_batch(images: list[tuple[str, Path | bytes]], size: int) -> FaceBatch:
    """Decode (name, path or bytes) images one after the other; an unreadable one becomes a failure with its reason."""
    names, faces, failures, resized = [], [], [], 0
    for name, source in images:
        try:
            face, was_resized = decode_image(source, size)
        except ValueError as error:
            failures.append((name, str(error)))
            continue
        names.append(name)
        faces.append(face)
        resized += was_resized
    return FaceBatch(names, np.stack(faces) if faces else np.empty((0, size, size, 3), np.uint8), failures, resized)


def face_batches(
    images: Iterable[tuple[str, Path | bytes]], batch_size: int, workers: int, size: int = 112
) -> Iterator[FaceBatch]:
    """Batches in the order of `images`, decoded by `workers` threads a few batches ahead (OpenCV releases the GIL).

    At most workers + 1 batches are held at a time, whatever the number of images.
    """
    images = iter(images)
    chunks = iter(lambda: list(islice(images, batch_size)), [])
    yield from ahead(lambda chunk: read_batch(chunk, size), chunks, workers)


class Embedder:
    """A backbone in inference mode on a device. Call it with faces uint8 [B, size, size, 3] BGR -> raw embeddings float32 [B, D].

    flip is "none", or what is done with the raw embedding of the mirrored face: "sum" adds it (arcface_torch's
    verification, AdaFace, CVLface), "concat" sets it behind, which gives [B, 2 * D]. weights: their file, for messages.

    When the device has not enough memory for a batch, the batch is halved, and stays so. Raises WorkError if even a
    single image does not fit, and for an embedding that is none (metrics.cosine.is_ordinary).
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        device: torch.device,
        flip: str = "none",
        weights: str = "the network",
    ) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.model = model.to(device)
        self.preprocessing = preprocessing
        self.device = device
        self.flip = flip
        self.weights = weights
        self.largest_batch = CPU_BATCH if device.type == "cpu" else None  # lowered when a batch does not fit

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        embeddings = self._embed(faces)
        if self.flip != "none":
            mirrored = self._embed(np.ascontiguousarray(faces[:, :, ::-1]))
            embeddings = embeddings + mirrored if self.flip == "sum" else np.hstack([embeddings, mirrored])
        if not is_ordinary(embeddings):
            raise WorkError(
                f"{self.weights}: gives an embedding with {ODD}; its weights are damaged, or their training diverged"
            )
        return embeddings

    def _embed(self, faces: np.ndarray) -> np.ndarray:
        done: list[np.ndarray] = []
        start = 0
        while start < len(faces):
            step = min(self.largest_batch or len(faces), len(faces) - start)
            try:
                done.append(self._forward(faces[start : start + step]))
                start += step
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if step == 1:
                    raise WorkError(
                        f"not enough memory on {self.device} for a single image; free some, or use --force_cpu"
                    ) from None
                self.largest_batch = step // 2
                torch.cuda.empty_cache()
        return np.concatenate(done) if done else np.empty((0, 0), np.float32)

    @torch.inference_mode()
    def _forward(self, faces: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(faces)
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)  # the threads decode on while it travels
        embeddings: torch.Tensor = self.model(to_input(batch, self.preprocessing))
        return np.asarray(embeddings.float().cpu())


def open_embedder(choice: ModelChoice) -> tuple[Backbone, Embedder]:
    """Load the weights of a choice onto its device, with its flip. Raises UserError for no such device, or no such weights."""
    assert choice.checkpoint is not None
    device = pick_device(choice.device)
    backbone = load_backbone(choice.checkpoint, choice.arch, choice.preprocessing)
    flip = backbone.flip_for(choice.flip)
    return backbone, Embedder(backbone.model, backbone.preprocessing, device, flip, str(choice.checkpoint))


def embed_images(
    embedder: Embedder,
    images: Sequence[tuple[str, Path | bytes]],
    batch_size: int,
    workers: int,
    progress: Callable[[int], object] = lambda images: None,
) -> tuple[dict[str, np.ndarray], list[tuple[str, str]]]:
    """(name -> raw embedding float32 [D], (name, reason) of what could not be read) of (name, path or bytes) images.

    progress is called after every batch with the number of images in it, unreadable ones included.
    """
    embeddings: dict[str, np.ndarray] = {}
    failures: list[tuple[str, str]] = []
    for batch in face_batches(images, batch_size, workers, embedder.preprocessing.size):
        embeddings |= zip(batch.names, embedder(batch.faces), strict=True)
        failures += batch.failures
        progress(len(batch.names) + len(batch.failures))
    return embeddings, failures


def resized_note(count: int, size: int) -> str:
    """What to tell of images that had another size than the network's."""
    images = counted(count, f"image was not a {size} px square and was", f"images were not {size} px squares and were")
    return f"{images} resized; unaligned photos give poor embeddings"
