"""Files that are read: only regular ones, text under one policy, JSON without surprises."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from magface_al.command.errors import UserError
from magface_al.command.files import is_path, open_input, open_regular, read_json, read_lines, sha256


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder", "absent", "nul", "surrogate"])
def test_what_never_ends_or_never_begins_is_refused_at_once(tmp_path, kind):
    path = {"device": Path("/dev/zero"), "nul": "a\0b", "surrogate": "a\ud800b"}.get(kind, tmp_path / kind)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    if kind == "socket":
        listener.bind(str(path))
    before = open_descriptors()
    with pytest.raises(OSError) as refused:
        open_regular(path)
    assert refused.value.filename
    assert refused.value.strerror
    with pytest.raises(UserError, match=", expected a list$"):
        open_input(Path(path), "a list")
    assert open_descriptors() == before
    listener.close()


def test_links_to_files_are_files(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").symlink_to("a")
    assert sha256(tmp_path / "b") == sha256(tmp_path / "a")


def test_lines_end_where_files_say_and_names_survive(tmp_path):
    data = b"\xef\xbb\xbfa b\r\n\n  \nc\xe9\xff.jpg\rx\xe2\x80\xa8y\xc2\x85z\x0b\x0c\x1c\x1d\x1ee\nlast"
    (tmp_path / "l").write_bytes(data)
    lines = list(read_lines(tmp_path / "l", "a list"))
    assert lines == [(1, "a b"), (4, "c\udce9\udcff.jpg"), (5, "x\u2028y\x85z\x0b\x0c\x1c\x1d\x1ee"), (6, "last")]
    assert lines[1][1].encode("utf-8", "surrogateescape") == b"c\xe9\xff.jpg"


def test_a_nul_is_named_with_its_line(tmp_path):
    (tmp_path / "l").write_bytes(b"a\nb\0c\n")
    with pytest.raises(UserError, match=r"l: line 2: a NUL character, expected a list"):
        list(read_lines(tmp_path / "l", "a list"))


@pytest.mark.parametrize(("text", "yes"), [("a/ü.jpg", True), ("\udce9", True), ("\ud800", False), ("a\0", False)])
def test_what_a_path_can_be(text, yes):
    assert is_path(text) is yes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "line 1: not JSON"),
        (b'{"a": 1,\n"a": 2}', "key 'a' is given twice"),
        (b"[NaN]", "NaN is no number in JSON"),
        (b"[-Infinity]", "-Infinity is no number in JSON"),
        (b"[1e400]", "1e400 is beyond"),
        (b"[" + b"9" * 5000 + b"]", "4300 digits"),
        (b"[" * 100000, "lists inside lists"),
        (b'["\xff"]', "not UTF-8 text"),
        (b"", "not JSON"),
    ],
)
def test_json_that_python_would_read_or_choke_on_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(UserError, match=message) as refused:
        read_json(tmp_path / "p.json")
    assert str(refused.value).startswith(f"{tmp_path / 'p.json'}: ")
    assert "\n" not in str(refused.value)
