"""The labeller itself, without the web: takes answers in, hands questions out, writes the feedback file.

Several threads may call it. It owns the lock, the database and the State; what only looks at the state is in views.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from magface_al.labelling import views
from magface_al.labelling.answer_store import AnswerStore
from magface_al.labelling.answers import Answers
from magface_al.labelling.assignment import Settings
from magface_al.labelling.catalogue import Catalogue
from magface_al.labelling.events import Event, parse_event
from magface_al.labelling.export import exported_pairs, write_csv
from magface_al.labelling.state import State
from magface_al.pairs.pair_file import Pair, PairFile, write_pairs


class Labeller:
    """Records, hands out and exports. Every public method may be called from any thread."""

    def __init__(
        self,
        pair_file: PairFile,
        feedback_path: Path,
        store: AnswerStore,
        settings: Settings | None = None,
        gold_file: PairFile | None = None,
    ) -> None:
        self.feedback_path = feedback_path
        self.export_error: str | None = None  # why the feedback file could not be written last time
        self.catalogue = Catalogue(pair_file, store.pairs(), gold_file)
        store.put_pairs(list(self.catalogue.current.values()))
        self._lock = threading.RLock()  # of the two below
        self._store = store
        self._state = State(self.catalogue, Answers(store.events()), store.leases(), settings or Settings())
        self._export_lock = threading.Lock()

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
        good: list[Event] = []
        refused = []
        for entry in entries:
            try:
                event = parse_event(entry)
                if event.pair_id not in self.catalogue:
                    raise ValueError("this pair is not in the pairs file")
            except ValueError as error:
                named = entry.get("event_id") if isinstance(entry, dict) else None
                refused.append({"event_id": named, "reason": str(error)})
            else:
                good.append(event)
        with self._lock:
            self.take_in(good)
            for event in good:
                if event.kind == "undo":  # the pair is on the screen again: nobody else is to be given it meanwhile
                    self._state.assignment.lease(event.pair_id, event.annotator, client)
        return {"saved": [event.event_id for event in good], "refused": refused}

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
        """Write the feedback file whole or not at all (and a CSV); returns the pairs in it."""
        with self._export_lock:  # answers may come in while the file is written
            with self._lock:
                pairs = exported_pairs(self._state)
            extra = {**self.catalogue.pair_file.extra, "root": str(self.catalogue.root)}
            write_pairs(self.feedback_path, pairs, **extra)
            if csv_path is not None:
                write_csv(csv_path, pairs)
            return pairs

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._store.close()
