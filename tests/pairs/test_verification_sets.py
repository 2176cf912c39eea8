"""Reading verification sets: MagFace's pair lists, LFW's pairs.txt, and what is none."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError
from magface_al.pairs.verification_sets import read_verification_set


def test_lfw_pairs_name_images_and_people(tmp_path):
    (tmp_path / "pairs.txt").write_text("1\t1\nAnn_Lee\t1\t12\nAnn_Lee\t3\tBo\t4\n")
    same, different = read_verification_set(tmp_path / "pairs.txt").pairs
    assert (same.image1, same.image2, same.label) == ("Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee/Ann_Lee_0012.jpg", 1)
    assert (different.image1, different.image2, different.label) == ("Ann_Lee/Ann_Lee_0003.jpg", "Bo/Bo_0004.jpg", 0)
    assert different.extra == {"identity1": "Ann_Lee", "identity2": "Bo"}
    (tmp_path / "images" / "Ann_Lee").mkdir(parents=True)
    (tmp_path / "images" / "Ann_Lee" / "Ann_Lee_0001.png").touch()
    found = read_verification_set(tmp_path / "pairs.txt", [tmp_path / "absent", tmp_path / "images"])
    assert found.locate(found.pairs[0].image1) == tmp_path / "images" / "Ann_Lee" / "Ann_Lee_0001.png"


def test_magface_pair_lists_take_their_images_from_img_list(tmp_path):
    (tmp_path / "img.list").write_text("a/1.jpg\na/2.jpg 7\nb/1.jpg\nc/1.jpg\n")
    (tmp_path / "pair.list").write_text("a/1.jpg a/2.jpg 1\n0\n")
    found = [(pair.image1, pair.image2, pair.label) for pair in read_verification_set(tmp_path).pairs]
    assert found == [("a/1.jpg", "a/2.jpg", 1), ("b/1.jpg", "c/1.jpg", 0)]


def test_a_list_of_two_images_and_a_label_needs_no_img_list(tmp_path):
    (tmp_path / "cplfw.txt").write_text("1.jpg 2.jpg 1\n3.jpg 4.jpg -1\n")
    assert [pair.label for pair in read_verification_set(tmp_path / "cplfw.txt").pairs] == [1, 0]


@pytest.mark.parametrize(
    ("pairs", "images", "message"),
    [
        ("a.jpg b.jpg 1\nc.jpg d.jpg 2\n", None, "line 2: the last column is '2', expected 1"),
        ("1\n0\n", None, "line 1: 1 column, expected `image1 image2 label`"),
        ("0 1 1\n2 3 0\n", None, "images are given as numbers, expected paths"),
        ("a.jpg b.jpg 1\n", "a.jpg\n", "1 pair, but img.list beside it has 1 image, expected two a pair"),
        ("a.jpg b.jpg 1\n", "a.jpg\nc.jpg\n", "line 1: names a.jpg and b.jpg, but img.list has a.jpg and c.jpg there"),
        ("Ann\t1\t2\nBo\t1\tCy\n", None, "line 2: expected `name i j` or `name1 i name2 j`"),
        ("\n", None, "no pairs in it"),
    ],
)
def test_a_wrong_list_is_refused_in_words(tmp_path, pairs, images, message):
    (tmp_path / "pair.list").write_text(pairs)
    if images:
        (tmp_path / "img.list").write_text(images)
    with pytest.raises(UserError, match=message):
        read_verification_set(tmp_path / "pair.list")


def test_absent_and_unknown_files_are_refused_in_words(tmp_path):
    for name, message in (
        ("a.bin", "expected a .bin"),
        ("a.txt", "expected a .bin, a pairs JSON"),
        ("a.json", "No such file or directory, expected a JSON file"),
    ):
        with pytest.raises(UserError, match=message):
            read_verification_set(tmp_path / name)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="NUL"):
        read_verification_set(tmp_path / "a.txt")


def test_the_lists_of_the_field_are_read_whole(shared_data):
    pairs = shared_data / "pairs"
    for name in ("lfw_pairs.txt", "qmagface_xqlfw_pairs.txt", "qmagface_calfw_pairs.txt", "qmagface_cplfw_pairs.txt"):
        labels = read_verification_set(pairs / name).labels()
        assert (len(labels), labels.sum()) == (6000, 3000)
    found = read_verification_set(shared_data / "insightface_format" / "lfw_small_bin" / "lfw_small.bin")
    listed = (shared_data / "insightface_format" / "lfw_small_bin" / "lfw_small_pairs.tsv").read_text().splitlines()
    assert [pair.label for pair in found.pairs] == [int(line.split("\t")[2]) for line in listed]
