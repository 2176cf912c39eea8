"""Any name that a file can have survives the way through every store and list, or is refused in words."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from magface_al.embedding.store import read_features
from magface_al.embedding.store_writer import FeatureWriter
from magface_al.evaluation.quality import read_quality_scores
from magface_al.faces.identities import read_identity_list
from magface_al.faces.image_list import read_image_list
from magface_al.faces.label_map import read_labels, write_labels
from magface_al.faces.list_lines import line_of, list_file
from magface_al.faces.sources import open_source
from magface_al.faces.train_list import read_train_list, write_train_list
from magface_al.pairs.pair_file import Pair, read_pairs, write_pairs
from magface_al.pairs.verification_sets import read_verification_set
from magface_al.pictures.error_folders import copy_name
from tests.support.scripts import run_here

NAMES = {
    "not UTF-8": os.fsdecode(b"caf\xe9/\xff.png"),
    "a line separator": "a\u2028b/\u0085.png",
    "other separators": "a\x0bb/\x0c\x1c\x1d\x1e.png",
    "spaces": "my own/a face.png",
    "a no-break space": "a\u00a0b/1.png",
    "quotes and signs": "it's/$(x) \"&<b>;#.png",
    "a dash": "-x/-1.png",
    "a byte order mark inside": "a\ufeff/\ufeffb.png",
}
name = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())


def listed(path, *columns):
    with list_file(path) as write:
        write(line_of(*columns))
    return path


def stored(path, names):
    with FeatureWriter(path, {}) as writer:
        writer.append(names, [[1.0, 2.0]] * len(names), [])
        writer.finish({"rows": len(names)})
    return read_features(path).names


def source_names(path):
    with open_source(path) as source:
        return [os.fsdecode(found) for found in source.paths.tolist()]


WAYS = {
    "image list": lambda folder, name: [
        found for found, _ in read_image_list(listed(folder / "i.list", name), allow_spaces=True)
    ],
    "identity list": lambda folder, name: list(read_identity_list(listed(folder / "who.list", name, "ann"))),
    "identity": lambda folder, name: list(read_identity_list(listed(folder / "who.list", "a.png", name)).values()),
    "training list": lambda folder, name: (
        write_train_list(folder / "t.list", [(name, 3)]),
        [found for found, _ in read_train_list(folder / "t.list")],
    )[1],
    "labelled faces": lambda folder, name: source_names(listed(folder / "t.list", name, 0, 3, 0)),
    "map of labels": lambda folder, name: (
        write_labels(folder / "l.tsv", {name: 3}),
        list(read_labels(folder / "l.tsv")),
    )[1],
    "pair list": lambda folder, name: [
        pair.image1 for pair in read_verification_set(listed(folder / "p.list", name, "b.png", 1)).pairs
    ],
    "pairs JSON": lambda folder, name: (
        write_pairs(folder / "p.json", [Pair(name, "b.png", 1)]),
        [pair.image1 for pair in read_pairs(folder / "p.json").pairs],
    )[1],
    "quality scores": lambda folder, name: list(read_quality_scores(listed(folder / "q.txt", name, 27.5))),
    "binary store": lambda folder, name: stored(folder / "f.npy", [name, "b.png"])[:1],
}


@name
@pytest.mark.parametrize("way", WAYS)
def test_a_name_comes_back_from_every_store(tmp_path, way, name):
    assert WAYS[way](tmp_path, name) == [name]


@name
def test_a_name_comes_back_from_the_text_store_or_is_refused(tmp_path, name):
    """White space is refused where the list is read."""
    if " " not in name:
        assert stored(tmp_path / "f.list", [name, "b.png"]) == [name, "b.png"]


@pytest.fixture(scope="module")
def oddly_named(faces, tiny_checkpoint, tmp_path_factory):
    """Two people with four pictures each under these names, embedded, and paired."""
    folder = tmp_path_factory.mktemp("odd")
    pictures = sorted(faces.glob("person_0[01]/*.png"))[:8]
    assert len(pictures) == len(NAMES)
    for picture, odd in zip(pictures, NAMES.values(), strict=True):
        place = folder / "faces" / picture.parent.name / odd
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, place)
    images = sorted(str(path.relative_to(folder)) for path in (folder / "faces").rglob("*.png"))
    with list_file(folder / "images.list") as write:
        for image in images:
            write(line_of(image))
    run_here(
        folder, "gen_features.py", "--inf_list", "images.list", "--feat_list", "f.npy", "--resume", tiny_checkpoint
    )
    assert read_features(folder / "f.npy").names == images
    return folder


@pytest.mark.slow(3)
def test_such_names_go_from_stage_to_stage(oddly_named, tmp_path):
    """Chosen, answered, shown as errors: the pairs' images are found, copied and named on the page."""
    shutil.copytree(oddly_named, tmp_path / "run")
    folder = tmp_path / "run"
    run_here(
        folder,
        "choose_pairs.py",
        "--features_list",
        "f.npy",
        "--output_file",
        "ask.json",
        "--budget",
        20,
        "--force_cpu",
    )
    images = read_features(folder / "f.npy").names
    assert set(read_pairs(folder / "ask.json").images()) == set(images)
    pairs = [
        {"image1": image1, "image2": image2, "label": 1}
        for image1, image2 in zip(images[::2], images[1::2], strict=True)
    ]
    (folder / "same.json").write_text(json.dumps(pairs))
    flags = ["--features_list", "f.npy", "--feedback_file", "same.json", "--output_dir", "errors", "--threshold", 1]
    run_here(folder, "visualize_errors.py", *flags)
    copies = [path.name for path in (folder / "errors" / "false_negatives").glob("*/img[12]_*")]
    assert sorted(copy[5:] for copy in copies) == sorted(Path(image).name for image in images)
    page = (folder / "errors" / "index.html").read_text(encoding="utf-8")
    assert "<b>;#.png" not in page
    assert "\\udcff.png" in page


def test_a_name_as_long_as_names_can_be_is_copied_with_its_end(tmp_path):
    """The copies' names begin with img1_, and no name may be longer than 255 bytes."""
    name = "ä" * 125 + "1.png"
    assert len(os.fsencode(name)) == 255
    (tmp_path / copy_name(1, f"faces/{name}")).touch()
    assert copy_name(2, "a/b.png") == "img2_b.png"
    assert copy_name(1, name).endswith("ä1.png")
