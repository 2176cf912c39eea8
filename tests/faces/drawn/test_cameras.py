"""Drawn people under different cameras."""

from __future__ import annotations

import cv2
import numpy as np

from magface_al.faces.drawn.people import draw_people


def test_domains_look_different():
    def sharpness(domain):
        return np.mean(
            [cv2.Laplacian(cv2.medianBlur(face, 5), cv2.CV_64F).var() for _, _, face in draw_people(20, 1, 0, domain)]
        )

    def brightness(domain):
        return np.mean([face.mean() for _, _, face in draw_people(20, 1, 0, domain)])

    assert sharpness("cctv") < 0.5 * sharpness("clean")
    assert brightness("night") < brightness("cctv") < brightness("clean")
