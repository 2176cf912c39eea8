"""Reading .bin sets without running what a pickle asks for."""

from __future__ import annotations

import os
import pickle
import pickletools
import resource
import struct

import cv2
import numpy as np
import pytest

from magface_al.command.errors import UserError
from magface_al.pairs.bin_file import read_bin

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


def jump(index):
    return b"r" + struct.pack("<I", index)  # LONG_BINPUT: the object on top of the stack gets this number


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"\x80\x02N" + jump(1 << 28) + b".", "refused, it numbers an object 268435456, and has 9 bytes in all"),
        (b"Np268435456\n.", "refused, it numbers an object 268435456"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 32) + b".", "truncated, or no verification set"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 32) + b".", "truncated, or no verification set"),
        (b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.", "truncated"),
        (b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b".", "truncated, or no verification set"),
        (b"L" + b"9" * 5000 + b"L\n.", "truncated, or no verification set"),
    ],
    ids=["memo", "memo in words", "bytearray8", "binbytes8", "frame", "long4", "digits"],
)
def test_nothing_is_made_that_the_file_cannot_hold(tmp_path, program, message):
    """A few bytes made four gigabytes of empty numbered places."""
    (tmp_path / "bomb.bin").write_bytes(program)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=message):
        read_bin(tmp_path / "bomb.bin")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (256 << 10)  # KiB


def test_an_image_that_is_named_again_and_again_is_held_once(tmp_path):
    image = bytearray(JPEG)
    (tmp_path / "set.bin").write_bytes(pickle.dumps(([image] * 40 + [bytes(image)] * 40, [True] * 40), protocol=5))
    assert len(set(map(id, read_bin(tmp_path / "set.bin").held.values()))) == 2
    text, encode = (
        b"X" + struct.pack("<I", 4) + b"JPEG" + b"q\x00",
        b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R",
    )
    program = b"\x80\x02" + text + b"0(" + encode * 4 + b"l(\x88\x89l\x86."
    (tmp_path / "set.bin").write_bytes(program)
    assert len(set(map(id, read_bin(tmp_path / "set.bin").held.values()))) == 1


def test_python_2s_own_strings_may_hold_any_bytes(tmp_path):
    strings = b"".join(b"S" + repr(data)[1:].encode() + b"\n" for data in IMAGES)
    (tmp_path / "set.bin").write_bytes(b"((" + strings + b"l(I01\nI00\nlt.")
    check(tmp_path / "set.bin")


def test_a_cut_off_file_is_refused(tmp_path):
    data = pickle.dumps((IMAGES, [True, False]))
    assert [name.name for name, _, _ in pickletools.genops(data)][-1] == "STOP"
    for length in range(2, len(data) - 1, 97):
        (tmp_path / "set.bin").write_bytes(data[:length])
        with pytest.raises(UserError, match=r"set\.bin"):
            read_bin(tmp_path / "set.bin")
