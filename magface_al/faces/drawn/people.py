"""Drawn faces of people who do not exist, to try everything without anybody's pictures.

A `Person` is what stays (geometry and colours), a `Shot` what changes (pose, light, expression, age, occlusion); the
camera of a domain (cameras.py) does the rest. Everything follows from seeds: image k of person p is the same
whatever else is drawn.

Face coordinates: x to the right, y down, z towards the camera, in units of SCALE pixels around the image's centre, so
that eyes and mouth fall on the 112 x 112 ArcFace template.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from magface_al.faces.drawn.cameras import Camera, camera

SIZE = 112
_OVERSAMPLING = 2  # drawn larger and averaged down: smooth edges
SCALE = 44.0
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


def draw_person(seed: int, number: int, image: int, domain: str = "clean") -> np.ndarray:
    """Image `image` of person `number`: uint8 [112, 112, 3] BGR. Raises UserError for an unknown domain."""
    return _draw_with(camera(domain), seed, number, image)


def draw_people(
    people: int, images: int, seed: int, domain: str = "clean", first: int = 0
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(person, image, face uint8 [112, 112, 3] BGR) for `images` pictures of each of the people first, first + 1, ..."""
    lens = camera(domain)
    for number in range(first, first + people):
        for image in range(images):
            yield number, image, _draw_with(lens, seed, number, image)


def _draw_with(lens: Camera, seed: int, number: int, image: int) -> np.ndarray:
    rng = np.random.default_rng([seed, number, image, 2])
    face = draw_face(person(seed, number), shot(rng, lens.pitch))
    return lens.take(face, rng)


class _Canvas:
    """A picture in face coordinates: projects points by the shot's pose and fills shapes."""

    def __init__(self, shot: Shot) -> None:
        side = SIZE * _OVERSAMPLING
        ramp = np.linspace(0, 1, side)[:, None, None]
        self.pixels = np.ascontiguousarray(
            np.broadcast_to(shot.background[0] * (1 - ramp) + shot.background[1] * ramp, (side, side, 3)), np.uint8
        )
        cy, sy, cp, sp, cr, sr = (f(a) for a in (shot.yaw, shot.pitch, shot.roll) for f in (np.cos, np.sin))
        yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        self._pose = roll @ pitch @ yaw
        self._head = np.array([0, 0.3, -0.55])  # the head turns about a point behind the face

    def project(self, points: np.ndarray, depth: float | np.ndarray) -> np.ndarray:
        """Face points [K, 2] at the given depth -> pixels, float [K, 2]."""
        space = np.column_stack([points, np.broadcast_to(depth, len(points))]) - self._head
        turned = space @ self._pose.T + self._head
        return (turned[:, :2] * SCALE + SIZE / 2) * _OVERSAMPLING

    def fill(self, points: np.ndarray, depth: float | np.ndarray, colour: np.ndarray, opacity: float = 1.0) -> None:
        """Fill a polygon of face points."""
        pixels = np.round(self.project(points, depth) * 16).astype(np.int32)
        if opacity >= 1:
            cv2.fillPoly(self.pixels, [pixels], tuple(map(float, colour)), cv2.LINE_AA, 4)
            return
        layer = self.pixels.copy()
        cv2.fillPoly(layer, [pixels], tuple(map(float, colour)), cv2.LINE_AA, 4)
        cv2.addWeighted(layer, opacity, self.pixels, 1 - opacity, 0, self.pixels)

    def line(self, points: np.ndarray, depth: float, colour: np.ndarray, width: float) -> None:
        """Draw an open line through face points; width in face units."""
        pixels = np.round(self.project(points, depth) * 16).astype(np.int32)
        thickness = max(1, round(width * SCALE * _OVERSAMPLING))
        cv2.polylines(self.pixels, [pixels], False, tuple(map(float, colour)), thickness, cv2.LINE_AA, 4)


def _ellipse(
    x: float, y: float, rx: float, ry: float, tilt: float = 0.0, start: float = 0.0, end: float = 2 * np.pi
) -> np.ndarray:
    angle = np.linspace(start, end, 28)
    points = np.column_stack([rx * np.cos(angle), ry * np.sin(angle)])
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    return points @ turn.T + (x, y)


def draw_face(who: Person, how: Shot) -> np.ndarray:
    """A picture without any camera's faults: uint8 [112, 112, 3] BGR."""
    canvas = _Canvas(how)
    hair = who.hair * (1 - 0.6 * how.age) + np.array([190, 190, 190]) * 0.6 * how.age
    _draw_head(canvas, who, how, hair)
    for side in (-1, 1):
        _draw_eye(canvas, who, how, hair, side)
    _draw_nose_and_mouth(canvas, who, how, hair)
    _draw_hair(canvas, who, hair)
    _draw_worn(canvas, who, how)
    lit = canvas.pixels * _light(canvas, who, how)
    small = cv2.resize(np.clip(lit, 0, 255).astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (3, 3), 0.5)


