"""Tables of results."""

from __future__ import annotations

from magface_al.evaluation.results import distinct_names


def test_models_are_called_by_the_end_of_their_path_that_tells_them_apart():
    assert distinct_names(["a/x/best.pth", "a/y/best.pth", "z.pth"]) == ["x/best.pth", "y/best.pth", "z.pth"]
    assert distinct_names(["a/x/best.pth"]) == ["best.pth"]
