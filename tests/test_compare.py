"""The function behind compare_faces.py against embeddings read from a feature store."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.command.errors import UserError
from magface_al.compare import compare
from magface_al.embedding.store import read_features


@pytest.fixture
def four(faces):
    return [faces / f"person_{person:02d}" / f"{image}.png" for person in (0, 1) for image in (0, 1)]


def test_two_lines_give_what_the_feature_store_holds(faces, features, tiny_checkpoint, four):
    matrix = compare(tiny_checkpoint, four, 0.9)
    store = read_features(features)
    rows = [store.names.index(str(path)) for path in four]
    for i, first in enumerate(rows):
        a = store.embeddings[first].astype(float)
        assert matrix.magnitude[i] == pytest.approx(np.sqrt((a**2).sum()), rel=1e-5)
        for j, second in enumerate(rows):
            b = store.embeddings[second].astype(float)
            cosine = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
            assert matrix.similarity[i, j] == pytest.approx(cosine, abs=1e-5)
            assert matrix.same()[i, j] == (cosine > 0.9)


def test_one_image_and_unreadable_images_are_refused(tmp_path, tiny_checkpoint, four):
    with pytest.raises(UserError, match="1 image given, expected two or more"):
        compare("weights that need not be read", four[:1])
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="broken.jpg: not an image that OpenCV can decode, expected a face image"):
        compare(tiny_checkpoint, [four[0], tmp_path / "broken.jpg"])
    with pytest.raises(UserError, match="absent.jpg: No such file.*2 of the 3 images cannot be read"):
        compare(tiny_checkpoint, [tmp_path / "absent.jpg", four[0], tmp_path / "broken.jpg"])


def test_real_people_are_told_apart(shared_data):
    images = shared_data / "lfw" / "images"
    names = [
        "George_W_Bush/George_W_Bush_0001.jpg",
        "George_W_Bush/George_W_Bush_0002.jpg",
        "Tony_Blair/Tony_Blair_0001.jpg",
    ]
    weights = shared_data / "weights" / "mobilefacenet_y1_converted.pth"
    assert compare(weights, [images / name for name in names]).same().tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]
