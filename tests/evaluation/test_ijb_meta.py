"""Where the meta files of IJB and TinyFace place the images."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError
from magface_al.evaluation.ijb_meta import match_rows


def test_images_are_found_by_their_file_names():
    assert match_rows(["2.jpg", "loose/1.jpg", "9.jpg"], ["x/1.jpg", "y\\2.jpg"]).tolist() == [1, 0, -1]
    with pytest.raises(UserError, match="two images called 1.jpg"):
        match_rows(["1.jpg"], ["a/1.jpg", "b/1.jpg"])
