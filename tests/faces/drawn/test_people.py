"""Drawn people."""

from __future__ import annotations

import numpy as np

from magface_al.faces.drawn.people import draw_people, draw_person


def test_drawn_people_stay_themselves_and_do_not_depend_on_order():
    alone = draw_person(3, 4, 1)
    drawn = {(person, image): face for person, image, face in draw_people(6, 2, 3)}
    assert np.array_equal(alone, drawn[4, 1])
    assert alone.shape == (112, 112, 3)
    assert alone.dtype == np.uint8
    assert not np.array_equal(drawn[4, 0], drawn[4, 1])