def _outline(who: Person) -> np.ndarray:
    """The face's contour: forehead wide, jaw narrower, chin at the bottom."""
    angle = np.linspace(0, 2 * np.pi, 60)
    below = np.clip(np.sin(angle), 0, 1)
    x = np.cos(angle) * (who.width * (1 - below) + who.jaw * below + 0.18 * np.abs(np.sin(2 * angle)) * below)
    y = 0.15 + np.where(np.sin(angle) > 0, np.sin(angle) * (who.chin - 0.15), np.sin(angle) * 1.15)
    return np.column_stack([x, y])


def _draw_head(canvas: _Canvas, who: Person, how: Shot, hair: np.ndarray) -> None:
    canvas.fill(_ellipse(0, 0.05 + max(0, who.hair_length) * 0.5, who.width + who.hair_volume + 0.02,
                         1.2 + who.hair_volume + max(0, who.hair_length) * 0.5), -0.75, hair * 0.8)  # fmt: skip
    canvas.fill(np.array([[-0.5, 0.8], [0.5, 0.8], [0.62, 2.2], [-0.62, 2.2]]), -0.5, who.skin * 0.78)
    for side in (-1, 1):
        canvas.fill(_ellipse(side * (who.width + 0.02), 0.12, 0.13, 0.27), -0.55, who.skin * 0.85)
    outline = _outline(who)
    canvas.fill(outline, -0.25, who.skin)
    if who.beard:
        low = outline[(outline[:, 1] > 0.45)]
        inner = _ellipse(0, 0.5, 0.52, 0.42, 0, np.pi, 0)
        canvas.fill(np.concatenate([low, inner]), -0.2, hair, who.beard)
    for x in (-0.5, 0.5):
        canvas.fill(_ellipse(x, 0.42, 0.22, 0.16), -0.05, who.skin * np.array([0.86, 0.86, 1.03]), 0.3)
    for x, y in who.moles:
        canvas.fill(_ellipse(x, y, 0.028, 0.028), 0.0, who.skin * 0.4)
    if how.age > 0.3:
        for y in (-0.62, -0.5):
            canvas.line(
                _ellipse(0, y + 0.3, 0.45, 0.3, 0, np.pi * 1.25, np.pi * 1.75),
                0.0,
                who.skin * (1 - 0.25 * how.age),
                0.012,
            )
        for side in (-1, 1):
            canvas.line(
                np.array([[side * 0.22, 0.5], [side * 0.36, 0.66], [side * 0.38, 0.8]]),
                0.05,
                who.skin * (1 - 0.25 * how.age),
                0.015,
            )


def _draw_eye(canvas: _Canvas, who: Person, how: Shot, hair: np.ndarray, side: int) -> None:
    x, y = side * who.eye_distance, who.eye_height
    tilt = -side * who.eye_tilt
    opening = who.eye_size * who.eye_shape * how.eyes_open
    canvas.fill(_ellipse(x, y, who.eye_size * 1.25, who.eye_size * 0.85, tilt), 0.0, who.skin * 0.86, 0.6)
    canvas.fill(_ellipse(x, y, who.eye_size, opening, tilt), 0.02, np.array([236, 240, 242]))
    iris = min(opening, who.eye_size * 0.48)
    canvas.fill(_ellipse(x, y, iris, iris), 0.04, who.iris)
    canvas.fill(_ellipse(x, y, iris * 0.5, iris * 0.5), 0.05, np.array([15, 15, 15]))
    canvas.fill(_ellipse(x - 0.03, y - 0.03, 0.018, 0.018), 0.06, np.array([255, 255, 255]))
    canvas.line(_ellipse(x, y, who.eye_size, opening, tilt, np.pi, 2 * np.pi), 0.04, np.array([25, 25, 35]), 0.03)
    inner = np.array([x - side * 0.2, y - who.brow_height + side * 0 + who.brow_tilt * 0.6])
    outer = np.array([x + side * 0.24, y - who.brow_height + 0.02 - who.brow_tilt * 0.2])
    middle = (inner + outer) / 2 - (0, 0.05)
    canvas.line(np.array([inner, middle, outer]), 0.08, hair * 0.7, who.brow_thickness * 1.3)


