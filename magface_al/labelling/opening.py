"""Opening a labeller: its database, and into it what was answered elsewhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from magface_al.command.errors import UserError, WorkError
from magface_al.command.outputs import writable
from magface_al.command.words import counted
from magface_al.labelling.answer_store import AnswerStore, open_store
from magface_al.labelling.assignment import Settings
from magface_al.labelling.catalogue import Catalogue
from magface_al.labelling.feedback_file import FeedbackFile, backup_of
from magface_al.labelling.imports import beside_damage, events_of_label_studio
from magface_al.labelling.labeller import LAST_COUNTS, Labeller, both_labels_note, taken_in_words
from magface_al.pairs.pair_file import PairFile


@dataclass(frozen=True)
class Opened:
    """A labeller ready to be asked, and what belongs to its database. A context manager that lets go of it at the end."""

    labeller: Labeller
    csv_path: Path  # where exports write CSV when they are asked to
    secret: str  # in the page's address
    store_id: str  # tells the answers of this database from those of another
    taken_in: list[tuple[Path, str]]  # files with answers, and what was taken from each

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raises WorkError where the block ends well and the database was deleted, moved or replaced meanwhile."""
        self.labeller.close()
        if kind is None and self.labeller.lost:
            raise WorkError(f"{self.labeller.lost}; {self.labeller.feedback_path} has them all, too")


def open_labeller(
    pair_file: PairFile,
    feedback_path: Path,
    settings: Settings,
    gold_file: PairFile | None,
    label_studio: Path | None,
    note: Callable[[str], None],
    csv_path: Path | None = None,
) -> Opened:
    """The labeller on the database beside the feedback file, into which goes what that file says and the database lacks.

    label_studio  answers to take in besides, if any
    note          is told at once what the user should know, so that it is said also where a later step fails
    csv_path      where exports write CSV; by default beside the feedback file

    Raises UserError for files that are none, and where the database cannot be had.
    """
    path = feedback_path.with_suffix(".sqlite")
    csv_path = csv_path or feedback_path.with_suffix(".csv")
    _check_names(feedback_path, csv_path, path)
    feedback_path.parent.mkdir(parents=True, exist_ok=True)
    store, aside = open_store(path)
    if aside:
        note(f"{path} is corrupt and was moved to {aside}; the answers are taken from the last export")
    taken_in: list[tuple[Path, str]] = []
    try:
        feedback = FeedbackFile(feedback_path, store)
        if unread := feedback.read():
            is_new = store.is_empty()
            count = feedback.take_in(unread, pair_file)
            for text in both_labels_note(unread.content, LAST_COUNTS):
                note(text)
            if is_new:
                taken_in.append((feedback_path, "the answers that it holds"))
            elif count:
                note(taken_in_words(count, feedback_path, path))
        labeller = Labeller(pair_file, feedback_path, store, settings, gold_file, note)
        if label_studio is not None:
            events, unknown = events_of_label_studio(label_studio, pair_file.pairs)
            labeller.take_in(beside_damage(events, store.unreadable))
            taken_in.append((label_studio, counted(len(events), "answer")))
            _note_unknown(unknown, pair_file, note)
        _note_state(store, labeller.catalogue, note)
        return Opened(labeller, csv_path, store.secret("token"), store.secret("store"), taken_in)
    except sqlite3.Error as error:
        store.close()
        raise UserError(f"{path}: cannot be read ({error}); move it away: the last export is taken up") from None
    except BaseException:
        store.close()
        raise


def _check_names(feedback_path: Path, csv_path: Path, database: Path) -> None:
    """Raises UserError where what stands beside the feedback file would meet another file: now, and not when it is written,
    with answers given meanwhile."""
    if len({feedback_path, csv_path, database}) < 3:
        raise UserError(f"--feedback_file {feedback_path}: the CSV or the database gets that name too; end it in .json")
    for derived in (csv_path, database, backup_of(feedback_path)):
        writable(derived)


def _note_unknown(tasks: int, pair_file: PairFile, note: Callable[[str], None]) -> None:
    if tasks:
        one, many = "task that names no pair of", "tasks that name no pair of"
        note(f"{counted(tasks, f'{one} {pair_file.path} is', f'{many} {pair_file.path} are')} left out")


def _note_state(store: AnswerStore, catalogue: Catalogue, note: Callable[[str], None]) -> None:
    for text in (*store.notes, *both_labels_note(catalogue.pair_file, "the last entry counts")):
        note(text)
    if damaged := len(store.unreadable):
        note(f"{store.path}: {counted(damaged, 'row is', 'rows are')} damaged and left out")
    if repeated := catalogue.repeated:
        twice = f"more than once in {catalogue.pair_file.path}"
        note(f"{counted(repeated, f'pair stands {twice} and is', f'pairs stand {twice} and are')} asked once")
