"""create_test_feedback.py from every kind of source."""

from __future__ import annotations

import shutil
from collections import Counter

import cv2
import pytest

from magface_al.faces.drawn.people import draw_people
from magface_al.faces.recordio import pack
from magface_al.pairs.pair_file import read_pairs
from tests.support.records import write_records


@pytest.fixture
def record_folder(tmp_path):
    folder = tmp_path / "rec"
    folder.mkdir()
    jpegs = [(float(person), cv2.imencode(".jpg", face)[1].tobytes()) for person, _, face in draw_people(6, 4, 9)]
    write_records(folder / "train.rec", {key: pack((label,), key, data) for key, (label, data) in enumerate(jpegs)})
    return folder


def read(tmp_path, folder="test_feedback"):
    return read_pairs(tmp_path / folder / "feedback_pairs_test.json")


@pytest.mark.parametrize("source", ["synthetic", "folder", "records"])
def test_pairs_are_balanced_distinct_and_true(run_script, tmp_path, faces, record_folder, source):
    flags = {"synthetic": [], "folder": ["--dataset", faces], "records": ["--dataset", record_folder]}[source]
    run_script("create_test_feedback.py", *flags, "--num_identities", 5, "--images_per_identity", 4, "--num_pairs", 60)
    found = read(tmp_path)
    assert Counter(pair.label for pair in found.pairs) == {1: 30, 0: 30}
    assert len({pair.key() for pair in found.pairs}) == 60
    for pair in found.pairs:
        assert (pair.extra["identity1"] == pair.extra["identity2"]) == (pair.label == 1)
        assert pair.image1.split("/")[1] == pair.extra["identity1"]
        assert found.locate(pair.image1).is_file()
    assert len(list((tmp_path / "test_feedback" / "images").iterdir())) == 5


def test_record_images_are_copied_byte_for_byte(run_script, tmp_path, record_folder):
    run_script("create_test_feedback.py", "--dataset", record_folder, "--num_identities", 6, "--images_per_identity", 4)
    written = {path.read_bytes() for path in (tmp_path / "test_feedback" / "images").rglob("*.jpg")}
    assert written == {cv2.imencode(".jpg", face)[1].tobytes() for _, _, face in draw_people(6, 4, 9)}


@pytest.mark.slow(3)
def test_the_seed_decides_everything_and_a_rerun_leaves_nothing_old(run_script, tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2), ("a", 1)):
        run_script("create_test_feedback.py", "--seed", seed, "--output_dir", folder, "--num_pairs", 20)
    assert read(tmp_path, "a").pairs == read(tmp_path, "b").pairs != read(tmp_path, "c").pairs
    run_script("create_test_feedback.py", "--num_identities", 3, "--output_dir", "a")
    assert len(list((tmp_path / "a" / "images").iterdir())) == 3


def test_label_noise_is_recorded(run_script, tmp_path):
    run_script("create_test_feedback.py", "--label_noise", 0.2, "--num_pairs", 50)
    found = read(tmp_path)
    assert sum(pair.label != pair.extra["actual_label"] for pair in found.pairs) == found.extra["flipped_labels"] == 10


def test_fewer_than_wanted_is_said_and_written(run_script, tmp_path, record_folder):
    done = run_script(
        "create_test_feedback.py", "--dataset", record_folder, "--num_pairs", 500, "--images_per_identity", 3
    )
    assert "only 6 of the 10 people wanted" in done.stderr
    assert "only 18 same and 135 different pairs exist of the 500 wanted" in done.stderr
    assert len(read(tmp_path).pairs) == 153


def test_an_unreadable_image_is_named_and_replaced(run_script, tmp_path, faces):
    shutil.copytree(faces, tmp_path / "people")
    (tmp_path / "people" / "person_00" / "0.png").write_text("no image")
    done = run_script(
        "create_test_feedback.py", "--dataset", "people", "--num_identities", 12, "--images_per_identity", 5
    )
    images = [len(list(folder.iterdir())) for folder in (tmp_path / "test_feedback" / "images").iterdir()]
    assert sorted(images) == [4] + [5] * 11
    assert "person_00, image 0: not an image that OpenCV can decode; another one is taken" in done.stderr


def test_refusals(run_script, tmp_path, faces):
    assert "no such folder" in run_script("create_test_feedback.py", "--dataset", "absent", code=2).stderr
    (tmp_path / "empty").mkdir()
    assert "neither train.rec nor folders" in run_script("create_test_feedback.py", "--dataset", "empty", code=2).stderr
    shutil.copytree(faces / "person_00", tmp_path / "one" / "person_00")
    assert "expected at least two people" in run_script("create_test_feedback.py", "--dataset", "one", code=2).stderr
    assert (
        "domain 'moon' is unknown, expected one of clean, cctv, night"
        in run_script("create_test_feedback.py", "--domain", "moon", code=2).stderr
    )
    shutil.copytree(faces / "person_00", tmp_path / "test_feedback" / "images" / "identity_0000")
    assert "was not written by this script" in run_script("create_test_feedback.py", code=2).stderr
