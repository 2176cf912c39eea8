"""compare_faces.py against the function behind it."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from magface_al.compare import compare
from magface_al.pairs.pair_file import read_pairs
from magface_al.pictures.matrix import MOST_SHOWN


@pytest.fixture
def four(faces):
    return [faces / f"person_{person:02d}" / f"{image}.png" for person in (0, 1) for image in (0, 1)]


def test_the_script_prints_and_writes_the_matrix(run_script, tmp_path, tiny_checkpoint, four):
    done = run_script(
        "compare_faces.py", *four, "--checkpoint", tiny_checkpoint, "--threshold", 0.9, "--output_dir", "out"
    )
    expected = compare(tiny_checkpoint, four, 0.9)
    rows = [line.split() for line in done.stdout.splitlines() if line.endswith(".png")]
    assert [row[-1] for row in rows] == [str(path) for path in four]
    shown = np.array([[float(value.strip("*")) for value in row[1:5]] for row in rows])
    np.testing.assert_allclose(shown, expected.similarity, atol=6e-4)
    assert [[value.endswith("*") for value in row[1:5]] for row in rows] == expected.same().tolist()

    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    np.testing.assert_allclose(written["similarity"], expected.similarity, atol=1e-5)
    np.testing.assert_allclose([image["magnitude"] for image in written["images"]], expected.magnitude, atol=1e-3)
    assert len(written["pairs"]) == 6
    for pair in written["pairs"]:
        assert (pair["decision"] == "same") == (pair["similarity"] > 0.9)
    assert [pair.label for pair in read_pairs(tmp_path / "out" / "comparison.json").pairs] == [None] * 6

    picture = cv2.imread(str(tmp_path / "out" / "comparison.png"))
    assert min(picture.shape[:2]) > 4 * 112
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["preprocessing"]["channel_order"] == "BGR"


def test_a_photo_of_another_size_is_noted(run_script, tmp_path, tiny_checkpoint, four):
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((200, 150, 3), 90, np.uint8))
    done = run_script("compare_faces.py", four[0], "photo.png", "--checkpoint", tiny_checkpoint)
    assert "1 image was not a 112 px square" in done.stderr


@pytest.mark.slow(2)
def test_more_images_than_the_picture_holds_are_all_in_the_json(run_script, tmp_path, tiny_checkpoint, faces):
    images = sorted(faces.glob("*/*.png"))[: MOST_SHOWN + 2]
    done = run_script("compare_faces.py", *images, "--checkpoint", tiny_checkpoint)
    assert f"the picture shows the first {MOST_SHOWN} of {MOST_SHOWN + 2} images" in done.stderr
    written = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    assert np.shape(written["similarity"]) == (MOST_SHOWN + 2, MOST_SHOWN + 2)
