"""One protocol for labelled faces: what every kind of source gives, and who decides the numbers of people."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest

import magface_al
from magface_al.command.errors import UserError
from magface_al.conversion.folder_list import folder_to_list
from magface_al.conversion.joined_lists import compound
from magface_al.conversion.sampled_faces import open_people, sample_people
from magface_al.faces.class_numbers import read_property
from magface_al.faces.drawn.people import draw_people
from magface_al.faces.preprocess import decode_image
from magface_al.faces.recordio import RecordFile, pack
from magface_al.faces.sources import DrawnSource, HeldSource, RecordSource, open_source
from magface_al.faces.train_list import read_train_list
from magface_al.faces.training_set import open_training_set
from tests.support.records import write_records

PEOPLE, IMAGES = 3, 2


@pytest.fixture(scope="module")
def pictures():
    """[(person, bytes of a PNG)] of three drawn people with two images each."""
    return [(person, cv2.imencode(".png", face)[1].tobytes()) for person, _, face in draw_people(PEOPLE, IMAGES, 6)]


@pytest.fixture
def folder(tmp_path, pictures):
    """The pictures as identity folders b0, b1, b2."""
    for number, (person, data) in enumerate(pictures):
        path = tmp_path / "set" / f"b{person}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "set"


@pytest.fixture(params=["list", "folder", "records", "memory", "drawn"])
def source(request, tmp_path, folder, pictures):
    """The same six pictures, from every kind of source."""
    if request.param == "memory":
        yield HeldSource("held", [data for _, data in pictures], np.array([person for person, _ in pictures]))
    elif request.param == "drawn":
        yield DrawnSource("clean", 6, PEOPLE, IMAGES)
    else:
        lines = [f"{path.relative_to(tmp_path)} 0 {path.parent.name[1:]} 0\n" for path in sorted(folder.glob("*/*"))]
        (tmp_path / "train.list").write_text("".join(lines))
        payloads = {key: pack((float(person),), key, data) for key, (person, data) in enumerate(pictures)}
        write_records(tmp_path / "train.rec", payloads)
        place = {"list": "train.list", "folder": "set", "records": "train.rec"}[request.param]
        with open_source(tmp_path / place, tmp_path) as opened:
            yield opened


def test_every_source_gives_the_same_faces_with_the_same_numbers(source, pictures):
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == [person for person, _ in pictures]
    assert len(source.classes) == PEOPLE
    assert source.notes == []
    for index, (_, data) in enumerate(pictures):
        assert np.array_equal(decode_image(source.read(index))[0], decode_image(data)[0])
    assert len({source.name(index) for index in range(len(pictures))}) == len(pictures)
    assert source.listing() == source.listing() != b""
    assert source.description


def reverse(folder):
    """A map of labels that puts the folders in the opposite order."""
    names = sorted((path.name for path in folder.iterdir() if path.is_dir()), reverse=True)
    (folder / "labels.tsv").write_text("".join(f"{label}\t{name}\n" for label, name in enumerate(names)))


def test_labels_of_a_folder_decide_for_every_reader(tmp_path, folder, monkeypatch):
    reverse(folder)
    truth = {"b0": 2, "b1": 1, "b2": 0}

    def check(entries):
        assert {Path(image).parent.name: label for image, label in entries} == truth

    with open_training_set([folder]) as data:  # what train.py opens
        check((data.name(index), data.labels[index]) for index in range(len(data)))
        data.write_classes(tmp_path / "classes.tsv")
    lines = (tmp_path / "classes.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[:3] for line in lines] == [["0", "b2", "2"], ["1", "b1", "2"], ["2", "b0", "2"]]
    with open_training_set([folder], num_classes=4) as data:
        check((data.name(index), data.labels[index]) for index in range(len(data)))
        assert data.sources[0].classes == ["b2", "b1", "b0", "3"]
    labels, _ = folder_to_list(folder, tmp_path / "train.list")
    assert labels == truth
    check(read_train_list(tmp_path / "train.list"))
    compound([folder], tmp_path / "whole.list")
    check(read_train_list(tmp_path / "whole.list"))
    with open_people(folder, "clean", 0, 3, 2) as source:  # what create_test_feedback.py opens
        check((source.name(index), source.labels[index]) for index in range(len(source.labels)))
        order = []
        monkeypatch.setattr(source, "read", lambda index: order.append(index) or Path(source.root / "b0" / "0.png"))
        written = sample_people(source, 3, 2, np.random.default_rng(0), tmp_path / "images", order.append)
    first = np.random.default_rng(0).permutation(3)  # of the people in the order of their labels
    assert [int(source.labels[index]) for index in order[::2]] == first.tolist()
    assert list(written) == ["identity_0000", "identity_0001", "identity_0002"]


def test_a_map_with_gaps_is_told_and_a_folder_that_it_lacks_is_refused(tmp_path, folder):
    (folder / "labels.tsv").write_text("4\tb0\n0\tb1\n2\tb2\n9\tgone\n")
    with open_training_set([folder]) as data:
        assert data.sources[0].classes == ["b1", "b2", "b0"]
        assert data.sources[0].notes == [
            "2 of the ids 0 to 4 have no image; the others are numbered without gaps (first: 1)"
        ]
    with open_training_set([folder], num_classes=5) as data:
        assert sorted(set(data.labels.tolist())) == [0, 2, 4]
    with (
        pytest.raises(UserError, match=r"labels\.tsv: id 4, expected a whole number below --num_classes 4"),
        open_training_set([folder], num_classes=4),
    ):
        pass
    (folder / "new").mkdir()
    with open_source(folder):
        pass  # a folder without images is nobody
    (folder / "new" / "1.png").touch()
    with (
        pytest.raises(UserError, match=r"labels\.tsv: 1 folder of .* is not in it \(first: new\), expected all"),
        open_source(folder),
    ):
        pass


def test_a_folder_without_images_is_nobody_for_every_reader(tmp_path, folder):
    (folder / "a_notes").mkdir()
    (folder / "a_notes" / "notes.txt").touch()
    assert folder_to_list(folder, tmp_path / "train.list")[0] == {"b0": 0, "b1": 1, "b2": 2}
    with open_source(folder) as source:
        assert source.classes == ["b0", "b1", "b2"]


def test_an_empty_property_or_record_file_is_refused_in_words(tmp_path):
    (tmp_path / "property").write_text("")
    with pytest.raises(UserError, match="property: line 1: '', expected `classes,height,width`"):
        read_property(tmp_path / "property")
    (tmp_path / "property").unlink()
    write_records(tmp_path / "train.rec", {})
    with (
        RecordFile(tmp_path / "train.rec") as records,
        pytest.raises(UserError, match="no records in it, expected images"),
    ):
        RecordSource(records, None)
    write_records(tmp_path / "train.rec", {0: pack((1.0, 1.0), 0, b"")})
    with RecordFile(tmp_path / "train.rec") as records, pytest.raises(UserError, match="no images in its records"):
        RecordSource(records, None)


def test_what_a_source_and_a_map_of_labels_are_stands_in_one_place():
    owners = {"class Source(": "sources.py", '"labels.tsv"': "label_map.py", ".parent.name": "identities.py"}
    for text, owner in owners.items():
        found = [path.name for path in Path(magface_al.__file__).parent.rglob("*.py") if text in path.read_text()]
        assert found == [owner], text


@pytest.mark.parametrize(
    ("announced", "said"), [(10, None), (12, "property announces 12 classes"), (9, "has label 9, but")]
)
def test_a_property_that_disagrees_is_said_or_refused(people, tmp_path, run_script, announced, said):
    shutil.copytree(people / "records", tmp_path / "records")
    (tmp_path / "records" / "property").write_text(f"{announced},112,112\n")
    refused = announced < 10
    flags = ["--rec", "records/train.rec", "--output_dir", "out"]
    done = run_script("prepare_data.py", "rec2folder", *flags, code=2 if refused else 0).stderr
    assert said in done if said else "property" not in done
    outcome = pytest.raises(UserError, match=said) if refused else nullcontext()
    with outcome, open_source(tmp_path / "records") as source:
        assert len(source.notes) == (said is not None)
        assert all(said in note for note in source.notes)


def test_a_path_of_a_megabyte_does_not_make_room_for_all(tmp_path):
    (tmp_path / "t.list").write_text("a.png 0 1 0\n" * 1000 + "a" * 1_000_000 + " 0 1 0\n")
    with pytest.raises(UserError, match="line 1001: 'aaa.* expected a path of at most 255 bytes a name"):
        open_source(tmp_path / "t.list")
