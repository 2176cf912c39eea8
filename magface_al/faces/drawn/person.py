"""A person who does not exist, and a shot of one: what stays from picture to picture, and what changes.

Both follow from seeds alone. Lengths are in face coordinates (canvas.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_SKINS = np.array(
    [[205, 224, 250], [170, 198, 236], [140, 172, 220], [105, 140, 196], [70, 102, 156], [46, 68, 110]], float
)
_HAIRS = np.array([[24, 22, 24], [30, 42, 66], [44, 72, 118], [96, 152, 200], [40, 60, 150], [150, 155, 160]], float)
_EYES = np.array([[40, 60, 90], [60, 90, 60], [150, 110, 60], [110, 110, 110]], float)
_RIMS = np.array([[30, 30, 30], [40, 60, 120], [120, 90, 40], [40, 40, 160]], float)


@dataclass(frozen=True)
class Person:
    """What identifies somebody. Colours are BGR 0..255, lengths in face units, angles in radians."""

    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    width: float
    jaw: float
    chin: float
    eye_distance: float
    eye_height: float
    eye_size: float
    eye_shape: float
    eye_tilt: float
    brow_height: float
    brow_thickness: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lip_thickness: float
    lip_redness: float
    hairline: float
    hair_volume: float
    hair_length: float
    parting: float
    beard: float
    moustache: bool
    glasses: bool
    rim: np.ndarray
    moles: np.ndarray  # [K, 2] positions on the face


@dataclass(frozen=True)
class Shot:
    """What differs from one picture of a person to the next. Angles in radians, light from -1 (left, top) to 1."""

    yaw: float
    pitch: float
    roll: float
    light_x: float
    light_y: float
    contrast: float
    smile: float
    eyes_open: float
    mouth_open: float
    age: float
    occlusion: str  # "", "sunglasses", "mask" or "hand"
    background: np.ndarray


def person(seed: int, number: int) -> Person:
    """Person `number` of the population `seed`."""
    rng = np.random.default_rng([seed, number, 1])

    def around(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.normal(), -2, 2))

    mix = rng.random()
    shade = int(rng.integers(len(_SKINS) - 1))
    return Person(
        skin=(_SKINS[shade] * mix + _SKINS[shade + 1] * (1 - mix)) * rng.uniform(0.96, 1.04, 3),
        hair=np.clip(_HAIRS[rng.integers(len(_HAIRS))] * rng.uniform(0.7, 1.2), 0, 255),
        iris=_EYES[rng.integers(len(_EYES))] * rng.uniform(0.8, 1.2),
        width=around(0.92, 0.07), jaw=around(0.74, 0.09), chin=around(1.36, 0.07),
        eye_distance=around(0.41, 0.03), eye_height=around(-0.1, 0.03), eye_size=around(0.17, 0.02),
        eye_shape=around(0.46, 0.1), eye_tilt=around(0.03, 0.09),
        brow_height=around(0.24, 0.045), brow_thickness=around(0.055, 0.02), brow_tilt=around(0.08, 0.11),
        nose_length=around(0.38, 0.06), nose_width=around(0.16, 0.035),
        mouth_height=around(0.82, 0.045), mouth_width=around(0.34, 0.05), lip_thickness=around(0.085, 0.025),
        lip_redness=float(rng.uniform(0.1, 0.8)),
        hairline=around(-0.72, 0.12), hair_volume=around(0.22, 0.08), hair_length=float(rng.choice([-0.2, 0.1, 0.9, 1.5])),
        parting=float(rng.uniform(-0.6, 0.6)),
        beard=float(rng.choice([0, 0, 0, 0.35, 0.75])), moustache=bool(rng.random() < 0.15),
        glasses=bool(rng.random() < 0.18), rim=_RIMS[rng.integers(len(_RIMS))],
        moles=rng.uniform([-0.6, 0.1], [0.6, 1.0], (rng.integers(0, 4), 2)),
    )  # fmt: skip


def shot(rng: np.random.Generator, pitch: float = 0.0) -> Shot:
    """One picture's circumstances; pitch is the mean tilt in radians that the camera's place brings."""
    return Shot(
        yaw=float(np.clip(rng.normal(0, 0.3), -0.75, 0.75)),
        pitch=float(np.clip(rng.normal(pitch, 0.13), -0.5, 0.5)),
        roll=float(rng.normal(0, 0.06)),
        light_x=float(rng.uniform(-1, 1)), light_y=float(rng.uniform(-1, 0.4)),
        contrast=float(rng.uniform(0.15, 0.55)),
        smile=float(rng.uniform(-0.4, 1)), eyes_open=float(rng.choice([1, 1, 1, 0.75, 0.45])),
        mouth_open=float(max(0, rng.normal(0, 0.5))), age=float(rng.random() ** 2),
        occlusion=str(rng.choice(["", "sunglasses", "mask", "hand"], p=[0.92, 0.03, 0.03, 0.02])),
        background=rng.uniform(30, 230, (2, 3)),
    )  # fmt: skip
