"""The answers on disk: an SQLite database to which events are only ever added.

SQLite, because an answer must be on the disk before it is called saved, whatever is killed and whenever: write-ahead
log, synchronous=FULL, one transaction a request. The file is locked for as long as the labeller runs (a second labeller
on it is refused), and an exclusively locked database needs no shared memory, which network file systems lack.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.labelling.events import Event, utc_now
from magface_al.pairs.pair_file import Pair

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


@dataclass(frozen=True)
class StoredPair:
    """A pair that has been asked about, now or earlier, and the folder from which its relative names start."""

    pair_id: str
    pair: Pair
    folder: Path


@dataclass(frozen=True)
class Lease:
    """A pair that is on somebody's screen, or next on it, until `expires` (seconds since 1970)."""

    pair_id: str
    annotator: str
    client: str
    expires: float


class AnswerStore:
    """One database, opened for this process alone. Not safe for several threads at once: the caller holds a lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = _connect(path)

    def append(self, events: Sequence[Event]) -> None:
        """Add events; those already there (same event_id) stay as they are. On return they are on the disk."""
        now = utc_now()
        rows = [(event.event_id, event.kind, event.pair_id, event.annotator, event.answered_at, event.answer, event.undoes,
                 event.seconds, json.dumps(event.details), now) for event in events]  # fmt: skip
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO events (event_id, kind, pair_id, annotator, answered_at, answer, undoes, seconds, details, "
                "received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
                rows,
            )

    def events(self) -> Iterator[Event]:
        """All events in the order in which they arrived."""
        columns = "event_id, kind, pair_id, annotator, answered_at, answer, undoes, seconds, details"
        for *plain, details in self._connection.execute(f"SELECT {columns} FROM events ORDER BY seq"):
            yield Event(*[*plain, json.loads(details)])

    def put_pairs(self, pairs: Sequence[StoredPair]) -> None:
        """Remember pairs, so that answers stay exportable when the next pairs file no longer names them."""
        rows = [(known.pair_id, json.dumps(known.pair.to_dict()), str(known.folder)) for known in pairs]
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO pairs VALUES (?, ?, ?) ON CONFLICT (pair_id) DO UPDATE SET entry = excluded.entry, "
                "folder = excluded.folder",
                rows,
            )

    def pairs(self) -> Iterator[StoredPair]:
        """Every pair ever put in."""
        for pair_id, text, folder in self._connection.execute(
            "SELECT pair_id, entry, folder FROM pairs ORDER BY rowid"
        ):
            entry = json.loads(text)
            pair = Pair(entry.pop("image1"), entry.pop("image2"), entry.pop("label"), entry)
            yield StoredPair(pair_id, pair, Path(folder))

    def put_leases(self, leases: Sequence[Lease], gone: Sequence[tuple[str, str, str]]) -> None:
        """Write leases given or renewed and remove those given up, (pair_id, annotator, client)."""
        with self._transaction():
            self._connection.execute("DELETE FROM leases WHERE expires < ?", (time.time(),))
            self._connection.executemany("DELETE FROM leases WHERE pair_id = ? AND annotator = ? AND client = ?", gone)
            rows = [(lease.pair_id, lease.annotator, lease.client, lease.expires) for lease in leases]
            self._connection.executemany("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)", rows)

    def leases(self) -> list[Lease]:
        """The leases that have not run out."""
        query = "SELECT pair_id, annotator, client, expires FROM leases WHERE expires >= ?"
        return [Lease(*row) for row in self._connection.execute(query, (time.time(),))]

    def secret(self, name: str) -> str:
        """A random text that is made once and stays for the life of the database, so that a restart keeps its address."""
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, secrets.token_urlsafe(24)))
        (value,) = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(value)

    def close(self) -> None:
        """Fold the log into the database and let go of it."""
        self._connection.close()

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK if the block raises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self.connection.execute("COMMIT" if kind is None else "ROLLBACK")


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)  # before SQLite does, with its wider mode: the answers and the secret are nobody else's
    connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{path}: written by a later version (schema {version}, this one knows {SCHEMA_VERSION}); update magface-al"
            )
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
        damage = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
    except BaseException:
        connection.close()
        raise
    return connection


def open_store(path: Path) -> tuple[AnswerStore, Path | None]:
    """Open or create the database. A corrupt one is moved aside, never overwritten, and its new place returned as well.

    Raises UserError where the folder cannot be written or another labeller has the database open.
    """
    try:
        return AnswerStore(path), None
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise UserError(f"{path}: in use by another label_pairs.py; end that one, or open its address") from None
        raise UserError(
            f"{path}: cannot be written ({error}); choose a --feedback_file in a folder of your own"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); choose a --feedback_file in a folder of your own"
        ) from None
    except sqlite3.DatabaseError:
        aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
        return AnswerStore(path), aside
