"""The database's file: whose it is, and what is not taken for one."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from magface_al.command.errors import UserError
from magface_al.labelling.answer_store import AnswerStore, open_store
from tests.support.answers import an_event


@pytest.fixture
def umask():
    """Set the umask for one test."""
    before = os.umask(0)
    yield os.umask
    os.umask(before)


def rights(folder):
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.glob("f.sqlite*")}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277])
def test_the_database_and_its_log_are_their_owners_alone_whatever_umask_says(tmp_path, umask, mask):
    umask(mask)
    store, _ = open_store(tmp_path / "f.sqlite")
    store.append([an_event()])
    umask(0o022)
    assert rights(tmp_path) == {"f.sqlite": "0o600", "f.sqlite-wal": "0o600"}
    assert store.notes == []
    store.close()


def test_a_database_that_others_may_read_is_narrowed_and_a_note_says_so(tmp_path, umask):
    AnswerStore(tmp_path / "f.sqlite").close()
    for name in ("f.sqlite", "f.sqlite-wal", "f.sqlite-shm"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o664)
    umask(0)
    store, aside = open_store(tmp_path / "f.sqlite")
    assert set(rights(tmp_path).values()) == {"0o600"}
    assert (
        store.notes[0] == f"{tmp_path / 'f.sqlite'} could be read by others (rights 0664); it is its owner's alone now"
    )
    assert aside is None
    store.close()
    again = AnswerStore(tmp_path / "f.sqlite")
    assert again.notes == []
    again.close()


def test_a_link_is_written_through_to_its_target(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "f.sqlite").symlink_to(tmp_path / "elsewhere" / "real.sqlite")
    store = AnswerStore(tmp_path / "f.sqlite")
    store.append([an_event()])
    store.close()
    assert (tmp_path / "f.sqlite").is_symlink()
    real = AnswerStore(tmp_path / "elsewhere" / "real.sqlite")
    assert len(list(real.events())) == 1
    real.close()


@pytest.mark.parametrize(
    ("statements", "version", "message"),
    [
        ("CREATE TABLE customers (name TEXT)", 0, "table 'customers' is not ours"),
        ("CREATE TABLE events (id INTEGER, what TEXT)", 1, "table 'events' is not ours"),
        ("CREATE VIEW pairs AS SELECT 1 AS pair_id", 1, "table 'pairs' is not ours"),
        ("CREATE TABLE customers (name TEXT)", -3, "is not ours"),
        ("", 9, "written by a later version (schema 9"),
    ],
)
def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path, statements, version, message):
    path = tmp_path / "f.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{statements}; PRAGMA user_version = {version}; VACUUM")
    before = path.read_bytes()
    with pytest.raises(UserError) as error:
        open_store(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
    assert path.read_bytes() == before


def test_what_is_no_file_is_refused_and_nobody_waits_for_it(tmp_path):
    (tmp_path / "folder.sqlite").mkdir()
    os.mkfifo(tmp_path / "pipe.sqlite")
    (tmp_path / "loop.sqlite").symlink_to("loop.sqlite")
    for name in ("folder", "pipe", "loop"):
        with pytest.raises(UserError, match=f"{name}.sqlite"):
            open_store(tmp_path / f"{name}.sqlite")


def test_every_flipped_bit_of_the_schema_leaves_answers_or_a_reason(tmp_path):
    """SQLite keeps its schema as text on the first page, and quotes it where it is damaged, whatever the bytes are."""
    whole = tmp_path / "whole.sqlite"
    store = AnswerStore(whole)
    store.append([an_event()])
    store.close()
    content, path = whole.read_bytes(), tmp_path / "f.sqlite"
    first = content.index(b"CREATE TABLE")
    for place in range(first, content.index(b"CREATE TABLE", first + 1), 5):
        for file in tmp_path.glob("f.sqlite*"):
            file.unlink()
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x80]) + content[place + 1 :])
        path.chmod(0o600)
        try:
            opened, aside = open_store(path)
        except UserError as error:
            assert str(error).startswith(str(path))
        else:
            assert aside or len(list(opened.events())) == 1
            opened.close()
