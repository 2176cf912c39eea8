"""Drawn faces of people who do not exist, to try everything without anybody's pictures.

person.py says who they are and how they are seen, face.py draws them, the camera of a domain (cameras.py) does the rest.
Everything follows from seeds: image k of person p is the same whatever else is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from magface_al.faces.drawn.cameras import Camera, camera
from magface_al.faces.drawn.face import draw_face
from magface_al.faces.drawn.person import person, shot


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
