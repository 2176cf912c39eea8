"""The cameras that drawn faces are seen through: what makes one domain look unlike another."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from magface_al.command.errors import UserError


@dataclass(frozen=True)
class Camera:
    """Ranges (low, high) that each picture draws its own values from; pixels are 0..255."""

    side: tuple[int, int]  # real resolution of the face in pixels, before it is scaled to 112
    brightness: tuple[float, float]
    noise: tuple[float, float]  # standard deviation
    blur: tuple[float, float]  # sigma in pixels of the 112 picture
    quality: tuple[int, int]  # of JPEG
    grey: float  # probability of a picture without colour
    pitch: float  # mean tilt in radians: above 0 the camera looks down on people
    vignette: float = 0.0  # how much darker the corners are

    def take(self, face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 [112, 112, 3] BGR -> the same as this camera records it."""
        size = face.shape[0]
        side = int(rng.integers(self.side[0], self.side[1] + 1))
        if side < size:
            face = cv2.resize(
                cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA),
                (size, size),
                interpolation=cv2.INTER_CUBIC,
            )
        sigma = rng.uniform(*self.blur)
        if sigma > 0.3:
            face = cv2.GaussianBlur(face, (0, 0), sigma)
        if rng.random() < self.grey:
            face = cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        seen = face * np.float32(rng.uniform(*self.brightness))
        if self.vignette:
            distance = np.linspace(-1, 1, size, dtype=np.float32) ** 2
            seen *= 1 - self.vignette * 0.5 * (distance[:, None] + distance[None, :])[..., None]
        seen += rng.normal(0, rng.uniform(*self.noise), seen.shape[:2])[..., None].astype(np.float32)
        recorded = np.clip(seen, 0, 255).astype(np.uint8)
        _, data = cv2.imencode(
            ".jpg", recorded, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(self.quality[0], self.quality[1] + 1))]
        )
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded


DOMAINS = {
    "clean": Camera(side=(44, 112), brightness=(0.6, 1.2), noise=(0, 8), blur=(0, 1.4), quality=(50, 95), grey=0.2, pitch=0.0),
    "cctv": Camera(side=(28, 44), brightness=(0.5, 0.9), noise=(3, 8), blur=(0.3, 1.2), quality=(30, 65), grey=0.6, pitch=0.18, vignette=0.4),
    "night": Camera(side=(40, 80), brightness=(0.15, 0.4), noise=(6, 14), blur=(0.3, 1.5), quality=(50, 80), grey=1.0, pitch=0.05, vignette=0.7),
}  # fmt: skip


def camera(domain: str) -> Camera:
    """The camera of a domain. Raises UserError for an unknown name."""
    if domain not in DOMAINS:
        raise UserError(f"domain {domain!r} is unknown, expected one of {', '.join(DOMAINS)}")
    return DOMAINS[domain]
