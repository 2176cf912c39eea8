"""Opening a labeller: its database, and into it what was answered elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from magface_al.command.words import counted
from magface_al.labelling.answer_store import AnswerStore, open_store
from magface_al.labelling.assignment import Settings
from magface_al.labelling.catalogue import stored_pairs
from magface_al.labelling.events import pair_id
from magface_al.labelling.imports import events_of_feedback, events_of_label_studio
from magface_al.labelling.labeller import Labeller
from magface_al.pairs.pair_file import PairFile, read_pairs


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
    """The labeller on the database beside the feedback file. A new database takes up what the feedback file holds.

    label_studio  answers to take in besides, if any
    note          is told at once what the user should know, so that it is said also where a later step fails

    Raises UserError for files that are none, and where the database cannot be had.
    """
    path = feedback_path.with_suffix(".sqlite")
    is_new = not path.exists()
    feedback_path.parent.mkdir(parents=True, exist_ok=True)
    store, aside = open_store(path)
    if aside:
        note(f"{path} is corrupt and was moved to {aside}; the answers are taken from the last export")
    taken_in: list[tuple[Path, str]] = []
    try:
        if (is_new or aside) and feedback_path.exists():
            _take_up(store, read_pairs(feedback_path), pair_file)
            taken_in.append((feedback_path, "the answers that it holds"))
        labeller = Labeller(pair_file, feedback_path, store, settings, gold_file)
        if label_studio is not None:
            events, unknown = events_of_label_studio(label_studio, pair_file.pairs)
            labeller.take_in(events)
            taken_in.append((label_studio, counted(len(events), "answer")))
            if unknown:
                names = (
                    f"task that names no pair of {pair_file.path} is",
                    f"tasks that name no pair of {pair_file.path} are",
                )
                note(f"{counted(unknown, *names)} left out")
        if repeated := labeller.catalogue.repeated:
            twice = f"more than once in {pair_file.path}"
            stand = f"pair stands {twice} and is", f"pairs stand {twice} and are"
            note(f"{counted(repeated, *stand)} asked once")
        return Opened(labeller, store.secret("token"), store.secret("store"), taken_in)
    except BaseException:
        store.close()
        raise


def _take_up(store: AnswerStore, earlier: PairFile, pair_file: PairFile) -> None:
    """Put an earlier feedback file's pairs and answers into a database that has none."""
    store.put_pairs([*stored_pairs(earlier).values()])
    store.append(events_of_feedback(earlier, {pair_id(pair) for pair in pair_file.pairs if pair.label is not None}))
