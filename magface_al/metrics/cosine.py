"""Embeddings as directions and lengths, and the cosine above which two faces are called one person."""

from __future__ import annotations

import numpy as np

# A face's embedding is some tens long. Up to here its square, times its length, times thousands of images, is a float32:
# no figure overflows behind the readers and writers of embeddings, which refuse what is larger.
LARGEST = 1e6
ODD = f"a value that is inf, nan or beyond {LARGEST:,.0f}"  # of what is_ordinary refuses
THRESHOLD = 0.4  # cosine; AT it a pair is called different. On unit vectors it is the distance 1.095


def unit(embeddings: np.ndarray) -> np.ndarray:
    """float [N, D] -> float32 [N, D] of length 1; a zero row stays zero."""
    directions: np.ndarray = embeddings / np.maximum(magnitudes(embeddings), 1e-12)[:, None]
    return directions.astype(np.float32, copy=False)


def cosines(side1: np.ndarray, side2: np.ndarray) -> np.ndarray:
    """float [N, D] twice -> float64 [N], the cosine of each two rows; 0 where one of them is zero."""
    side1, side2 = side1.astype(float, copy=False), side2.astype(float, copy=False)
    lengths = np.linalg.norm(side1, axis=1) * np.linalg.norm(side2, axis=1)
    found: np.ndarray = np.einsum("nd,nd->n", side1, side2) / np.maximum(lengths, 1e-24)
    return found


def magnitudes(embeddings: np.ndarray) -> np.ndarray:
    """float [N, D] -> float32 [N], the Euclidean length of each row: MagFace's quality score."""
    lengths: np.ndarray = np.linalg.norm(embeddings, axis=1)
    return lengths


def is_ordinary(embeddings: np.ndarray) -> bool:
    """Whether all values of raw embeddings float [..., D] are finite and within LARGEST."""
    return not embeddings.size or bool(
        -LARGEST <= embeddings.min() and embeddings.max() <= LARGEST
    )  # never true of NaN