def _draw_nose_and_mouth(canvas: _Canvas, who: Person, how: Shot, hair: np.ndarray) -> None:
    top, tip = who.eye_height + 0.08, who.eye_height + 0.1 + who.nose_length
    side = 1 if how.light_x < 0 else -1
    canvas.fill(
        np.array([[side * 0.05, top], [side * 0.02, tip], [side * who.nose_width, tip]]),
        np.array([0.1, 0.38, 0.2]),
        who.skin * 0.8,
        0.6,
    )
    canvas.fill(_ellipse(0, tip, who.nose_width, 0.085), 0.28, who.skin * 0.93)
    canvas.fill(_ellipse(0, tip - 0.05, who.nose_width * 0.5, 0.07), 0.38, np.minimum(who.skin * 1.06, 255), 0.8)
    for x in (-1, 1):
        canvas.fill(_ellipse(x * who.nose_width * 0.55, tip + 0.05, 0.042, 0.026), 0.26, who.skin * 0.42)
    lips = who.skin * (1 - who.lip_redness * np.array([0.45, 0.5, 0.12]))
    half, y = who.mouth_width * (1 + 0.12 * how.smile), who.mouth_height
    x = np.linspace(-1, 1, 21)
    corner = -0.09 * how.smile * x**2 + 0.03 * how.smile
    gap = 0.07 * how.mouth_open * (1 - x**2)
    upper = np.column_stack(
        [x * half, y + corner - (1 - x**2) * who.lip_thickness * (0.8 + 0.2 * np.cos(3 * np.pi * x))]
    )
    lower = np.column_stack([x * half, y + corner + gap + (1 - x**2) * who.lip_thickness * 1.15])
    canvas.fill(np.concatenate([upper, lower[::-1]]), 0.16, lips * 0.92)
    between = np.concatenate(
        [np.column_stack([x * half, y + corner]), np.column_stack([x * half, y + corner + gap])[::-1]]
    )
    canvas.fill(between, 0.17, np.array([50, 40, 70]) if how.mouth_open < 0.5 else np.array([225, 230, 235]))
    canvas.line(np.column_stack([x * half, y + corner]), 0.17, lips * 0.5, 0.014)
    if who.moustache:
        canvas.fill(_ellipse(0, y - who.lip_thickness - 0.06, half * 1.05, 0.075), 0.2, hair * 0.85, 0.9)


def _draw_hair(canvas: _Canvas, who: Person, hair: np.ndarray) -> None:
    angle = np.linspace(np.pi, 2 * np.pi, 30)
    outer = np.column_stack(
        [np.cos(angle) * (who.width + who.hair_volume * 0.6), 0.05 + np.sin(angle) * (1.15 + who.hair_volume)]
    )
    x = np.linspace(who.width * 0.98, -who.width * 0.98, 25)
    fringe = who.hairline + 0.5 * np.abs(x / who.width) ** 3 + 0.14 * np.exp(-((x - who.parting) ** 2) / 0.12) * -1
    canvas.fill(np.concatenate([outer, np.column_stack([x, fringe])]), -0.12, hair)
    for k in range(7):
        bend = np.linspace(-0.85, 0.85, 7)[k]
        canvas.line(np.array([[who.parting, who.hairline - 0.35], [bend * who.width * 0.9, who.hairline - 0.1 + 0.25 * bend**2]]), -0.08,
                    np.minimum(hair * (1.25 if k % 2 else 0.8) + 6, 255), 0.012)  # fmt: skip


def _draw_worn(canvas: _Canvas, who: Person, how: Shot) -> None:
    """Glasses, and whatever hides a part of the face in this shot."""
    dark = how.occlusion == "sunglasses"
    if who.glasses or dark:
        for side in (-1, 1):
            rim = _ellipse(side * who.eye_distance, who.eye_height + 0.02, 0.28, 0.22)
            if dark:
                canvas.fill(rim, 0.14, np.array([25, 22, 22]))
            canvas.line(rim, 0.14, who.rim, 0.025)
        canvas.line(np.array([[-0.14, who.eye_height], [0.14, who.eye_height]]), 0.2, who.rim, 0.03)
    if how.occlusion == "mask":
        canvas.fill(
            np.array([[-0.85, 0.3], [0, 0.2], [0.85, 0.3], [0.7, 1.05], [0, 1.4], [-0.7, 1.05]]),
            0.2,
            how.background[1] * 0.3 + 150,
        )
    if how.occlusion == "hand":
        for k in range(4):
            canvas.fill(_ellipse(0.55 - 0.2 * k, 1.05 - 0.06 * k, 0.1, 0.42, 0.35), 0.3, who.skin * (0.9 - 0.03 * k))


def _light(canvas: _Canvas, who: Person, how: Shot) -> np.ndarray:
    """float32 [H, W, 1]: how bright each pixel is, as if the head were an ellipsoid lit from one side."""
    side = SIZE * _OVERSAMPLING
    centre = canvas.project(np.array([[0.0, 0.25]]), -0.1)[0]
    x = (np.arange(side, dtype=np.float32)[None, :] - centre[0]) / (who.width * SCALE * _OVERSAMPLING)
    y = (np.arange(side, dtype=np.float32)[:, None] - centre[1]) / (1.3 * SCALE * _OVERSAMPLING)
    depth = np.sqrt(np.clip(1 - x**2 - y**2, 0.05, 1))
    facing = (x * how.light_x + y * how.light_y + depth) / np.sqrt(1 + how.light_x**2 + how.light_y**2)
    return (1 - how.contrast + how.contrast * 1.35 * np.clip(facing, 0, 1)).astype(np.float32)[..., None]
