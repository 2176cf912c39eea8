"""The labeller itself, without the web: pairs, answers and people in one object that several threads may call."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from magface_al.labelling.agreement import agreement_table, annotator_table
from magface_al.labelling.answer_store import AnswerStore, StoredPair
from magface_al.labelling.answers import Answers
from magface_al.labelling.assignment import Assignment
from magface_al.labelling.consistency import Contradiction, find_contradictions, implied_labels
from magface_al.labelling.events import Event, draw, image_id, pair_id, parse_event
from magface_al.labelling.export import answered_pair, write_csv
from magface_al.labelling.review import Filter, Gallery
from magface_al.pairs.pair_file import Pair, PairFile, write_pairs

GRID_CANDIDATES = 8
LONGEST_PAUSE = 60.0  # seconds; longer than this somebody was away, which says nothing about the time left
OPINION_KEYS = ("similarity", "probability", "uncertainty", "magnitude1", "magnitude2", "strategy")


@dataclass(frozen=True)
class Settings:
    """How questions are dealt out."""

    overlap: int = 1
    gold_share: float = 0.05
    infer: bool = False
    relabel: bool = False


class Labeller:
    """Asks, records, derives and exports. Every public method may be called from any thread."""

    def __init__(
        self,
        pair_file: PairFile,
        feedback_path: Path,
        store: AnswerStore,
        settings: Settings | None = None,
        gold_file: PairFile | None = None,
    ) -> None:
        self.feedback_path, self.settings = feedback_path, settings or Settings()
        self.export_error: str | None = None
        self._store, self._lock, self._pair_file = store, threading.RLock(), pair_file
        self._export_lock = threading.Lock()
        self._root = folder_of_images(pair_file)
        gold = {pair_id(pair): pair for pair in gold_file.pairs} if gold_file else {}
        self._gold = {key: int(pair.label or 0) for key, pair in gold.items()}
        current = {pair_id(pair): StoredPair(pair_id(pair), pair, self._root) for pair in pair_file.pairs}
        self.repeated = len(pair_file.pairs) - len(current)
        self._current = {key: known for key, known in current.items() if key not in gold}
        store.put_pairs(list(self._current.values()))
        earlier = {known.pair_id: known for known in store.pairs() if known.pair_id not in gold}
        self._known = {**self._current, **{key: known for key, known in earlier.items() if key not in self._current}}
        gold_root = folder_of_images(gold_file) if gold_file else self._root
        self._gold_pairs = {key: StoredPair(key, pair, gold_root) for key, pair in gold.items()}
        self._images = self._find_images(gold_file)
        self._answers = Answers(store.events())
        asked = [k for k, known in self._current.items() if known.pair.label is None or self.settings.relabel]
        self._assignment = Assignment(
            asked, self._gold, self._answers,
            overlap=self.settings.overlap, gold_share=self.settings.gold_share, leases=store.leases(),
        )  # fmt: skip
        self._derived_version = -1
        self._labelled: dict[str, Pair] = {}  # what is labelled now; gold pairs are tests, no evidence
        self._implied: dict[tuple[str, str], int] = {}
        self._contradictions: list[Contradiction] = []
        self._clashes = 0
        for key in self._known:
            self._relabel(key)

    def _find_images(self, gold_file: PairFile | None) -> dict[str, tuple[PairFile | Path, str]]:
        """image_id -> where its name starts from: the pairs file that names it, or the folder kept from an earlier one."""
        images: dict[str, tuple[PairFile | Path, str]] = {}
        for known in self._known.values():
            for name in (known.pair.image1, known.pair.image2):
                images.setdefault(image_id(name), (known.folder, name))
        for source in (gold_file, self._pair_file):
            if source is not None:
                images |= {image_id(name): (source, name) for name in source.images()}
        return images

    def image_path(self, image: str) -> Path | None:
        """The file behind an image id; None if no pair names it. The file may be gone."""
        found = self._images.get(image)
        if found is None:
            return None
        place, name = found
        return place / name if isinstance(place, Path) else place.locate(name)

    @property
    def asked(self) -> int:
        """The number of pairs that people are asked about, gold aside."""
        return len(self._assignment.asked)

    def record(self, entries: Sequence[Any], client: str = "") -> dict[str, Any]:
        """Store events; they are on the disk when this returns. Known ids are confirmed and change nothing.

        returns  {"saved": [event_id, ...], "refused": [{"event_id": ..., "reason": ...}, ...]}
        """
        good: list[Event] = []
        refused = []
        for entry in entries:
            try:
                event = parse_event(entry)
                if event.pair_id not in self._known and event.pair_id not in self._gold:
                    raise ValueError("this pair is not in the pairs file")
            except ValueError as error:
                refused.append(
                    {"event_id": entry.get("event_id") if isinstance(entry, dict) else None, "reason": str(error)}
                )
            else:
                good.append(event)
        self.take_in(good)
        undone = [event for event in good if event.kind == "undo"]
        if undone:  # an undone pair is on the screen again: nobody else is to be given it meanwhile
            with self._lock:
                for event in undone:
                    self._assignment.lease(event.pair_id, event.annotator, client)
        return {"saved": [event.event_id for event in good], "refused": refused}

    def take_in(self, events: Iterable[Event]) -> None:
        """Store events that have been checked (record) or come from a file (imports)."""
        events = list(events)
        with self._lock:
            if events:
                self._store.append(events)
            for event in events:
                self._answers.add(event)
                self._assignment.refresh(event.pair_id)
                self._relabel(event.pair_id)

    def _relabel(self, key: str) -> None:
        """Keep what is labelled in step with an answer."""
        known = self._known.get(key)
        verdict = self._answers.verdict(key)
        label = verdict.label if verdict else known.pair.label if known else None
        if known is None or label is None:
            self._labelled.pop(key, None)
        else:
            self._labelled[key] = replace(known.pair, label=label)

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
            handout = self._assignment.next(
                annotator, client, holding, count, pending=pending, implied=self._implied_ids(), skipped=skipped
            )
            if handout.leases or handout.released:
                self._store.put_leases(handout.leases, handout.released)
            questions = [self._question(key, annotator) for key in handout.fresh]
            return {"pairs": questions, "dropped": handout.dropped}

    def release(self, annotator: str, client: str, pair_ids: Sequence[str]) -> None:
        """Take back what a window that closes still held."""
        with self._lock:
            self._store.put_leases([], self._assignment.release(annotator, client, pair_ids))

    def grid(self, annotator: str, client: str, holding: Sequence[str]) -> dict[str, Any] | None:
        """The face that most open pairs are about and up to 8 faces to compare it with; None when nothing is open.

        holding  pairs that this window has on its screen already
        """
        with self._lock:
            open_pairs = self._assignment.available(annotator, client, implied=self._implied_ids())
            available = [key for key in open_pairs if key not in set(holding)]
            if not available:
                return None
            pairs = {key: self._current[key].pair for key in available}
            count = Counter(name for pair in pairs.values() for name in (pair.image1, pair.image2))
            anchor = count.most_common(1)[0][0]
            chosen = [key for key, pair in pairs.items() if anchor in (pair.image1, pair.image2)][:GRID_CANDIDATES]
            leases = [self._assignment.lease(key, annotator, client) for key in chosen]
            self._store.put_leases(leases, [])
            faces = [(key, pairs[key].image2 if pairs[key].image1 == anchor else pairs[key].image1) for key in chosen]
            candidates = [
                {"pair": key, "image": image_id(name), "opinion": opinion_of(pairs[key])} for key, name in faces
            ]
            return {"anchor": image_id(anchor), "candidates": candidates}

    def _question(self, key: str, annotator: str) -> dict[str, Any]:
        """A pair as the page gets it: no names, no paths. Which face is left is drawn for each person and pair."""
        pair = (self._current.get(key) or self._known.get(key) or self._gold_pairs[key]).pair
        sides = [("image1", pair.image1), ("image2", pair.image2)]
        if draw(f"left {key} {annotator}") < 0.5:
            sides.reverse()
        left, right = ({"side": side, "image": image_id(name)} for side, name in sides)
        return {"pair": key, "left": left, "right": right, "opinion": opinion_of(pair)}

    def history(self, annotator: str, count: int) -> list[dict[str, Any]]:
        """The annotator's latest standing answers, newest first: what undo steps through."""
        with self._lock:
            events = (
                e for e in self._answers.history(annotator) if e.pair_id in self._known or e.pair_id in self._gold
            )
            return [
                {
                    "event_id": event.event_id,
                    "answer": event.answer,
                    "question": self._question(event.pair_id, annotator),
                }
                for event in islice(events, count)
            ]

    def progress(self, annotator: str) -> dict[str, Any]:
        """Counts, pace and what is left, for one annotator and for everybody."""
        with self._lock:
            self._derive()
            given = list(self._answers.history(annotator))
            recent = [min(event.seconds, LONGEST_PAUSE) for event in given[:50] if event.seconds is not None]
            pace = fmean(recent) if recent else None
            left = sum(1 for _ in self._assignment.available(annotator, "", implied=self._implied_ids()))
            skipped = sum(1 for _ in self._assignment.available(annotator, "", skipped=True))
            labels = Counter(pair.label for pair in self._labelled.values())
            return {
                "pairs": self.asked,
                "settled": self.asked - len(self._assignment.open),
                "open": len(self._assignment.open),
                "left": left,
                "skipped": skipped,
                "mine": dict(Counter(event.answer for event in given)),
                "answers": len(given),
                "same": labels[1],
                "different": labels[0],
                "inferred": len(self._implied) if self.settings.infer else 0,
                "seconds_per_answer": None if pace is None else round(pace, 2),
                "seconds_left": None if pace is None else round(pace * left),
                "contradictions": self._clashes,
                "export_error": self.export_error,
            }

    def review(self, wanted: Filter, offset: int, count: int) -> dict[str, Any]:
        """A page of the gallery."""
        with self._lock:
            rows = self._gallery().rows(wanted)
            return {"total": len(rows), "rows": rows[offset : offset + count], "annotators": self._answers.annotators()}

    def contradictions(self, most: int = 10) -> list[dict[str, Any]]:
        """The contradictions for the page: the faces along the chain and the pairs whose answers clash."""
        with self._lock:
            self._derive()
            gallery = self._gallery()
            return [
                {
                    "faces": [image_id(name) for name in found.faces()],
                    "different": self._row(gallery, found.different),
                    "chain": [self._row(gallery, pair) for pair in found.chain],
                }
                for found in self._contradictions[:most]
            ]

    def _row(self, gallery: Gallery, pair: Pair) -> dict[str, Any] | None:
        return gallery.row(self._known[pair_id(pair)])

    def report(self) -> dict[str, Any]:
        """Agreement between people, and each one's pace and accuracy on the gold pairs."""
        with self._lock:
            return {
                "agreement": agreement_table(self._answers, [*self._known, *self._gold]),
                "annotators": annotator_table(self._answers, self._gold),
                "gold": len(self._gold),
            }

    def export(self, csv_path: Path | None = None) -> tuple[Path, list[Pair]]:
        """Write the feedback file whole or not at all (and a CSV); returns its path and the pairs in it."""
        with self._export_lock:  # answers may come in while the file is written
            pairs = self.exported_pairs()
            extra = {**self._pair_file.extra, "root": str(self._root)}
            write_pairs(self.feedback_path, pairs, **extra)
            if csv_path is not None:
                write_csv(csv_path, pairs)
            return self.feedback_path, pairs

    def exported_pairs(self) -> list[Pair]:
        """The pairs of the pairs file in its order, then those answered earlier that it no longer names."""
        with self._lock:
            self._derive()
            implied = self._implied if self.settings.infer else {}
            current = [answered_pair(known, self._answers, implied) for known in self._current.values()]
            earlier = [
                known for key, known in self._known.items() if key not in self._current and self._answers.verdict(key)
            ]
            return current + [
                _placed(answered_pair(known, self._answers, {}), known.folder, self._root) for known in earlier
            ]

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._store.close()

    def _gallery(self) -> Gallery:
        self._derive()
        clashing = {pair_id(pair) for found in self._contradictions for pair in (found.different, *found.chain)}
        implied = self._implied if self.settings.infer else {}
        return Gallery(
            [*self._known.values(), *self._gold_pairs.values()], self._answers, implied, self._gold, clashing
        )

    def _implied_ids(self) -> frozenset[str]:
        if not self.settings.infer:
            return frozenset()
        self._derive()
        return frozenset(key for key, known in self._current.items() if known.pair.key() in self._implied)

    def _derive(self) -> None:
        """The contradictions and implications of the answers that stand now."""
        if self._derived_version == self._answers.version:
            return
        self._derived_version = self._answers.version
        labelled = list(self._labelled.values())
        self._contradictions, self._clashes = find_contradictions(labelled)
        if self.settings.infer:
            silent = [
                p.pair
                for key, p in self._known.items()
                if key not in self._labelled and self._answers.verdict(key) is None
            ]
            self._implied = implied_labels(labelled, silent)


def folder_of_images(pair_file: PairFile) -> Path:
    """The folder from which most of the file's relative names start: its own, its "root", or the working directory."""
    places = [pair_file.path.parent, Path(str(pair_file.extra.get("root", ""))), Path()]
    names = pair_file.images()[:200]
    found = [sum((place / name).exists() for name in names) for place in places]
    return places[found.index(max(found))].resolve()


def opinion_of(pair: Pair) -> dict[str, Any]:
    """What the model thinks of a pair, as far as the pairs file says it."""
    return {key: pair.extra[key] for key in OPINION_KEYS if isinstance(pair.extra.get(key), int | float | str)}


def _placed(pair: Pair, folder: Path, root: Path) -> Pair:
    """The pair with names that can be found from root, although its own relative names start from folder."""
    if folder == root:
        return pair
    return replace(pair, image1=str(folder / pair.image1), image2=str(folder / pair.image2))
