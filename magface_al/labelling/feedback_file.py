"""The feedback file and the database: what the one says and the other does not know; the file before is kept; written whole."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from magface_al.command.files import open_regular, sha256
from magface_al.command.replacing import replacing
from magface_al.labelling.answer_store import AnswerStore, StoredPair
from magface_al.labelling.answers import Answers
from magface_al.labelling.catalogue import stored_pairs
from magface_al.labelling.events import Event, pair_id
from magface_al.labelling.imports import as_asked, beside_damage, events_of_feedback
from magface_al.pairs.pair_file import Pair, PairFile, pairs_json, read_pairs

_KNOWN = "feedback_sha256"  # the fact: SHA-256 of a feedback file all of whose answers are in the database

_OF_NOTHING = hashlib.sha256().hexdigest()


class ChangedMeanwhileError(Exception):
    """Another program has written the file since it was last taken in."""


@dataclass(frozen=True)
class Unread:
    """A feedback file that has not been taken in. One that changes while it is read has another digest, and is read again."""

    digest: str  # SHA-256 of the file as it was just before
    content: PairFile


def backup_of(path: Path) -> Path:
    """Where the feedback file from before a run is kept."""
    return path.with_name(path.name + ".bak")


class FeedbackFile:
    """One feedback file and its database. The file is never written over while it says what the database does not know.

    Made, take_in and remember use the database, so the caller holds its lock; read and write, which take long, do not.
    """

    def __init__(self, path: Path, store: AnswerStore) -> None:
        self.path, self._store = path, store
        self._known = store.fact(_KNOWN)
        self._kept = False  # whether the file before this run stands in NAME.bak

    def distrust(self) -> None:
        """The database is damaged: take in the file, which may have what was lost, although it has been taken in before."""
        self._known = None

    def read(self) -> Unread | None:
        """The file where it has something to take in; None: there is no file, or the one that was last taken in or written.

        Raises UserError for a file that is no pairs file.
        """
        digest = self._digest()
        return None if digest in (None, self._known) else Unread(str(digest), read_pairs(self.path))

    def take_in(self, unread: Unread, pair_file: PairFile) -> int:
        """Put into the database what the file says and the database does not know: all of it or, where the run is killed,
        nothing. Returns how many answers those were.

        An answer that was withdrawn since is known, so an old file brings none back. pair_file: see events_of_feedback.

        Raises NotSaved where the database does not take the answers.
        """
        with self._store.transaction():
            found = _events_of(unread.content, pair_file, self._store)
            fresh = _unknown(found, self._store)
            missing = {event.pair_id for event in found} - {stored.pair_id for stored in self._store.pairs()}
            if missing:
                pairs = stored_pairs(unread.content)
                self._store.put_pairs(as_asked(pairs[key]) for key in missing & pairs.keys())
            self._store.append(fresh)
            self._store.put_fact(_KNOWN, unread.digest)
        self._known = unread.digest
        return len(fresh)

    def write(self, pairs: Iterable[Pair], extra: Mapping[str, Any]) -> None:
        """Write the file whole or not at all; the first time in a run, the one before becomes NAME.bak.

        Raises ChangedMeanwhileError, with nothing written, if it is not the file that was last taken in or written.
        """
        sha = hashlib.sha256()
        with replacing(self.path, "wb", durable=True) as file:
            for text in pairs_json(pairs, **extra):
                data = text.encode("utf-8", "backslashreplace")
                file.write(data)
                sha.update(data)
            before = self._digest()
            if before not in (None, self._known):
                raise ChangedMeanwhileError
            if before not in (None, sha.hexdigest()):
                self._keep()
        self._known = sha.hexdigest()

    def remember(self) -> None:
        """Keep for the next start which file was last written."""
        self._store.put_fact(_KNOWN, str(self._known))

    def _keep(self) -> None:
        """A copy, not the file itself under another name, so that at no moment it is missing."""
        if not self._kept:
            with open_regular(self.path) as old, replacing(backup_of(self.path), "wb", durable=True) as new:
                shutil.copyfileobj(old, new)
            self._kept = True

    def _digest(self) -> str | None:
        """SHA-256 of the file as it is now; None where there is none, or one of no bytes, which says nothing."""
        try:
            digest = sha256(self.path)
        except FileNotFoundError:
            return None
        return None if digest == _OF_NOTHING else digest


def _events_of(feedback: PairFile, pair_file: PairFile, store: AnswerStore) -> list[Event]:
    """The answers of the file, about pairs by the ids that the database has them under."""
    names = _exported_names(store.pairs())
    events = events_of_feedback(feedback, pair_file.pairs)
    return [replace(event, pair_id=names[event.pair_id]) if event.pair_id in names else event for event in events]


def _unknown(found: Iterable[Event], store: AnswerStore) -> list[Event]:
    """Those that the database has never had, be they withdrawn since, or whose rows are damaged."""
    answers = Answers(store.events())
    known = {_content(event) for event in answers.events()}
    return [
        event
        for event in beside_damage(found, store.unreadable)
        if answers.event(event.event_id) is None and _content(event) not in known
    ]


def _content(event: Event) -> tuple[object, ...]:
    """What an export keeps of an event; its id is not among it."""
    return event.kind, event.pair_id, event.annotator, event.answer, event.answered_at


def _exported_names(known: Iterable[StoredPair]) -> dict[str, str]:
    """The id that a pair gets by the whole paths under which it is exported beside pairs of another folder -> its own id."""
    return {pair_id(stored.placed()): stored.pair_id for stored in known}
