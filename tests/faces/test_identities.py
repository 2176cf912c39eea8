"""Lists of images and who is on them."""

from __future__ import annotations

from magface_al.faces.identities import identity_lines


def test_a_list_is_read_line_by_line(tmp_path):
    (tmp_path / "l").write_text("a b\n\nc 0 d 0\n")
    assert list(identity_lines(tmp_path / "l")) == [(1, "a", "b"), (3, "c", "d")]
