"""Face sets from one form into another and back, whole, and again after a kill."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from magface_al.faces.image_list import read_image_list
from magface_al.faces.recordio import RecordFile, image_records, images_by_label, pack
from magface_al.faces.training_set import open_training_set
from magface_al.pairs.verification_sets import read_verification_set
from tests.support.records import write_records
from tests.support.scripts import ROOT

SCRIPT = "prepare_data.py"
PNG, JPEG = b"\x89PNG", b"\xff\xd8\xff"


def insightface_records(path, people=3, images=2):
    """A train.rec in InsightFace's layout: images 1.., two labels each, a header and a record for each person."""
    count = people * images
    payloads = {
        key: pack((float((key - 1) // images), 1.0), key, (PNG if key % 2 else JPEG) + bytes([key]) * key)
        for key in range(1, count + 1)
    }
    for person in range(people):
        first = person * images + 1
        payloads[count + 1 + person] = pack((float(first), float(first + images)), count + 1 + person, b"")
    payloads[0] = pack((float(count + 1), float(count + 1 + people)), 0, b"")
    path.parent.mkdir(exist_ok=True)
    write_records(path, payloads)
    return {key: ((key - 1) // images, (PNG if key % 2 else JPEG) + bytes([key]) * key) for key in range(1, count + 1)}


def files(folder, pattern="*/*"):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob(pattern) if path.is_file()}


def test_records_become_files_byte_for_byte_and_a_list_with_their_labels(run_script, tmp_path):
    truth = insightface_records(tmp_path / "set" / "train.rec", people=12)
    run_script(SCRIPT, "rec2folder", "--rec", "set/train.rec", "--output_dir", "out")
    name = {key: f"{label:06d}/{key:09d}{'.png' if key % 2 else '.jpg'}" for key, (label, _) in truth.items()}
    assert files(tmp_path / "out") == {name[key]: image for key, (_, image) in truth.items()}
    expected = [f"out/{name[key]} 0 {label} 0" for key, (label, _) in truth.items()]
    assert (tmp_path / "out" / "train.list").read_text().splitlines() == expected
    assert (tmp_path / "out" / "labels.tsv").read_text().splitlines()[10] == "10\t000010"
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["classes"] == 12

    run_script(SCRIPT, "folder2list", "--dataset", "out", "--output_list", "again.list")
    assert (tmp_path / "again.list").read_text().splitlines() == expected


def test_a_folder_with_spaces_goes_through_every_conversion(run_script, tmp_path):
    """Lists separate its paths by tabs; everything that reads a list takes them, and the next command can be pasted."""
    truth = insightface_records(tmp_path / "set" / "train.rec", people=2)
    done = run_script(SCRIPT, "rec2folder", "--rec", "set/train.rec", "--output_dir", "my faces")
    assert "next:\n  python train.py --data 'my faces'\n" in done.stdout
    first = (tmp_path / "my faces" / "train.list").read_text().splitlines()[0]
    assert first == "my faces/000000/000000001.png\t0\t0\t0"
    run_script(SCRIPT, "folder2list", "--dataset", "my faces", "--output_list", "again.list")
    assert (tmp_path / "again.list").read_text() == (tmp_path / "my faces" / "train.list").read_text()
    run_script(SCRIPT, "merge_lists", "--lists", "again.list", "my faces/train.list", "--output_list", "merged.list")
    run_script(SCRIPT, "compound", "--sources", "merged.list", "--output_list", "whole.list")
    assert (tmp_path / "whole.list").read_text() == (tmp_path / "again.list").read_text()
    image = cv2.imencode(".png", np.zeros((9, 7, 3), np.uint8))[1].tobytes()
    (tmp_path / "my faces" / "000000" / "000000001.png").write_bytes(image)  # whose size list2rec reads
    run_script(SCRIPT, "list2rec", "--train_list", "whole.list", "--output_dir", "my records")
    with RecordFile(tmp_path / "my records" / "train.rec") as records:
        packed = [(label, image) for _, label, image in image_records(records)]
    assert packed == [(0, image), *(truth[key] for key in (2, 3, 4))]
    with open_training_set([tmp_path / "whole.list"], tmp_path) as data:
        assert [data.read(k) for k in range(4)] == sorted((tmp_path / "my faces").glob("*/0*"))


def test_a_verification_set_in_a_folder_with_spaces_is_read_back(run_script, tmp_path):
    (tmp_path / "set.bin").write_bytes(pickle.dumps(([JPEG + b"1", JPEG + b"2"], [True])))
    run_script(SCRIPT, "bin2folder", "--bin", "set.bin", "--output_dir", tmp_path / "my set")
    [pair] = read_verification_set(tmp_path / "my set").pairs
    assert (pair.image1, pair.label) == (str(tmp_path / "my set" / "images" / "000000.jpg"), 1)
    listed = [place for _, place in read_image_list(tmp_path / "my set" / "img.list", allow_spaces=True)]
    assert [place.read_bytes() for place in listed] == [JPEG + b"1", JPEG + b"2"]
    manifest = json.loads((tmp_path / "my set" / "manifest.json").read_text())
    assert manifest["pairs"] == 1


def test_real_sets_go_round(run_script, tmp_path, shared_data):
    rec = shared_data / "insightface_format" / "lfw_small_rec" / "train.rec"
    run_script(SCRIPT, "rec2folder", "--rec", rec, "--output_dir", "a")
    run_script(SCRIPT, "list2rec", "--train_list", "a/train.list", "--output_dir", "packed")
    assert (tmp_path / "packed" / "property").read_text() == "20,112,112\n"
    run_script(SCRIPT, "rec2folder", "--rec", "packed/train.rec", "--output_dir", "b")
    with RecordFile(rec) as first, RecordFile(tmp_path / "packed" / "train.rec") as second:
        assert [entry[1:] for entry in image_records(first)] == [entry[1:] for entry in image_records(second)]
        assert {k: len(v) for k, v in images_by_label(second).items()} == dict.fromkeys(range(20), 10)
    assert sorted(files(tmp_path / "a").values()) == sorted(files(tmp_path / "b").values())

    source = shared_data / "insightface_format" / "lfw_small_bin" / "lfw_small.bin"
    run_script(SCRIPT, "bin2folder", "--bin", source, "--output_dir", tmp_path / "lfw")
    held, unpacked = read_verification_set(source), read_verification_set(tmp_path / "lfw")
    assert [pair.label for pair in held.pairs] == [pair.label for pair in unpacked.pairs]
    for before, after in zip(held.pairs, unpacked.pairs, strict=True):
        for side in ("image1", "image2"):
            assert unpacked.locate(getattr(after, side)).read_bytes() == held.held[getattr(before, side)]
    first, second, label = (tmp_path / "lfw" / "pair.list").read_text().splitlines()[0].split()
    assert (first, second) == tuple((tmp_path / "lfw" / "img.list").read_text().split()[:2])
    assert label == str(held.pairs[0].label)

    foreign = shared_data / "insightface_format" / "real_mxnet_rec" / "train.rec"
    refusal = run_script(SCRIPT, "rec2folder", "--rec", foreign, "--output_dir", "c", code=2).stderr
    assert "record 0: labels 4, 5, " in refusal
    assert "so it is no face set" in refusal


@pytest.mark.process
def test_a_killed_unpacking_goes_on(run_script, tmp_path):
    """Killed for real, in the middle; the rerun keeps what is there and ends as an uninterrupted run does."""
    write_records(tmp_path / "train.rec", {key: pack((float(key // 10),), key, JPEG + bytes(2000)) for key in range(20000)})  # fmt: skip
    command = [sys.executable, str(ROOT / SCRIPT), "rec2folder", "--rec", "train.rec", "--output_dir", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not (tmp_path / "out" / "000005").exists():
        time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done_before = sum(1 for _ in (tmp_path / "out").glob("*/*.jpg"))
    assert 0 < done_before < 20000
    assert not (tmp_path / "out" / "train.list").exists()
    damaged = tmp_path / "out" / "000000" / "000000003.jpg"
    damaged.write_bytes(b"short")
    untouched = tmp_path / "out" / "000000" / "000000004.jpg"
    age = untouched.stat().st_mtime_ns

    done = run_script(*map(str, command[1].rsplit("/", 1)[1:]), *command[2:])
    kept = int(done.stderr.split("note: ")[1].split()[0])
    assert kept >= done_before - 1  # but for the damaged one
    assert untouched.stat().st_mtime_ns == age
    assert damaged.read_bytes() == JPEG + bytes(2000)
    assert len((tmp_path / "out" / "train.list").read_text().splitlines()) == 20000
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_folder_of_something_else_is_left_alone(run_script, tmp_path):
    for name, people in (("a", 2), ("b", 3)):
        insightface_records(tmp_path / name / "train.rec", people=people)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    message = "expected a new or empty folder, or an interrupted run of this one"
    assert message in run_script(SCRIPT, "rec2folder", "--rec", "a/train.rec", "--output_dir", "mine", code=2).stderr
    run_script(SCRIPT, "rec2folder", "--rec", "a/train.rec", "--output_dir", "out")
    assert message in run_script(SCRIPT, "rec2folder", "--rec", "b/train.rec", "--output_dir", "out", code=2).stderr
    tabbed = run_script(SCRIPT, "rec2folder", "--rec", "a/train.rec", "--output_dir", "my\tfaces", code=2).stderr
    assert "'my\\tfaces' cannot stand in a list, whose columns end at tabs" in tabbed
    assert not (tmp_path / "my\tfaces").exists()


def test_a_broken_file_keeps_what_came_before(run_script, tmp_path):
    insightface_records(tmp_path / "set" / "train.rec")
    with RecordFile(tmp_path / "set" / "train.rec") as records:
        header = records.offsets[0]  # the last record
    with (tmp_path / "set" / "train.rec").open("r+b") as file:
        file.seek(header + 8)
        file.write(b"\xff" * 4)  # billions of labels
    refusal = run_script(SCRIPT, "rec2folder", "--rec", "set/train.rec", "--output_dir", "o", code=2).stderr
    assert "record 0: 4294967295 labels announced in 32 bytes" in refusal
    assert len(files(tmp_path / "o")) == 6
    assert not (tmp_path / "o" / "train.list").exists()


def test_a_truncated_file_is_refused_before_anything_is_unpacked(run_script, tmp_path):
    insightface_records(tmp_path / "set" / "train.rec")
    whole = (tmp_path / "set" / "train.rec").read_bytes()
    (tmp_path / "set" / "train.rec").write_bytes(whole[:-4])
    assert "truncated" in run_script(SCRIPT, "rec2folder", "--rec", "set/train.rec", "--output_dir", "o", code=2).stderr
    assert not (tmp_path / "o").exists()


def test_bin_sets_that_run_code_are_refused(run_script, tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "bad.bin").write_bytes(pickle.dumps(([Malicious()], [True])))
    assert "refused, it asks for posix.mkdir" in run_script(SCRIPT, "bin2folder", "--bin", "bad.bin", "--output_dir", "o", code=2).stderr  # fmt: skip
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "o").exists()


def test_a_list_that_names_an_absent_image_can_be_mended_and_goes_on(run_script, tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(cv2.imencode(".png", np.full((9, 7, 3), ord(name), np.uint8))[1].tobytes())
    (tmp_path / "train.list").write_text("a 0 0 0\nb 0 4 0\nc 0 1 0\n")
    (tmp_path / "c").rename(tmp_path / "elsewhere")
    refusal = run_script(SCRIPT, "list2rec", "--train_list", "train.list", "--output_dir", "out", code=2).stderr
    assert "train.list: c: No such file or directory, expected an image; what came before is kept" in refusal
    (tmp_path / "elsewhere").rename(tmp_path / "c")
    done = run_script(SCRIPT, "list2rec", "--train_list", "train.list", "--output_dir", "out")
    assert "1 image was there from an earlier run and kept" in done.stderr
    assert (tmp_path / "out" / "property").read_text() == "5,9,7\n"
    with RecordFile(tmp_path / "out" / "train.rec") as records:
        assert [label for _, label, _ in image_records(records)] == [0, 4, 1]


def identity_folders(folder, people):
    for name, count in people.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.jpg").write_bytes(JPEG)
        (folder / name / "notes.txt").write_text("no image")


def test_numbered_folders_are_numbered_by_number_and_a_map_decides(run_script, tmp_path):
    identity_folders(tmp_path / "set", {"10": 1, "9": 2, "2": 1})
    run_script(SCRIPT, "folder2list", "--dataset", "set", "--output_list", "train.list")
    lines = [
        "set/2/0.jpg 0 0 0",
        "set/9/0.jpg 0 1 0",
        "set/9/1.jpg 0 1 0",
        "set/10/0.jpg 0 2 0",
    ]  # by name, "10" would come first
    assert (tmp_path / "train.list").read_text().splitlines() == lines
    assert (tmp_path / "train.list.labels.tsv").read_text() == "0\t2\n1\t9\n2\t10\n"

    (tmp_path / "map.tsv").write_text("7\t10\n3\t9\n5\t2\n1\tgone\n")
    done = run_script(
        SCRIPT, "folder2list", "--dataset", "set", "--label_map", "map.tsv", "--output_list", "other.list"
    )
    assert [line.split()[2] for line in (tmp_path / "other.list").read_text().splitlines()] == ["3", "3", "5", "7"]
    assert "5 labels up to 7 have no images; a classifier needs 8 outputs" in done.stderr
    identity_folders(tmp_path / "set", {"ann": 1})
    flags = ("--dataset", "set", "--label_map", "map.tsv", "--output_list", "x.list")
    assert (
        "map.tsv: 1 folder of set is not in it (first: ann)" in run_script(SCRIPT, "folder2list", *flags, code=2).stderr
    )


def test_merging_writes_each_entry_once_and_refuses_contradictions(run_script, tmp_path):
    (tmp_path / "a.list").write_text("x/1.jpg 0 0 0\nx/2.jpg 0 1 0\n")
    (tmp_path / "b.list").write_text("x/2.jpg 0 1 0\n\nx/3.jpg 0 1 0\n")
    done = run_script(SCRIPT, "merge_lists", "--lists", "a.list", "b.list", "--output_list", "m.list")
    assert (tmp_path / "m.list").read_text() == "x/1.jpg 0 0 0\nx/2.jpg 0 1 0\nx/3.jpg 0 1 0\n"
    assert "1 entry stood in the lists more than once" in done.stderr

    (tmp_path / "c.list").write_text("x/9.jpg 0 4 0\nx/2.jpg 0 5 0\n")
    refusal = run_script(SCRIPT, "merge_lists", "--lists", "a.list", "c.list", "--output_list", "n.list", code=2).stderr
    assert "n.list: not written, x/2.jpg has label 5 in one list and another in one before it" in refusal
    assert not (tmp_path / "n.list").exists()

    (tmp_path / "p.list").write_text("a b 1\nb c 0\n")
    (tmp_path / "q.list").write_text("c b 0\nd a 0\n")
    run_script(SCRIPT, "merge_lists", "--lists", "p.list", "q.list", "--output_list", "pairs.list")
    assert (tmp_path / "pairs.list").read_text() == "a b 1\nb c 0\nd a 0\n"
    refusal = run_script(SCRIPT, "merge_lists", "--lists", "a.list", "p.list", "--output_list", "n.list", code=2).stderr
    assert "p.list: line 1: 3 columns, expected 4 as in a training list" in refusal


def test_compounding_shifts_labels_apart(run_script, tmp_path):
    (tmp_path / "a.list").write_text("x/1.jpg 0 0 0\nx/2.jpg 0 2 0\n")
    identity_folders(tmp_path / "set", {"10": 1, "9": 2})
    done = run_script(SCRIPT, "compound", "--sources", "a.list", "set", "--output_list", "all.list")
    assert (tmp_path / "all.list").read_text().splitlines() == [
        "x/1.jpg 0 0 0",
        "x/2.jpg 0 2 0",
        "set/9/0.jpg 0 3 0",
        "set/9/1.jpg 0 3 0",
        "set/10/0.jpg 0 4 0",
    ]
    assert (tmp_path / "all.list.labels.tsv").read_text() == "0\ta.list:0\n2\ta.list:2\n3\tset:9\n4\tset:10\n"
    sources = json.loads((tmp_path / "all.list.json").read_text())["sources"]
    assert [(source["offset"], source["classes"], source["images"]) for source in sources] == [(0, 3, 2), (3, 2, 3)]
    assert "a classifier needs 5 outputs" in done.stderr

    (tmp_path / "b.list").write_text("y/1.jpg 0 0 0\nx/2.jpg 0 0 0\n")
    refusal = run_script(SCRIPT, "compound", "--sources", "a.list", "b.list", "--output_list", "n.list", code=2).stderr
    assert "x/2.jpg is listed twice in the sources" in refusal
    insightface_records(tmp_path / "rec" / "train.rec")
    refusal = run_script(SCRIPT, "compound", "--sources", "a.list", "rec", "--output_list", "n.list", code=2).stderr
    assert "no folders with images in it, expected one a person; unpack its train.rec with rec2folder first" in refusal
    (tmp_path / "b.list").write_text("y/1.jpg 0 -1 0\n")
    refusal = run_script(SCRIPT, "compound", "--sources", "b.list", "--output_list", "n.list", code=2).stderr
    assert "b.list: line 1: 'y/1.jpg 0 -1 0', expected `path 0 id 0`" in refusal
