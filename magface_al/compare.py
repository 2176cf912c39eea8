"""How alike two or more face images are to a model:

from magface_al.metrics.cosine import THRESHOLD
from magface_al.compare import compare
print(compare("magface_epoch_00025.pth", ["a.jpg", "b.jpg"]))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from magface_al.command.errors import UserError
from magface_al.embedding.model_flags import ModelChoice
from magface_al.metrics.cosine import THRESHOLD, magnitudes, unit

if TYPE_CHECKING:
    from magface_al.embedding.embedder import Embedder


@dataclass(frozen=True)
class FaceMatrix:
    """Every image against every other, and print() shows it as a table.

    names [N] as given; faces uint8 [N, size, size, 3] BGR; similarity float32 [N, N], cosine in [-1, 1]; magnitude
    float32 [N], MagFace's quality; resized: how many images had another size than the network's.
    """

    names: list[str]
    faces: np.ndarray
    similarity: np.ndarray
    magnitude: np.ndarray
    threshold: float
    resized: int

    def same(self) -> np.ndarray:
        """bool [N, N]: who is called the same person. A similarity AT the threshold is called different."""
        return self.similarity > self.threshold

    def __str__(self) -> str:
        numbers = range(1, len(self.names) + 1)
        header = "".join(f"{number:>8}" for number in numbers)
        rows = [
            f"{number:>4}"
            + "".join(f"{value:7.3f}{'*' if same else ' '}" for value, same in zip(values, called, strict=True))
            + f"  {magnitude:9.2f}  {name}"
            for number, values, called, magnitude, name in zip(
                numbers, self.similarity, self.same(), self.magnitude, self.names, strict=True
            )
        ]
        return "\n".join(
            [f"    {header}  magnitude  image", *rows, f"* above {self.threshold:g}: called the same person"]
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON; with its `pairs` it is also a pairs file that nobody has answered yet."""
        same = self.same()
        pairs = [
            {
                "image1": self.names[i],
                "image2": self.names[j],
                "label": None,
                "similarity": round(float(self.similarity[i, j]), 6),
                "decision": "same" if same[i, j] else "different",
            }
            for i in range(len(self.names))
            for j in range(i + 1, len(self.names))
        ]
        images = [{"image": name, "magnitude": round(float(magnitude), 4)}
                  for name, magnitude in zip(self.names, self.magnitude, strict=True)]  # fmt: skip
        matrix = [[round(float(value), 6) for value in row] for row in self.similarity]
        return {"threshold": self.threshold, "images": images, "similarity": matrix, "pairs": pairs}


def compare(
    checkpoint: str | Path,
    images: Sequence[str | Path],
    threshold: float = THRESHOLD,
    *,
    arch: str = "auto",
    preprocessing: str = "auto",
    device: str = "auto",
    flip: str = "none",
) -> FaceMatrix:
    """Embed aligned face images and compare each with each. Raises UserError for a file that is no image, or fewer than two.

    threshold: cosine above which two images are called the same person; the others as the scripts' flags of that name.
    """
    from magface_al.embedding.embedder import open_embedder

    require_two(images)
    _, embedder = open_embedder(ModelChoice(Path(checkpoint), arch, preprocessing, device, flip=flip))
    return compare_with(embedder, images, threshold)


def compare_with(embedder: Embedder, images: Sequence[str | Path], threshold: float) -> FaceMatrix:
    """The same for two or more images, with a network that is loaded already."""
    from magface_al.embedding.embedder import read_batch

    batch = read_batch([(str(image), Path(image)) for image in images], embedder.preprocessing.size)
    if batch.failures:
        name, reason = batch.failures[0]
        more = f" ({len(batch.failures)} of the {len(images)} images cannot be read)" if len(batch.failures) > 1 else ""
        raise UserError(f"{name}: {reason}, expected a face image{more}")
    embeddings = embedder(batch.faces)
    directions = unit(embeddings)
    similarity = np.clip(directions @ directions.T, -1, 1)
    return FaceMatrix(batch.names, batch.faces, similarity, magnitudes(embeddings), threshold, batch.resized)


def require_two(images: Sequence[str | Path]) -> None:
    """Raises UserError for fewer than two images; asked before the weights are loaded, which takes longer."""
    if len(images) < 2:
        raise UserError(f"{len(images)} image given, expected two or more to compare")
