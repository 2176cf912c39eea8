"""A picture in face coordinates: x to the right, y down, z towards the camera, in units of SCALE pixels around its centre,
so that eyes and mouth fall on the 112 x 112 ArcFace template."""

from __future__ import annotations

import cv2
import numpy as np

from magface_al.faces.drawn.person import Shot

SIZE = 112
OVERSAMPLING = 2  # drawn larger and averaged down: smooth edges
SCALE = 44.0


class Canvas:
    """Projects points by the shot's pose and fills shapes."""

    def __init__(self, shot: Shot) -> None:
        side = SIZE * OVERSAMPLING
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
        pixels: np.ndarray = (turned[:, :2] * SCALE + SIZE / 2) * OVERSAMPLING
        return pixels

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
        thickness = max(1, round(width * SCALE * OVERSAMPLING))
        cv2.polylines(self.pixels, [pixels], False, tuple(map(float, colour)), thickness, cv2.LINE_AA, 4)


def ellipse(
    x: float, y: float, rx: float, ry: float, tilt: float = 0.0, start: float = 0.0, end: float = 2 * np.pi
) -> np.ndarray:
    """Face points [28, 2] on an ellipse around (x, y), turned by tilt; start to end is the part of it, all in radians."""
    angle = np.linspace(start, end, 28)
    points = np.column_stack([rx * np.cos(angle), ry * np.sin(angle)])
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    turned: np.ndarray = points @ turn.T + (x, y)
    return turned
