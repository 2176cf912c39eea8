"""The answers on disk: an SQLite database to which events are only ever added.

SQLite, because an answer must be on the disk before it is called saved, whatever is killed and whenever: write-ahead
log, synchronous=FULL, one transaction a request. The file is locked for as long as the labeller runs (a second labeller
on it is refused), and an exclusively locked database needs no shared memory, which network file systems lack.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from magface_al.command.errors import UserError, WorkError
from magface_al.command.files import is_path
from magface_al.labelling.database_file import connect, identity, new_private
from magface_al.labelling.events import Event, restored_event, utc_now
from magface_al.pairs.pair_file import Pair


@dataclass(frozen=True)
class StoredPair:
    """A pair that has been asked about, now or earlier, and the folder from which its relative names start."""

    pair_id: str
    pair: Pair
    folder: Path

    def placed(self) -> Pair:
        """The pair with the whole paths of its images, which can be found from anywhere."""
        image1, image2 = (str(self.folder / name) for name in (self.pair.image1, self.pair.image2))
        return replace(self.pair, image1=image1, image2=image2)


@dataclass(frozen=True)
class Lease:
    """A pair that is on somebody's screen, or next on it, until `expires` (seconds since 1970)."""

    pair_id: str
    annotator: str
    client: str
    expires: float


class NotSaved(WorkError):
    """Answers that the database could not take: they are nowhere but where they came from."""


