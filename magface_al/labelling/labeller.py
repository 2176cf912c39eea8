"""The labeller itself, without the web: takes answers in, hands questions out, writes the feedback file.

Several threads may call it. It owns the lock, the database and the State; what only looks at the state is in views.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from magface_al.command.errors import WorkError
from magface_al.command.words import counted
from magface_al.labelling import views
from magface_al.labelling.answer_store import AnswerStore
from magface_al.labelling.answers import Answers, undo_fault
from magface_al.labelling.assignment import Settings
from magface_al.labelling.catalogue import Catalogue
from magface_al.labelling.events import Event, parse_event
from magface_al.labelling.export import exported_pairs, write_csv
from magface_al.labelling.feedback_file import ChangedMeanwhileError, FeedbackFile
from magface_al.labelling.state import State
from magface_al.pairs.pair_file import Pair, PairFile

# of a feedback file with both labels of a pair; see Answers.verdict
LAST_COUNTS = "one annotator's last answer counts, and two annotators' answers are a disagreement"


class Labeller:
    """Records, hands out and exports. Every public method may be called from any thread."""

    def __init__(
        self,
        pair_file: PairFile,
        feedback_path: Path,
        store: AnswerStore,
        settings: Settings | None = None,
        gold_file: PairFile | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """note is told what somebody should know of the files while the labeller runs, from whichever thread it happens in."""
        self._pair_file, self._gold_file, self._settings = pair_file, gold_file, settings or Settings()
        self._lock = threading.RLock()  # of the store and of what _load makes
        self._export_lock = threading.Lock()  # taken before the other one, where both are
        self._store = store
        self._feedback = FeedbackFile(feedback_path, store)
        self.note = note
        self._export_error: str | None = None
        self._load()
        if store.unreadable:
            self._feedback.distrust()

    def _load(self) -> None:
        """What the database holds, beside the pairs file, whose pairs it remembers from now on."""
        self.catalogue = Catalogue(self._pair_file, self._store.pairs, self._gold_file)
        self._store.put_pairs(self.catalogue.current.values())
        self._state = State(self.catalogue, Answers(self._store.events()), self._store.leases(), self._settings)

    @property
    def feedback_path(self) -> Path:
        """The file that exports write."""
        return self._feedback.path

    @property
    def lost(self) -> str | None:
        """What has become of the answers, once the database was deleted, moved or replaced: nothing is saved from then on."""
        return self._store.lost

    @property
    def export_error(self) -> str | None:
        """What the people who answer must know: that nothing is saved any more, or that the feedback file is not up to date."""
        return "; ".join(filter(None, (self.lost, self._export_error))) or None

    def look(self) -> bool:
        """See whether the database is still in its place, also while nobody answers; returns whether an export is due."""
        with self._lock:
            was_lost = self.lost
            self._store.in_place()
            return self._export_error is not None or self.lost != was_lost

    @contextmanager
    def reading(self) -> Iterator[State]:
        """What stands now, for the views, held still as long as the block lasts; nothing of it is kept or changed."""
        with self._lock:
            yield self._state

    @property
    def asked(self) -> int:
        """The number of pairs that people are asked about, gold aside."""
        return len(self._state.assignment.asked)

    def record(self, entries: Sequence[Any], client: str = "") -> dict[str, Any]:
        """Store events; they are on the disk when this returns. Known ids are confirmed and change nothing.

        returns  {"saved": [event_id, ...], "refused": [{"event_id": ..., "reason": ...}, ...]}
        """
        fresh: dict[str, Event] = {}
        saved, refused = [], []
        with self._lock:
            for entry in entries:
                try:
                    event = self._checked(entry, fresh)
                except ValueError as error:
                    named = entry.get("event_id") if isinstance(entry, dict) else None
                    refused.append({"event_id": named if isinstance(named, str) else None, "reason": str(error)})
                else:
                    saved.append(event.event_id)
            self.take_in(fresh.values())
            for event in fresh.values():
                if event.kind == "undo":  # the pair is on the screen again: nobody else is to be given it meanwhile
                    self._state.assignment.lease(event.pair_id, event.annotator, client)
        return {"saved": saved, "refused": refused}

    def _checked(self, entry: Any, fresh: dict[str, Event]) -> Event:
        """An event as it is, or is to be, on the disk. It is put among the fresh ones if nobody knew it. Raises ValueError."""
        event = parse_event(entry)
        if event.pair_id not in self.catalogue:
            raise ValueError("this pair is not in the pairs file")
        answers = self._state.answers
        known = fresh.get(event.event_id) or answers.event(event.event_id)
        if known is not None:
            if entry.get("answered_at") is None:  # it was given the time of its first arrival
                event = replace(event, answered_at=known.answered_at)
            if event != known:
                raise ValueError("this event_id belongs to something else that was answered before")
            return known
        if event.event_id in self._store.unreadable:
            raise ValueError("this event_id stands in a damaged row of the database")
        undone = fresh.get(event.undoes or "") or answers.event(event.undoes or "")
        if fault := undo_fault(event, undone) if undone else None:
            raise ValueError(f"this undo does nothing: {fault}")
        fresh[event.event_id] = event
        return event

    def take_in(self, events: Iterable[Event]) -> None:
        """Store events that have been checked (record) or come from a file (imports)."""
        events = list(events)
        with self._lock:
            if events:
                self._store.append(events)
            for event in events:
                self._state.add(event)

    def next(
        self,
        annotator: str,
        client: str,
        holding: Sequence[str],
        pending: Sequence[str],
        count: int,
        skipped: bool = False,
    ) -> dict[str, Any]:
        """More questions for one browser window; see Assignment.next."""
        with self._lock:
            state, implied = self._state, self._state.implied_ids()
            handout = state.assignment.next(
                annotator, client, holding, count, pending=pending, implied=implied, skipped=skipped
            )
            if handout.leases or handout.released:
                self._store.put_leases(handout.leases, handout.released)
            questions = [views.question(state, key, annotator) for key in handout.fresh]
            return {"pairs": questions, "dropped": handout.dropped}

    def release(self, annotator: str, client: str, pair_ids: Sequence[str]) -> None:
        """Take back what a window that closes still held."""
        with self._lock:
            self._store.put_leases([], self._state.assignment.release(annotator, client, pair_ids))

    def grid(self, annotator: str, client: str, holding: Sequence[str]) -> dict[str, Any] | None:
        """The face that most open pairs are about and up to 8 faces to compare it with; None when nothing is open.

        holding  pairs that this window has on its screen already
        """
        on_screen = set(holding)
        with self._lock:
            available = [key for key in self._state.available(annotator, client) if key not in on_screen]
            if not available:
                return None
            grid = views.grid(self._state, available)
            given = [candidate["pair"] for candidate in grid["candidates"]]
            self._store.put_leases([self._state.assignment.lease(key, annotator, client) for key in given], [])
            return grid

    def export(self, csv_path: Path | None = None) -> list[Pair]:
        """Write the feedback file whole or not at all (and a CSV); returns the pairs in it.

        Raises WorkError, whatever it was that went wrong: the answers are in the database, and the next export has them.
        """
        with self._export_lock:  # answers may come in while the file is written
            try:
                pairs = self._export()
                if csv_path is not None:
                    write_csv(csv_path, pairs)
            except Exception as error:  # the exporter outlives whatever it meets
                self._export_error = self._failure(error)
                raise WorkError(self._export_error) from error
            self._export_error = None
            return pairs

    def _export(self) -> list[Pair]:
        for _ in range(3):
            self._take_in_feedback()
            with self._lock:
                pairs = exported_pairs(self._state)
            with suppress(ChangedMeanwhileError):
                self._feedback.write(pairs, {**self.catalogue.pair_file.extra, "root": str(self.catalogue.root)})
                with self._lock:
                    self._feedback.remember()
                return pairs
        raise WorkError(f"{self.feedback_path}: another program keeps writing it")

    def _take_in_feedback(self) -> None:
        """What another program, or a person with an editor, has written into the feedback file meanwhile."""
        unread = self._feedback.read()
        if unread is None:
            return
        with self._lock:
            count = self._feedback.take_in(unread, self._pair_file)
            self._load()
            for text in both_labels_note(unread.content, LAST_COUNTS):
                self.note(text)
            if count:
                self.note(taken_in_words(count, self.feedback_path, self._store.path))

    def _failure(self, error: Exception) -> str:
        why = f"{error.filename or self.feedback_path}: {error.strerror}" if isinstance(error, OSError) else str(error)
        where = "in this process's memory" if self.lost else f"safe in {self._store.path}"
        return f"{self.feedback_path} could not be written ({why or type(error).__name__}); the answers are {where}"

    def close(self) -> None:
        """Let go of the database, once whoever uses it has done so; again changes nothing."""
        with self._export_lock, self._lock:
            self._store.close()


def both_labels_note(file: PairFile, outcome: str) -> Iterator[str]:
    """What to say, if anything, of a file that labels one pair both same and different, and what becomes of it."""
    if both := file.with_both_labels():
        told = counted(len(both), "pair has", "pairs have")
        yield f"{file.path}: {told} both labels (first: pairs {both[0][0]} and {both[0][1]}); {outcome}"


def taken_in_words(count: int, feedback_path: Path, database: Path) -> str:
    """What to say of answers that were in the feedback file alone."""
    return f"{feedback_path} held {counted(count, 'answer')} that {database} did not have; taken in"
