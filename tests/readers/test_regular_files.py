"""What is named like a file may be a pipe that nobody writes to, a device without end, a socket, a folder, a loop of links."""

from __future__ import annotations

import json
import os
import signal
import socket

import pytest

from magface_al.command.errors import UserError
from tests.readers.openers import BYTES, JSON, PICTURES, TEXT, place

ALL = {**TEXT, **JSON, **BYTES, **PICTURES}


def a_pipe(path):
    os.mkfifo(path)


def a_device(path):
    path.symlink_to("/dev/zero")


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))


def a_folder(path):
    path.mkdir()


def a_loop(path):
    path.symlink_to(path)


@pytest.fixture
def impatient(monkeypatch, tmp_path):
    """A reader that waits or reads for ever is ended; its folder is the working one, because a socket's path is short."""
    monkeypatch.chdir(tmp_path)

    def ring(*_):
        raise AssertionError("it waits, or reads without end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("make", [a_pipe, a_device, a_socket, a_folder, a_loop])
@pytest.mark.parametrize("name", ALL)
def test_only_regular_files_are_read(impatient, tmp_path, name, make):
    path = place(tmp_path, name)
    make(path)
    if name == "binary store":
        path.with_suffix(".json").write_text("{}")
        path.with_suffix(".paths.txt").write_text("a.png\n")
    expected = ValueError if name in PICTURES and name != "packed picture" else (UserError, OSError)
    try:
        found = ALL[name](path)
    except expected as error:
        assert isinstance(error, ValueError) or path.name in str(error)
    else:
        assert name == "property" and found is None  # absent, as for most sets


@pytest.mark.parametrize("make", [a_pipe, a_device, a_folder])
def test_pictures_that_pairs_name_are_regular_files_for_the_error_page(impatient, run_script, tmp_path, features, make):
    """With a feature store nobody has read them before."""
    names = features.with_suffix(".paths.txt").read_text().splitlines()[:2]
    for suffix in (".npy", ".paths.txt", ".json"):
        (tmp_path / f"f{suffix}").write_bytes(features.with_suffix(suffix).read_bytes())
    text = (tmp_path / "f.paths.txt").read_text()
    (tmp_path / "f.paths.txt").write_text(text.replace(names[0], "odd.png"))
    make(tmp_path / "odd.png")
    pairs = [{"image1": "odd.png", "image2": names[1], "label": label} for label in (1,)]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    flags = ["--features_list", "f.npy", "--feedback_file", "pairs.json", "--output_dir", "errors", "--threshold", 1]
    done = run_script("visualize_errors.py", *flags, code=2)
    assert "odd.png: " in done.stderr
    assert not (tmp_path / "errors" / ".lock").exists()
