"""Training batches: which images a process takes in a step, decoded and augmented in threads ahead of the network.

Order and augmentation follow from seed, epoch and image alone, so they are the same after an interruption and on any
number of processes and threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from magface_al.command.ahead import ahead
from magface_al.command.errors import UserError, WorkError
from magface_al.command.replacing import replacing
from magface_al.faces.preprocess import decode_image
from magface_al.faces.training_set import TrainingSet
from magface_al.training.augment import augment
from magface_al.training.recipe import Augmentation

TRIES = 10


@dataclass(frozen=True)
class Batch:
    """faces uint8 [B, size, size, 3] BGR, labels int64 [B]."""

    faces: np.ndarray
    labels: np.ndarray


def rows_of_epoch(
    count: int, batch_size: int, parts: int, part: int, accumulate: int, seed: int, epoch: int
) -> np.ndarray:
    """int64 [steps, accumulate, batch_size / accumulate / parts]: the images that process `part` of `parts` takes.

    A step's images are the same however many processes share them. Up to batch_size - 1 images are left out of an
    epoch, other ones each time.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    steps = count // batch_size
    return order[: steps * batch_size].reshape(steps, accumulate, parts, -1)[:, :, part]


class FaceReader:
    """Reads training faces. An image that cannot be read is remembered with the reason, and the next one takes its place.

    Raises WorkError when ten images in a row cannot be read, or more than ten and more than the share `max_bad` of all.
    """

    def __init__(
        self, data: TrainingSet, size: int, augmentation: Augmentation, seed: int, workers: int, max_bad: float
    ) -> None:
        self.data, self.size, self.augmentation, self.seed, self.workers = data, size, augmentation, seed, workers
        self.max_bad = max_bad
        self.failures: dict[int, str] = {}  # image -> reason
        self.resized: int | None = None  # the first image that had another size than the network's

    def batches(self, rows: np.ndarray, epoch: int) -> Iterator[Batch]:
        """A batch for each of rows int64 [K, B]."""
        yield from ahead(lambda images: self._read(images, epoch), rows, self.workers)

    def plain_faces(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """Faces uint8 [B, size, size, 3] of images int64 [N] as they are, in batches."""
        plain = FaceReader(self.data, self.size, Augmentation(mirror=0.0), self.seed, self.workers, self.max_bad)
        for batch in ahead(
            lambda chunk: plain._read(chunk, 0), np.array_split(images, -(-len(images) // 128)), self.workers
        ):
            yield batch.faces

    def write_samples(self, path: Path, count: int = 32) -> None:
        """Write the first faces of the first epoch as they are trained on, so that a person can check colours and crops."""
        images = np.random.default_rng([self.seed, 1]).permutation(len(self.data))[:count]
        faces = self._read(images, 1).faces
        rows = [
            np.concatenate(list(faces[start : start + 8]), axis=1) for start in range(0, len(faces) - len(faces) % 8, 8)
        ]
        rows = rows or [np.concatenate(list(faces), axis=1)]
        with replacing(path, "wb") as file:
            file.write(cv2.imencode(".png", np.concatenate(rows))[1].tobytes())

    def _read(self, images: np.ndarray, epoch: int) -> Batch:
        found = [self._face(int(image), epoch) for image in images]
        return Batch(np.stack([face for _, face in found]), self.data.labels[[image for image, _ in found]])

    def _face(self, image: int, epoch: int) -> tuple[int, np.ndarray]:
        for following in range(TRIES):
            number = (image + following) % len(self.data)
            try:
                face, was_resized = decode_image(self.data.read(number), self.size)
            except (ValueError, UserError) as error:
                self.failures[number] = str(error)
                self._check_failures()
                continue
            if was_resized and self.resized is None:
                self.resized = number
            return number, augment(face, self.augmentation, np.random.default_rng([self.seed, epoch, image]))
        raise WorkError(
            f"{self.data.name(image)}: {self.failures[image]}; nor could the {TRIES - 1} images after it be read; "
            "are the paths right, and --root?"
        )

    def _check_failures(self) -> None:
        if len(self.failures) > max(TRIES, self.max_bad * len(self.data)):
            image, reason = next(iter(self.failures.items()))
            raise WorkError(
                f"{len(self.failures)} of {len(self.data)} images could not be read (first: {self.data.name(image)}: {reason}), "
                "more than --max_bad_images allows"
            )
