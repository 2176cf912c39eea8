"""What the pages are shown, worked out from the state: questions, the grid, history, progress, the review, agreement.

Each view is a function of the State that Labeller.reading holds still; none changes anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from statistics import fmean
from typing import Any

from magface_al.labelling.agreement import agreement_table, annotator_table
from magface_al.labelling.answer_words import ANSWER_DIFFERENT, ANSWER_SAME, LABEL_OF
from magface_al.labelling.events import draw, image_id, pair_id
from magface_al.labelling.review import Filter, Gallery
from magface_al.labelling.state import State
from magface_al.pairs.pair_file import Pair

GRID_CANDIDATES = 8
LONGEST_PAUSE = 60.0  # seconds; longer than this somebody was away, which says nothing about the time left
PACE_ANSWERS = 50  # the latest, from which the pace is told
OPINION_KEYS = ("similarity", "probability", "uncertainty", "magnitude1", "magnitude2", "strategy")


def question(state: State, key: str, annotator: str) -> dict[str, Any]:
    """A pair as the page gets it: no names, no paths. Which face is left is drawn for each person and pair."""
    pair = state.catalogue.pair(key)
    sides = [("image1", pair.image1), ("image2", pair.image2)]
    if draw(f"left {key} {annotator}") < 0.5:
        sides.reverse()
    left, right = ({"side": side, "image": image_id(name)} for side, name in sides)
    return {"pair": key, "left": left, "right": right, "opinion": opinion_of(pair)}


def opinion_of(pair: Pair) -> dict[str, Any]:
    """What the model thinks of a pair, as far as the pairs file says it."""
    return {key: pair.extra[key] for key in OPINION_KEYS if isinstance(pair.extra.get(key), int | float | str)}


def grid(state: State, keys: Sequence[str]) -> dict[str, Any]:
    """The face that most of these pairs are about, and up to 8 faces to compare it with. keys: one at least."""
    pairs = {key: state.catalogue.pair(key) for key in keys}
    count = Counter(name for pair in pairs.values() for name in (pair.image1, pair.image2))
    anchor = count.most_common(1)[0][0]
    about = [(key, pair) for key, pair in pairs.items() if anchor in (pair.image1, pair.image2)][:GRID_CANDIDATES]
    candidates = [
        {
            "pair": key,
            "image": image_id(pair.image2 if pair.image1 == anchor else pair.image1),
            "opinion": opinion_of(pair),
        }
        for key, pair in about
    ]
    return {"anchor": image_id(anchor), "candidates": candidates}


def history(state: State, annotator: str, count: int) -> list[dict[str, Any]]:
    """The annotator's latest standing answers, newest first: what undo steps through."""
    events = (event for event in state.answers.history(annotator) if event.pair_id in state.catalogue)
    return [
        {
            "event_id": event.event_id,
            "answer": event.answer,
            "question": question(state, event.pair_id, annotator),
        }
        for event in islice(events, count)
    ]


def progress(state: State, annotator: str) -> dict[str, Any]:
    """Counts, pace and what is left, for one annotator and for everybody."""
    derived, asked, still_open = state.derived(), len(state.assignment.asked), len(state.assignment.open)
    given = list(state.answers.history(annotator))
    recent = [min(event.seconds, LONGEST_PAUSE) for event in given[:PACE_ANSWERS] if event.seconds is not None]
    pace = fmean(recent) if recent else None
    left = sum(1 for _ in state.available(annotator))
    labels = Counter(pair.label for pair in state.labelled.values())
    return {
        "pairs": asked,
        "settled": asked - still_open,
        "open": still_open,
        "left": left,
        "skipped": sum(1 for _ in state.available(annotator, skipped=True)),
        "mine": dict(Counter(event.answer for event in given)),
        "answers": len(given),
        ANSWER_SAME: labels[LABEL_OF[ANSWER_SAME]],
        ANSWER_DIFFERENT: labels[LABEL_OF[ANSWER_DIFFERENT]],
        "inferred": len(derived.implied),
        "seconds_per_answer": None if pace is None else round(pace, 2),
        "seconds_left": None if pace is None else round(pace * left),
        "contradictions": derived.clashes,
    }


def review(state: State, wanted: Filter, offset: int, count: int) -> dict[str, Any]:
    """A page of the gallery."""
    rows = _gallery(state).rows(wanted)
    return {"total": len(rows), "rows": rows[offset : offset + count], "annotators": state.answers.annotators()}


def contradictions(state: State, most: int = 10) -> list[dict[str, Any]]:
    """The contradictions for the page: the faces along the chain and the pairs whose answers clash."""
    gallery = _gallery(state)

    def row(pair: Pair) -> dict[str, Any] | None:
        return gallery.row(state.catalogue.known[pair_id(pair)])

    return [
        {
            "faces": [image_id(name) for name in found.faces()],
            "different": row(found.different),
            "chain": [row(pair) for pair in found.chain],
        }
        for found in state.derived().contradictions[:most]
    ]


def _gallery(state: State) -> Gallery:
    catalogue, derived = state.catalogue, state.derived()
    clashing = {pair_id(pair) for found in derived.contradictions for pair in (found.different, *found.chain)}
    shown = [*catalogue.known.values(), *catalogue.gold_pairs.values()]
    return Gallery(shown, state.answers, derived.implied, catalogue.gold, clashing)


def report(state: State) -> dict[str, Any]:
    """Agreement between people, and each one's pace and accuracy on the gold pairs."""
    gold = state.catalogue.gold
    return {
        "agreement": agreement_table(state.answers, [*state.catalogue.known, *gold]),
        "annotators": annotator_table(state.answers, gold),
        "gold": len(gold),
    }
