"""Opening a labeller: its database, and into it what was answered elsewhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.words import counted
from magface_al.labelling.answer_store import AnswerStore, open_store
from magface_al.labelling.assignment import Settings
from magface_al.labelling.catalogue import Catalogue
from magface_al.labelling.feedback_file import FeedbackFile
from magface_al.labelling.imports import beside_damage, events_of_label_studio
from magface_al.labelling.labeller import Labeller, taken_in_words
from magface_al.pairs.pair_file import PairFile


@dataclass(frozen=True)
class Opened:
    """A labeller ready to be asked, and what belongs to its database."""

    labeller: Labeller
    secret: str  # in the page's address
    store_id: str  # tells the answers of this database from those of another
    taken_in: list[tuple[Path, str]]  # files with answers, and what was taken from each


def open_labeller(
    pair_file: PairFile,
    feedback_path: Path,
    settings: Settings,
    gold_file: PairFile | None,
    label_studio: Path | None,
    note: Callable[[str], None],
) -> Opened:
    """The labeller on the database beside the feedback file, into which goes what that file says and the database lacks.

    label_studio  answers to take in besides, if any
    note          is told at once what the user should know, so that it is said also where a later step fails

    Raises UserError for files that are none, and where the database cannot be had.
    """
    path = feedback_path.with_suffix(".sqlite")
    if path == feedback_path:
        raise UserError(f"{path}: the name of the database beside it, expected another ending (.json)")
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
        return Opened(labeller, store.secret("token"), store.secret("store"), taken_in)
    except sqlite3.Error as error:
        store.close()
        raise UserError(f"{path}: cannot be read ({error}); move it away: the last export is taken up") from None
    except BaseException:
        store.close()
        raise


def _note_unknown(tasks: int, pair_file: PairFile, note: Callable[[str], None]) -> None:
    if tasks:
        one, many = (
            f"task that names no pair of {pair_file.path} is",
            f"tasks that name no pair of {pair_file.path} are",
        )
        note(f"{counted(tasks, one, many)} left out")


def _note_state(store: AnswerStore, catalogue: Catalogue, note: Callable[[str], None]) -> None:
    for text in store.notes:
        note(text)
    if damaged := len(store.unreadable):
        note(f"{store.path}: {counted(damaged, 'row is', 'rows are')} damaged and left out")
    if repeated := catalogue.repeated:
        twice = f"more than once in {catalogue.pair_file.path}"
        note(f"{counted(repeated, f'pair stands {twice} and is', f'pairs stand {twice} and are')} asked once")
