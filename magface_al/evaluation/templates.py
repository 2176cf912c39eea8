"""Templates: one direction for all images of a person in one set, pooled media by media; and scores of template pairs.

Images of one media (a video) are averaged first, so that a long video does not outweigh a photo; the media are added.
What an image weighs is the choice of Pooling. Everything runs over blocks, so that memory does not grow with the images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from magface_al.command.errors import UserError
from magface_al.metrics.cosine import magnitudes, unit

ROWS = 16384  # of features read at a time; 32 MiB at 512 values
PAIRS = 4096  # scored at a time: both sides stay in the processor's cache


@dataclass(frozen=True)
class Pooling:
    """An image counts as its unit embedding times magnitude ** magnitude_power times its detection score if `detection`.

    unit_media: bring each media's mean to length 1 before the media are added. meaning: for --help.
    """

    meaning: str
    magnitude_power: int
    detection: bool = False
    unit_media: bool = False


# The first is the default. "magnitude" is MagFace's --magface_qlt 1 and insightface's N1D0; "uniform" N0D0, "detection"
# N0D1, "insightface" N1D1, the default of arcface_torch/eval_ijbc.py (whose use_norm_score=True keeps the norm; in
# ijb_evals.py the name means the opposite). "magface" is eval_ijb.py without --magface_qlt, "adaface" multiplies by the
# norm once more (validation_mixed/validate_IJB_BC.py @c60eaa78).
POOLINGS = {
    "magnitude": Pooling("its magnitude", 1),
    "uniform": Pooling("the same as every other", 0),
    "detection": Pooling("its detection score", 0, detection=True),
    "insightface": Pooling("its magnitude times its detection score", 1, detection=True),
    "magface": Pooling("its magnitude, and every media the same, as MagFace does", 1, unit_media=True),
    "adaface": Pooling("its magnitude squared, as AdaFace does", 2),
}


@dataclass(frozen=True)
class Templates:
    """ids int64 [T], rising; directions float32 [T, D] of length 1."""

    ids: np.ndarray
    directions: np.ndarray

    def rows(self, ids: np.ndarray, what: str) -> np.ndarray:
        """int64 [N]: where those templates stand. Raises UserError, beginning with `what`, for one without images."""
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        absent = self.ids[rows] != ids
        if absent.any():
            raise UserError(
                f"{what}: template {ids[absent][0]} has no images ({np.unique(ids[absent]).size} such templates)"
            )
        return rows


def pool_templates(
    embeddings: np.ndarray,
    rows: np.ndarray,
    template: np.ndarray,
    media: np.ndarray,
    detection: np.ndarray | None,
    pooling: Pooling,
    progress: Callable[[int], object] = lambda images: None,
) -> Templates:
    """Pool N images. rows [N] int: where each image's raw embedding stands in embeddings [M, D], which may be a memory map.

    template and media int [N]; detection float [N] or None; progress is told how many images are done.
    """
    order = np.lexsort((media, template))
    rows, template, media = rows[order], template[order], media[order]
    weight = np.ones(len(rows), np.float32) if detection is None or not pooling.detection else detection[order]
    starts = np.flatnonzero(np.append(True, template[1:] != template[:-1]))
    edges = np.append(starts, len(rows))
    directions = np.empty((len(starts), embeddings.shape[1]), np.float32)
    first = 0
    while first < len(starts):  # as many whole templates as fit into a block, but at least one
        last = max(first + 1, int(np.searchsorted(edges, edges[first] + ROWS, side="right")) - 1)
        block = slice(edges[first], edges[last])
        faces = _weighted(embeddings[rows[block]], weight[block], pooling)
        directions[first:last] = _pool(faces, template[block], media[block], pooling)
        progress(len(faces))
        first = last
    return Templates(template[starts], directions)


def _weighted(faces: np.ndarray, weight: np.ndarray, pooling: Pooling) -> np.ndarray:
    if pooling.magnitude_power != 1:
        lengths = np.maximum(magnitudes(faces), 1e-12)
        weight = weight * lengths ** (pooling.magnitude_power - 1)
    weighted: np.ndarray = faces * weight[:, None]
    return weighted


def _pool(faces: np.ndarray, template: np.ndarray, media: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Sorted rows of whole templates -> unit rows float32, one a template."""
    new_template = np.append(True, template[1:] != template[:-1])
    media_starts = np.flatnonzero(new_template | np.append(True, media[1:] != media[:-1]))
    counts = np.diff(np.append(media_starts, len(faces)))
    means = np.add.reduceat(faces, media_starts) / counts[:, None]
    if pooling.unit_media:
        means = unit(means)
    return unit(np.add.reduceat(means, np.flatnonzero(new_template[media_starts])))


def score_template_pairs(
    directions: np.ndarray, rows1: np.ndarray, rows2: np.ndarray, progress: Callable[[int], object] = lambda pairs: None
) -> np.ndarray:
    """float32 [P]: cosines of rows1[k] and rows2[k] of directions float32 [T, D]; progress is told how many are done."""
    similarity = np.empty(len(rows1), np.float32)
    for start in range(0, len(rows1), PAIRS):
        block = slice(start, start + PAIRS)
        np.einsum("nd,nd->n", directions[rows1[block]], directions[rows2[block]], out=similarity[block])
        progress(len(rows1[block]))
    return similarity
