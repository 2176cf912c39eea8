"""Where the meta files of IJB and TinyFace place the images."""

from __future__ import annotations

import warnings

import pytest

from magface_al.command.errors import UserError
from magface_al.evaluation.ijb_meta import match_rows, read_faces, read_roster, read_template_pairs
from magface_al.evaluation.quality import read_quality_scores


def test_images_are_found_by_their_file_names():
    assert match_rows(["2.jpg", "loose/1.jpg", "9.jpg"], ["x/1.jpg", "y\\2.jpg"]).tolist() == [1, 0, -1]
    with pytest.raises(UserError, match="two images called 1.jpg"):
        match_rows(["1.jpg"], ["a/1.jpg", "b/1.jpg"])


TABLES = {
    "p.txt": (read_template_pairs, "1 2 1\n1 3 0\n"),
    "m_1N_gallery_G1.csv": (read_roster, "template,subject\n1,7\n1,7\n2,8\n"),
}


def read(folder, name, data):
    """Without a word on the screen besides the error's."""
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return TABLES[name][0](folder / name)


def test_tables_are_read(tmp_path):
    first, second, same = read(tmp_path, "p.txt", TABLES["p.txt"][1])
    assert (first.tolist(), second.tolist(), same.tolist()) == ([1, 1], [2, 3], [True, False])
    roster = read(tmp_path, "m_1N_gallery_G1.csv", TABLES["m_1N_gallery_G1.csv"][1])
    assert (roster.template.tolist(), roster.subject.tolist()) == ([1, 2], [7, 8])


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"template,subject\n",
        b"\xff\xfe 1 1\n",
        b"1 2\n\0\n",
        b"1 2 1\n1 2\n",
        "1 ² 1\n",
        b"9" * 5000 + b" 1 1\n",
        b"x,y\n1\n",
        b"1 2 3\n",
    ],
    ids=lambda data: repr(data)[:24],
)
def test_tables_that_hold_nothing_or_something_else_are_refused(tmp_path, name, data):
    with pytest.raises(UserError, match=f"{name}: ") as refused:
        read(tmp_path, name, data)
    assert "\n" not in str(refused.value)


def test_a_template_has_one_subject(tmp_path):
    with pytest.raises(UserError, match="a template stands there with two subjects"):
        read(tmp_path, "m_1N_gallery_G1.csv", "template,subject\n1,7\n1,8\n")


@pytest.mark.parametrize("score", ["nan", "inf", "1e39", "-1e400", "x", ""])
def test_a_detection_score_is_a_finite_number(tmp_path, score):
    (tmp_path / "m_face_tid_mid.txt").write_text("1.jpg 1 1\n")
    (tmp_path / "m_name_5pts_score.txt").write_text(f"1.jpg {score}\n")
    with pytest.raises(UserError, match="line 1: .*expected an image, ten coordinates and a score, a finite number"):
        read_faces(tmp_path / "m", with_detection=True)


@pytest.mark.parametrize("line", ["a.png nan", "a.png 1e31", "a.png", "a.png -1e400", "a.png 1\na.png 2"])
def test_a_quality_score_is_one_finite_number(tmp_path, line):
    (tmp_path / "q.txt").write_text(line + "\n")
    with pytest.raises(UserError, match=r"q\.txt: line "):
        read_quality_scores(tmp_path / "q.txt")