class AnswerStore:
    """One database, opened for this process alone. Not safe for several threads at once: the caller holds a lock.

    notes       what the user should know of it
    unreadable  ids of events and pairs that stand in it and that nobody can make sense of; they are left where they are
    lost        once another program has deleted, moved or replaced it: what has become of the answers. Nothing is saved then.
    """

    def __init__(self, path: Path) -> None:
        self.path = _behind_link(path)
        self.notes: list[str] = []
        self.unreadable: set[object] = set()
        self.lost: str | None = None
        self._connection = connect(self.path, self.notes)
        self._files = [self.path, self.path.with_name(self.path.name + "-wal")]
        self._identities = [identity(file) for file in self._files]
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside it is on the disk after it, or nothing is; one inside another is part of that one.

        Raises NotSaved where the disk does not take it, or where the database is not in its place any more.
        """
        if not self.in_place():
            raise NotSaved(self.lost or f"{self.path} is closed: the labeller has ended")
        if self._connection.in_transaction:
            yield
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise NotSaved(f"{self.path} takes no answers ({error})") from error
        finally:
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def append(self, events: Iterable[Event]) -> None:
        """Add events; those already there (same event_id) stay as they are. On return they are on the disk."""
        now = utc_now()
        rows = ((event.event_id, event.kind, event.pair_id, event.annotator, event.answered_at, event.answer, event.undoes,
                 event.seconds, json.dumps(event.details), now) for event in events)  # fmt: skip
        with self.transaction():
            self._connection.executemany(
                "INSERT INTO events (event_id, kind, pair_id, annotator, answered_at, answer, undoes, seconds, details, "
                "received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
                rows,
            )

    def is_empty(self) -> bool:
        """Whether nobody has answered anything yet."""
        return self._connection.execute("SELECT 1 FROM events LIMIT 1").fetchone() is None

    def events(self) -> Iterator[Event]:
        """All events in the order in which they arrived, but the unreadable ones."""
        columns = "event_id, kind, pair_id, annotator, answered_at, answer, undoes, seconds, details, received_at"
        for *row, received_at in self._rows(f"SELECT {columns} FROM events ORDER BY seq"):
            event = restored_event(row, str(received_at))
            if event is None:
                self.unreadable.add(row[0])
            else:
                yield event

    def put_pairs(self, pairs: Iterable[StoredPair]) -> None:
        """Remember pairs, so that answers stay exportable when the next pairs file no longer names them."""
        rows = ((known.pair_id, json.dumps(known.pair.to_dict()), _storable(known.folder)) for known in pairs)
        with self.transaction():
            self._connection.executemany(
                "INSERT INTO pairs VALUES (?, ?, ?) ON CONFLICT (pair_id) DO UPDATE SET entry = excluded.entry, "
                "folder = excluded.folder WHERE entry != excluded.entry OR folder != excluded.folder",
                rows,
            )

    def pairs(self, without: Collection[str] = ()) -> Iterator[StoredPair]:
        """Every pair ever put in that can be read, but those with the ids that are left out.

        NaN and infinity, which earlier versions took in, become null.
        """
        folders: dict[str | bytes, Path] = {}
        for pair_id, text, folder in self._rows("SELECT pair_id, entry, folder FROM pairs ORDER BY rowid"):
            if pair_id in without:
                continue
            try:
                entry = _DECODER.decode(text)
                images, label = (entry.pop("image1"), entry.pop("image2")), entry.pop("label")
                if folder not in folders:
                    folders[folder] = Path(os.fsdecode(folder))
                if not isinstance(pair_id, str) or label not in (0, 1, None):
                    raise ValueError("not a pair")
                if not all(map(_is_path, (*images, str(folders[folder])))):
                    raise ValueError("not two paths")
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
                self.unreadable.add(pair_id)
            else:
                yield StoredPair(pair_id, Pair(*images, label, entry), folders[folder])

    def put_leases(self, leases: Sequence[Lease], gone: Sequence[tuple[str, str, str]]) -> None:
        """Write leases given or renewed and remove those given up, (pair_id, annotator, client).

        They spare people each other's questions and nothing else, so they are let go where nothing is saved any more.
        """
        if not self.in_place():
            return
        with self.transaction():
            self._connection.execute("DELETE FROM leases WHERE expires < ?", (time.time(),))
            self._connection.executemany("DELETE FROM leases WHERE pair_id = ? AND annotator = ? AND client = ?", gone)
            rows = [(lease.pair_id, lease.annotator, lease.client, lease.expires) for lease in leases]
            self._connection.executemany("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)", rows)

    def leases(self) -> list[Lease]:
        """The leases that have not run out."""
        rows = self._rows("SELECT pair_id, annotator, client, expires FROM leases")
        return [Lease(*row) for row in rows if isinstance(row[3], int | float) and row[3] >= time.time()]

    def fact(self, name: str) -> str | None:
        """A text kept under a name."""
        return next((str(value) for key, value in self._rows("SELECT name, value FROM facts") if key == name), None)

    def put_fact(self, name: str, value: str) -> None:
        """Keep a text under a name, for the next start; it is let go where nothing is saved any more."""
        if self.in_place():
            with self.transaction():
                self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def secret(self, name: str) -> str:
        """A random text that is made once and stays for the life of the database, so that a restart keeps its address."""
        value = self.fact(name)
        if value is None:
            value = secrets.token_urlsafe(24)
            self.put_fact(name, value)
        return value

    def in_place(self) -> bool:
        """Whether answers can be saved: the files under the database's name are those that this process has open.

        Once they are not, what it holds is rescued, and `lost` says where that is.
        """
        if self._closed or self.lost:
            return False
        if self._connection.in_transaction:  # looked at when it began
            return True
        now = [identity(file) for file in self._files]
        if self._identities[1] is None:  # the log begins with the first write
            self._identities[1] = now[1]
        if now != self._identities:
            what = f"{self.path} was deleted, moved or replaced while the labeller ran, which saves nothing any more"
            self.lost = f"{what}; {self._rescue()}"
            return False
        return True

    def _rescue(self) -> str:
        """Copy the database, which is still open whatever has become of its name; returns what to say of it."""
        copy = self.path.with_name(f"{self.path.name}.recovered-{_stamp()}")
        try:
            new_private(copy)
            with closing(sqlite3.connect(copy)) as target:
                self._connection.backup(target)
        except (OSError, sqlite3.Error) as error:
            return f"the answers until then are in the feedback file alone ({copy}: {error}): end the labeller and start it again"
        self._connection.close()  # SQLite leaves the log of a database that was moved alone
        if identity(self.path) is None and identity(self._files[1]) in (None, self._identities[1]):
            with suppress(OSError):
                self._files[1].unlink(missing_ok=True)  # or it would be taken for the new file's
                os.link(copy, self.path)  # unlike a rename never onto another's file
                copy.unlink()
                return "the answers until then were written to it anew: end the labeller and start it again"
        return f"the answers until then are in {copy}: end the labeller, see which of the files is right, and start it again"

    def close(self) -> None:
        """Fold the log into the database and let go of it; again changes nothing."""
        self.in_place()  # or what it holds is rescued
        self._closed = True
        self._connection.close()

    def _rows(self, query: str) -> list[Any]:
        try:
            return self._connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
            self._connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
            return self._connection.execute(query).fetchall()


_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=lambda text: _finite(float(text)))


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _is_path(name: object) -> bool:
    return isinstance(name, str) and is_path(name)


def _storable(folder: Path) -> str | bytes:
    """A path as SQLite takes it: bytes where they are not UTF-8."""
    data = os.fsencode(folder)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _behind_link(path: Path) -> Path:
    """A link is written through to its target, beside which the log and what is rescued stand."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _stamp() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def open_store(path: Path) -> tuple[AnswerStore, Path | None]:
    """Open or create the database. A corrupt one is moved aside, never overwritten, and its new place returned as well.

    Raises UserError where the folder cannot be written, another labeller has the database open, or it is another program's.
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
        real = _behind_link(path)
        aside = real.with_name(f"{real.name}.corrupt-{_stamp()}")
        for ending in ("", "-wal", "-shm"):
            part = real.with_name(real.name + ending)
            if part.exists():
                part.rename(aside.with_name(aside.name + ending))
        return AnswerStore(path), aside
