"""Numbers with their words."""

from __future__ import annotations

import pytest

from magface_al.command.words import counted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((1, "image"), "1 image"),
        ((0, "image"), "0 images"),
        ((2, "image"), "2 images"),
        ((1, "person", "people"), "1 person"),
        ((3, "person", "people"), "3 people"),
        ((1, "image was", "images were"), "1 image was"),
    ],
)
def test_one_is_not_many(given, said):
    assert counted(*given) == said
