"""The database's file: its owner's alone, locked, of the schema that answer_store.py knows, and whole."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from magface_al.command.errors import UserError

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, pair_id TEXT NOT NULL,
    annotator TEXT NOT NULL, answered_at TEXT NOT NULL, answer TEXT, undoes TEXT, seconds REAL, details TEXT NOT NULL,
    received_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pairs (pair_id TEXT PRIMARY KEY, entry TEXT NOT NULL, folder TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leases (
    pair_id TEXT NOT NULL, annotator TEXT NOT NULL, client TEXT NOT NULL, expires REAL NOT NULL,
    PRIMARY KEY (pair_id, annotator, client));
"""


def connect(path: Path, notes: list[str]) -> sqlite3.Connection:
    """Open or create the database, for this process alone and readable by its owner alone; what is to be said goes to notes.

    Raises UserError for another program's database, sqlite3.OperationalError where another process has it open or where it
    cannot be written, and sqlite3.DatabaseError where it is damaged.
    """
    try:
        new_private(path)
    except FileExistsError:
        _narrow(path, notes)
    connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        _refuse_foreign(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        damage = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
    except UnicodeDecodeError as error:  # of SQLite's own words about a schema whose names are damaged
        connection.close()
        raise sqlite3.DatabaseError("the schema is no text") from error
    except BaseException:
        connection.close()
        raise
    return connection


def new_private(path: Path) -> None:
    """Create an empty file that only its owner may read, whatever umask says. SQLite gives its log the same rights."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)


def _narrow(path: Path, notes: list[str]) -> None:
    """The answers and the secret are nobody else's, whoever made the file and how."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise UserError(
            f"{path}: a folder, device, pipe or socket, expected a database file; choose another --feedback_file"
        )
    for ending in ("", "-wal", "-shm"):
        part = path.with_name(path.name + ending)
        if not part.exists():
            continue
        rights = stat.S_IMODE(part.stat().st_mode)
        if not rights & 0o077:
            continue
        try:
            part.chmod(rights & 0o700)
        except OSError as error:
            notes.append(
                f"{part} can be read by others (rights {rights:04o}), which cannot be changed ({error.strerror})"
            )
        else:
            notes.append(f"{part} could be read by others (rights {rights:04o}); it is its owner's alone now")


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raises UserError for a database that no version up to this one has written; it is left as it is."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path}: written by a later version (schema {version}, this one knows {SCHEMA_VERSION}); update magface-al"
        )
    with closing(sqlite3.connect(":memory:")) as model:
        model.executescript(_SCHEMA)
        expected = _columns(model)
    different = [name for name, columns in _columns(connection).items() if columns != expected.get(name)]
    if different or version < 0:
        what = f"table {different[0]!r}" if different else f"schema {version}"
        raise UserError(f"{path}: a database of another program ({what} is not ours); choose another --feedback_file")


def _columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Table (or view) -> its columns; without SQLite's own tables."""
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    names = [name for (name,) in connection.execute(query)]
    return {
        name: [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))] for name in names
    }


def identity(path: Path) -> tuple[int, int] | None:
    """(device, inode) of the file under this name now; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
