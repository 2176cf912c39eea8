"""Reading verification sets: .bin without running what a pickle asks for, MagFace's pair lists, LFW's pairs.txt."""

from __future__ import annotations

import os
import pickle
import pickletools

import cv2
import numpy as np
import pytest

from magface_al.command.errors import UserError
from magface_al.pairs.bin_file import read_bin
from magface_al.pairs.verification_sets import read_verification_set

JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
IMAGES = [
    JPEG + bytes([number]) for number in range(4)
]  # what follows the end of a JPEG is ignored, but tells them apart


def check(path):
    found = read_bin(path)
    assert list(found.held.values()) == IMAGES
    assert [pair.label for pair in found.pairs] == [1, 0]
    assert [found.source(name) for name in (found.pairs[1].image1, found.pairs[1].image2)] == IMAGES[2:]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "element",
    [
        bytes,
        lambda data: np.frombuffer(data, np.uint8),
        lambda data: np.frombuffer(data, np.uint8).reshape(-1, 1).copy(),
    ],
    ids=["bytes", "array", "column"],
)
def test_every_pickle_protocol_and_element_type_is_read(tmp_path, protocol, element):
    content = ([element(data) for data in IMAGES], [True, False])
    (tmp_path / "set.bin").write_bytes(pickle.dumps(content, protocol))
    check(tmp_path / "set.bin")


def test_strings_of_python_2_and_numpy_bools_are_read(tmp_path):
    strings = b"".join(b"T" + len(data).to_bytes(4, "little") + data for data in IMAGES)  # BINSTRING, Python 2's str
    (tmp_path / "set.bin").write_bytes(b"\x80\x02(" + b"(" + strings + b"l(I01\nI00\nlt.")
    check(tmp_path / "set.bin")
    (tmp_path / "set.bin").write_bytes(pickle.dumps((IMAGES, [np.True_, np.False_])))
    check(tmp_path / "set.bin")
    (tmp_path / "set.bin").write_bytes(pickle.dumps((IMAGES, np.array([True, False]))))
    check(tmp_path / "set.bin")
    old = pickle.dumps(([np.frombuffer(data, np.uint8) for data in IMAGES], [True, False]), 2)
    (tmp_path / "set.bin").write_bytes(old.replace(b"numpy._core.", b"numpy.core."))  # NumPy 1
    check(tmp_path / "set.bin")


class Command:
    """Asks for a shell command when it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_file_is_refused_and_nothing_is_run(tmp_path, protocol):
    witness = tmp_path / "was_here"
    path = tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(([*IMAGES[:3], Command(witness)], [True, False]), protocol))
    with pytest.raises(
        UserError, match=r"evil\.bin: refused, it asks for (posix|nt)\.system; a verification set holds images"
    ):
        read_bin(path)
    assert not witness.exists()
    pickle.loads(path.read_bytes())  # the file is what it claims to be
    assert witness.exists()


def test_the_script_refuses_a_malicious_file_in_one_line(run_script, tmp_path):
    witness = tmp_path / "was_here"
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps(([Command(witness)] * 2, [True])))
    done = run_script("evaluate_recognition.py", "--checkpoint", "any.pth", "--set", "lfw.bin", code=2)
    assert "lfw.bin: refused, it asks for" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not witness.exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"cbuiltins\neval\n(V1\ntR.", "asks for builtins.eval"),
        (b"c__builtin__\ngetattr\n(V1\nV2\ntR.", "asks for (builtins|__builtin__).getattr"),
        (b"ccopyreg\n_reconstructor\n(tR.", "asks for copyreg._reconstructor"),
        (b"cnumpy\nload\n(Vx\ntR.", "asks for numpy.load"),
        (b"c_codecs\nencode\n(V1\nVzlib\ntR.", "asks for the codec"),
        (b"c_codecs\nencode\n(K\x05Vlatin1\ntR.", "holds a int where bytes belong"),
        (b"c_codecs\nencode\n}V__code__\nV1\nsb.", "tries to change what a name stands for"),
        (b"cnumpy\ndtype\n(VO\ntR.", "array of type 'O'"),
        (b"c_codecs\nencode.__call__\n.", "asks for _codecs.encode.__call__"),
        (b"Pforeign\n.", "refused"),
        (b"\x80\x02\x82\x01.", "truncated, or no verification set"),
        (b"\x80\x04\x8e\x00\x00\x00\x00\x00\x01\x00\x00.", "truncated, or no verification set"),
        (b"", "truncated, or no verification set"),
        (b"not a pickle", "bin: "),
        (b"(lp0\n.", "expected a pair of lists"),
    ],
)
def test_other_tricks_and_broken_files_are_refused(tmp_path, program, message):
    (tmp_path / "evil.bin").write_bytes(program)
    with pytest.raises(UserError, match=message):
        read_bin(tmp_path / "evil.bin")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((IMAGES, [True]), "expected a list of 2P images and one of P bools"),
        ((IMAGES, [True, 7]), "pair 1: label 7, expected True or False"),
        (([*IMAGES[:3], b""], [True, False]), "image 3: 0 bytes"),
        (([*IMAGES[:3], bytes((1 << 22) + 1)], [True, False]), "image 3: 4194305 bytes"),
        (([*IMAGES[:3], "text"], [True, False]), "image 3: str, expected the bytes of a JPEG or PNG"),
        (([*IMAGES[:3], [1]], [True, False]), "image 3: list, expected the bytes of a JPEG or PNG"),
        (([], []), "expected a list of 2P images"),
    ],
)
def test_a_set_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "set.bin").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=message):
        read_bin(tmp_path / "set.bin")


def test_a_cut_off_file_is_refused(tmp_path):
    data = pickle.dumps((IMAGES, [True, False]))
    assert [name.name for name, _, _ in pickletools.genops(data)][-1] == "STOP"
    for length in range(2, len(data) - 1, 97):
        (tmp_path / "set.bin").write_bytes(data[:length])
        with pytest.raises(UserError, match=r"set\.bin"):
            read_bin(tmp_path / "set.bin")


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
        ("a.json", "no such file"),
    ):
        with pytest.raises(UserError, match=message):
            read_verification_set(tmp_path / name)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not text"):
        read_verification_set(tmp_path / "a.txt")


def test_the_lists_of_the_field_are_read_whole(shared_data):
    pairs = shared_data / "pairs"
    for name in ("lfw_pairs.txt", "qmagface_xqlfw_pairs.txt", "qmagface_calfw_pairs.txt", "qmagface_cplfw_pairs.txt"):
        labels = read_verification_set(pairs / name).labels()
        assert (len(labels), labels.sum()) == (6000, 3000)
    found = read_verification_set(shared_data / "insightface_format" / "lfw_small_bin" / "lfw_small.bin")
    listed = (shared_data / "insightface_format" / "lfw_small_bin" / "lfw_small_pairs.tsv").read_text().splitlines()
    assert [pair.label for pair in found.pairs] == [int(line.split("\t")[2]) for line in listed]
