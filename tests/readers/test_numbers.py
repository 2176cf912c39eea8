"""What Python takes for a whole number and no file means: other scripts' digits, "²", underscores, thousands of digits."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError
from magface_al.evaluation import ijb_meta
from magface_al.evaluation.tinyface import tinyface_roles
from magface_al.faces.class_numbers import number_identities, read_property
from magface_al.faces.label_map import read_labels
from magface_al.faces.recordio import RecordFile
from magface_al.faces.sources import open_source
from magface_al.faces.train_list import read_train_list
from magface_al.pairs.verification_sets import read_verification_set

NO_NUMBERS = ["²", "１２", "٣", "1_0", "+1", "9" * 5000, "9" * 19, "1.0", ""]


def write(path, text):
    path.write_text(text)
    return path


def source(path, num_classes):
    with open_source(path, num_classes=num_classes):
        pass


def record_index(path):
    path.with_suffix(".rec").touch()
    RecordFile(path.with_suffix(".rec"))


READERS = {
    "training list": lambda folder, word: list(read_train_list(write(folder / "t.list", f"a.png\t0\t{word}\t0\n"))),
    "class number": lambda folder, word: source(write(folder / "i.list", f"a.png\t{word}\n"), 10**20),
    "map of labels": lambda folder, word: read_labels(write(folder / "l.tsv", f"{word}\tann\n")),
    "property": lambda folder, word: read_property(write(folder / "property", f"{word},112,112\n")),
    "key of an .idx": lambda folder, word: record_index(write(folder / "t.idx", f"{word}\t0\n")),
    "offset of an .idx": lambda folder, word: record_index(write(folder / "t.idx", f"0\t{word}\n")),
    "LFW": lambda folder, word: read_verification_set(write(folder / "p.txt", f"Ann\t1\t2\nBo\t{word}\t3\n")),
    "IJB's template": lambda folder, word: ijb_meta.read_faces(
        write(folder / "m_face_tid_mid.txt", f"a.png\t{word}\t1\n").with_name("m"), with_detection=False
    ),
    "IJB's media": lambda folder, word: ijb_meta.read_faces(
        write(folder / "m_face_tid_mid.txt", f"a.png\t1\t-{word}\n").with_name("m"), with_detection=False
    ),
    "IJB's pair": lambda folder, word: ijb_meta.read_template_pairs(
        write(folder / "p.txt", f"1 2 1\n1 {word or 'x'} 0\n")
    ),
    "TinyFace": lambda folder, word: tinyface_roles([f"Gallery_Match/1_{folder.name}.png", f"Probe/{word}_1.png"]),
}


@pytest.mark.parametrize("word", NO_NUMBERS, ids=lambda word: word[:6] + "..." * (len(word) > 6))
@pytest.mark.parametrize("name", READERS)
def test_only_ascii_digits_are_numbers(tmp_path, name, word):
    if (name, word) in (("IJB's pair", "+1"), ("TinyFace", "1_0")):
        return  # NumPy's reader of tables takes a sign; TinyFace's numbers end at an underscore
    with pytest.raises(UserError):
        READERS[name](tmp_path, word)


def test_ids_that_are_no_numbers_are_names():
    """A person may be called so."""
    found = number_identities(["²", "9" * 5000, "1"], None)
    assert found.classes == ["1", "9" * 5000, "²"]
