"""The gallery of what has been answered: which pairs to show, and what is said about each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from magface_al.labelling.answer_store import StoredPair
from magface_al.labelling.answer_words import ANSWER_OF, LABEL_OF, VOTES
from magface_al.labelling.answers import DISAGREEMENT, Answers
from magface_al.labelling.events import Event, image_id

HASTY_SECONDS = 0.25  # faster than people can look at two faces


@dataclass(frozen=True)
class Filter:
    """What the gallery is asked to show; empty texts let everything pass."""

    show: str = "all"
    annotator: str = ""
    search: str = ""


class Gallery:
    """The answered (and implied) pairs as rows for the page, the latest answer first."""

    def __init__(
        self,
        known: Collection[StoredPair],
        answers: Answers,
        implied: Mapping[tuple[str, str], int],
        gold: Mapping[str, int],
        contradicting: Collection[str],
    ) -> None:
        self.known, self.answers, self.implied, self.gold = known, answers, implied, gold
        self.contradicting = set(contradicting)

    def rows(self, wanted: Filter) -> list[dict[str, Any]]:
        """The rows that pass the filter."""
        passes = _FILTERS.get(wanted.show, _FILTERS["all"])
        search = wanted.search.lower()
        found = []
        for known in self.known:
            if search and search not in f"{known.pair.image1}\n{known.pair.image2}".lower():
                continue
            row = self.row(known)
            if row and passes(row) and (not wanted.annotator or wanted.annotator in row["people"]):
                found.append(row)
        return sorted(found, key=lambda row: row["labeled_at"], reverse=True)

    def row(self, known: StoredPair) -> dict[str, Any] | None:
        """What the page shows of one pair; None if nothing has been said about it."""
        verdict = self.answers.verdict(known.pair_id)
        label = self.implied.get(known.pair.key())
        if verdict is None and label is None and known.pair.label is None:
            return None
        votes = verdict.votes if verdict else []
        own = known.pair.label
        answer = verdict.answer if verdict else ANSWER_OF[own if own is not None else label or 0]
        inferred = verdict is None and own is None
        return {
            "pair": known.pair_id,
            "images": [image_id(known.pair.image1), image_id(known.pair.image2)],
            "names": [known.pair.image1, known.pair.image2],
            "answer": answer,
            "votes": [_vote(event) for event in votes],
            "ruling": _vote(verdict.ruling) if verdict and verdict.ruling else None,
            "people": [event.annotator for event in ([verdict.ruling] if verdict and verdict.ruling else []) + votes],
            "labeled_at": max((event.answered_at for event in verdict.deciding), default="") if verdict else "",
            "inferred": inferred,
            "from_file": verdict is None and own is not None,
            "disagreement": len({event.answer for event in votes}) > 1 and not (verdict and verdict.ruling),
            "contradiction": known.pair_id in self.contradicting,
            "gold": ANSWER_OF.get(self.gold.get(known.pair_id, -1)),
            "hasty": any(event.seconds is not None and event.seconds < HASTY_SECONDS for event in votes),
            "similarity": known.pair.extra.get("similarity"),
        }


def _vote(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "annotator": event.annotator,
        "answer": event.answer,
        "seconds": event.seconds,
        "answered_at": event.answered_at,
        "bad": event.details.get("bad"),
    }


def _is(answer: str) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row["answer"] == answer and not row["from_file"]


def _is_wrong_on_gold(row: dict[str, Any]) -> bool:
    return bool(row["gold"]) and any(
        vote["answer"] in LABEL_OF and vote["answer"] != row["gold"] for vote in row["votes"]
    )


_FILTERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "all": lambda row: not row["from_file"],
    **{answer: _is(answer) for answer in VOTES},
    DISAGREEMENT: lambda row: row["disagreement"],
    "contradiction": lambda row: row["contradiction"],
    "changed": lambda row: row["ruling"],
    "inferred": lambda row: row["inferred"],
    "gold": lambda row: row["gold"] and row["votes"],
    "gold_wrong": _is_wrong_on_gold,
    "hasty": lambda row: row["hasty"],
    "from_file": lambda row: row["from_file"],
}
