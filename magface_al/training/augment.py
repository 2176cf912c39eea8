"""What happens to a training face before the network sees it: AdaFace's three augmentations, and mirroring.

Sources: AdaFace dataset/augmenter.py @c60eaa78; the ranges of torchvision's RandomResizedCrop and ColorJitter there.
"""

from __future__ import annotations

import cv2
import numpy as np

from magface_al.training.recipe import Augmentation

INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
JITTER = 0.5
LUMINANCE_BGR = np.array([0.114, 0.587, 0.299], np.float32)  # ITU-R 601


def augment(face: np.ndarray, recipe: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """uint8 [H, W, 3] BGR -> the same size, changed as the recipe's probabilities decide."""
    if rng.random() < recipe.crop:
        face = cropped(face, rng)
    if rng.random() < recipe.low_resolution:
        face = low_resolution(face, rng)
    if rng.random() < recipe.photometric:
        face = photometric(face, rng, LUMINANCE_BGR[::-1] if recipe.adaface_luminance else LUMINANCE_BGR)
    return face[:, ::-1] if rng.random() < recipe.mirror else face


def cropped(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep a random rectangle where it is and make the rest black: 20 to 100 % of the area, 3:4 to 4:3."""
    height, width = face.shape[:2]
    for _ in range(10):
        area, ratio = height * width * rng.uniform(0.2, 1), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            kept = np.zeros_like(face)
            kept[top : top + h, left : left + w] = face[top : top + h, left : left + w]
            return kept
    return face


def low_resolution(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale down to 20 to 100 % of the side and up again, each way with a random interpolation."""
    height, width = face.shape[:2]
    ratio = rng.uniform(0.2, 1)
    small = (max(1, int(ratio * width)), max(1, int(ratio * height)))
    down, up = (INTERPOLATIONS[k] for k in rng.integers(len(INTERPOLATIONS), size=2))
    return cv2.resize(cv2.resize(face, small, interpolation=down), (width, height), interpolation=up)


def photometric(face: np.ndarray, rng: np.random.Generator, luminance: np.ndarray = LUMINANCE_BGR) -> np.ndarray:
    """Brightness, contrast and saturation times 0.5 to 1.5 each, in random order.

    luminance [3]: the weights of the channels. AdaFace hands BGR to code that expects RGB, which swaps red and blue.
    """
    pixels = face.astype(np.float32)
    for kind in rng.permutation(3):
        factor = np.float32(rng.uniform(1 - JITTER, 1 + JITTER))
        grey = pixels @ luminance
        towards = (np.float32(0), grey.mean(), grey[..., None])[kind]
        pixels = np.clip(towards + factor * (pixels - towards), 0, 255)
    return np.round(pixels).astype(np.uint8)
