"""How a face is drawn: head, eyes, nose and mouth, hair, what is worn, and the light on it."""

from __future__ import annotations

import cv2
import numpy as np

from magface_al.faces.drawn.canvas import OVERSAMPLING, SCALE, SIZE, Canvas, ellipse
from magface_al.faces.drawn.person import Person, Shot


def draw_face(who: Person, how: Shot) -> np.ndarray:
    """A picture without any camera's faults: uint8 [112, 112, 3] BGR."""
    canvas = Canvas(how)
    hair = who.hair * (1 - 0.6 * how.age) + np.array([190, 190, 190]) * 0.6 * how.age
    _draw_head(canvas, who, how, hair)
    for side in (-1, 1):
        _draw_eye(canvas, who, how, hair, side)
    _draw_nose_and_mouth(canvas, who, how, hair)
    _draw_hair(canvas, who, hair)
    _draw_worn(canvas, who, how)
    lit = canvas.pixels * _light(canvas, who, how)
    small = cv2.resize(np.clip(lit, 0, 255).astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    face: np.ndarray = cv2.GaussianBlur(small, (3, 3), 0.5)
    return face


def _outline(who: Person) -> np.ndarray:
    """The face's contour: forehead wide, jaw narrower, chin at the bottom."""
    angle = np.linspace(0, 2 * np.pi, 60)
    below = np.clip(np.sin(angle), 0, 1)
    x = np.cos(angle) * (who.width * (1 - below) + who.jaw * below + 0.18 * np.abs(np.sin(2 * angle)) * below)
    y = 0.15 + np.where(np.sin(angle) > 0, np.sin(angle) * (who.chin - 0.15), np.sin(angle) * 1.15)
    return np.column_stack([x, y])


def _draw_head(canvas: Canvas, who: Person, how: Shot, hair: np.ndarray) -> None:
    canvas.fill(
        ellipse(
            0,
            0.05 + max(0, who.hair_length) * 0.5,
            who.width + who.hair_volume + 0.02,
            1.2 + who.hair_volume + max(0, who.hair_length) * 0.5,
        ),
        -0.75,
        hair * 0.8,
    )
    canvas.fill(np.array([[-0.5, 0.8], [0.5, 0.8], [0.62, 2.2], [-0.62, 2.2]]), -0.5, who.skin * 0.78)
    for side in (-1, 1):
        canvas.fill(ellipse(side * (who.width + 0.02), 0.12, 0.13, 0.27), -0.55, who.skin * 0.85)
    outline = _outline(who)
    canvas.fill(outline, -0.25, who.skin)
    if who.beard:
        low = outline[(outline[:, 1] > 0.45)]
        inner = ellipse(0, 0.5, 0.52, 0.42, 0, np.pi, 0)
        canvas.fill(np.concatenate([low, inner]), -0.2, hair, who.beard)
    for x in (-0.5, 0.5):
        canvas.fill(ellipse(x, 0.42, 0.22, 0.16), -0.05, who.skin * np.array([0.86, 0.86, 1.03]), 0.3)
    for x, y in who.moles:
        canvas.fill(ellipse(x, y, 0.028, 0.028), 0.0, who.skin * 0.4)
    if how.age > 0.3:
        for y in (-0.62, -0.5):
            canvas.line(
                ellipse(0, y + 0.3, 0.45, 0.3, 0, np.pi * 1.25, np.pi * 1.75),
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


def _draw_eye(canvas: Canvas, who: Person, how: Shot, hair: np.ndarray, side: int) -> None:
    x, y = side * who.eye_distance, who.eye_height
    tilt = -side * who.eye_tilt
    opening = who.eye_size * who.eye_shape * how.eyes_open
    canvas.fill(ellipse(x, y, who.eye_size * 1.25, who.eye_size * 0.85, tilt), 0.0, who.skin * 0.86, 0.6)
    canvas.fill(ellipse(x, y, who.eye_size, opening, tilt), 0.02, np.array([236, 240, 242]))
    iris = min(opening, who.eye_size * 0.48)
    canvas.fill(ellipse(x, y, iris, iris), 0.04, who.iris)
    canvas.fill(ellipse(x, y, iris * 0.5, iris * 0.5), 0.05, np.array([15, 15, 15]))
    canvas.fill(ellipse(x - 0.03, y - 0.03, 0.018, 0.018), 0.06, np.array([255, 255, 255]))
    canvas.line(ellipse(x, y, who.eye_size, opening, tilt, np.pi, 2 * np.pi), 0.04, np.array([25, 25, 35]), 0.03)
    inner = np.array([x - side * 0.2, y - who.brow_height + side * 0 + who.brow_tilt * 0.6])
    outer = np.array([x + side * 0.24, y - who.brow_height + 0.02 - who.brow_tilt * 0.2])
    middle = (inner + outer) / 2 - (0, 0.05)
    canvas.line(np.array([inner, middle, outer]), 0.08, hair * 0.7, who.brow_thickness * 1.3)


def _draw_nose_and_mouth(canvas: Canvas, who: Person, how: Shot, hair: np.ndarray) -> None:
    top, tip = who.eye_height + 0.08, who.eye_height + 0.1 + who.nose_length
    side = 1 if how.light_x < 0 else -1
    canvas.fill(
        np.array([[side * 0.05, top], [side * 0.02, tip], [side * who.nose_width, tip]]),
        np.array([0.1, 0.38, 0.2]),
        who.skin * 0.8,
        0.6,
    )
    canvas.fill(ellipse(0, tip, who.nose_width, 0.085), 0.28, who.skin * 0.93)
    canvas.fill(ellipse(0, tip - 0.05, who.nose_width * 0.5, 0.07), 0.38, np.minimum(who.skin * 1.06, 255), 0.8)
    for nostril in (-1, 1):
        canvas.fill(ellipse(nostril * who.nose_width * 0.55, tip + 0.05, 0.042, 0.026), 0.26, who.skin * 0.42)
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
        canvas.fill(ellipse(0, y - who.lip_thickness - 0.06, half * 1.05, 0.075), 0.2, hair * 0.85, 0.9)


def _draw_hair(canvas: Canvas, who: Person, hair: np.ndarray) -> None:
    angle = np.linspace(np.pi, 2 * np.pi, 30)
    outer = np.column_stack(
        [np.cos(angle) * (who.width + who.hair_volume * 0.6), 0.05 + np.sin(angle) * (1.15 + who.hair_volume)]
    )
    x = np.linspace(who.width * 0.98, -who.width * 0.98, 25)
    fringe = who.hairline + 0.5 * np.abs(x / who.width) ** 3 + 0.14 * np.exp(-((x - who.parting) ** 2) / 0.12) * -1
    canvas.fill(np.concatenate([outer, np.column_stack([x, fringe])]), -0.12, hair)
    for k in range(7):
        bend = np.linspace(-0.85, 0.85, 7)[k]
        canvas.line(
            np.array(
                [[who.parting, who.hairline - 0.35], [bend * who.width * 0.9, who.hairline - 0.1 + 0.25 * bend**2]]
            ),
            -0.08,
            np.minimum(hair * (1.25 if k % 2 else 0.8) + 6, 255),
            0.012,
        )


def _draw_worn(canvas: Canvas, who: Person, how: Shot) -> None:
    """Glasses, and whatever hides a part of the face in this shot."""
    dark = how.occlusion == "sunglasses"
    if who.glasses or dark:
        for side in (-1, 1):
            rim = ellipse(side * who.eye_distance, who.eye_height + 0.02, 0.28, 0.22)
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
            canvas.fill(ellipse(0.55 - 0.2 * k, 1.05 - 0.06 * k, 0.1, 0.42, 0.35), 0.3, who.skin * (0.9 - 0.03 * k))


def _light(canvas: Canvas, who: Person, how: Shot) -> np.ndarray:
    """float32 [H, W, 1]: how bright each pixel is, as if the head were an ellipsoid lit from one side."""
    side = SIZE * OVERSAMPLING
    centre = canvas.project(np.array([[0.0, 0.25]]), -0.1)[0]
    x = (np.arange(side, dtype=np.float32)[None, :] - centre[0]) / (who.width * SCALE * OVERSAMPLING)
    y = (np.arange(side, dtype=np.float32)[:, None] - centre[1]) / (1.3 * SCALE * OVERSAMPLING)
    depth = np.sqrt(np.clip(1 - x**2 - y**2, 0.05, 1))
    facing = (x * how.light_x + y * how.light_y + depth) / np.sqrt(1 + how.light_x**2 + how.light_y**2)
    light: np.ndarray = 1 - how.contrast + how.contrast * 1.35 * np.clip(facing, 0, 1)
    return light.astype(np.float32)[..., None]
