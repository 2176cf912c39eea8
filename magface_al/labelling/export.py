"""The feedback file: what stands in it, as the JSON that every script reads and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from magface_al.command.replacing import replacing
from magface_al.labelling.answer_store import StoredPair
from magface_al.labelling.answer_words import ANSWER_OF
from magface_al.labelling.answers import Answers, Verdict
from magface_al.labelling.events import Event
from magface_al.labelling.state import State
from magface_al.pairs.pair_file import Pair

CSV_COLUMNS = (
    "image1", "image2", "label", "answer", "annotator", "labeled_at", "seconds", "votes", "ruled", "inferred",
    "similarity", "strategy",
)  # fmt: skip
ANSWER_KEYS = (  # all that answered_pair may add to an entry
    "answer", "annotator", "labeled_at", "seconds", "bad", "left", "opinion_shown", "answers", "inferred", "previous_label",
)  # fmt: skip


def exported_pairs(state: State) -> list[Pair]:
    """The pairs of the pairs file in its order, then those answered earlier that it no longer names."""
    catalogue, answers, implied = state.catalogue, state.answers, state.derived().implied
    current = [answered_pair(known, answers, implied) for known in catalogue.current.values()]
    earlier = [
        answered_pair(known if known.folder == catalogue.root else replace(known, pair=known.placed()), answers, {})
        for key, known in catalogue.known.items()
        if key not in catalogue.current and answers.verdict(key)
    ]
    return current + earlier


def answered_pair(known: StoredPair, answers: Answers, implied: Mapping[tuple[str, str], int]) -> Pair:
    """The pair as it is exported: its own keys, and what the answers (or, without any, the implications) say."""
    verdict = answers.verdict(known.pair_id)
    if verdict is not None:
        extra = {**known.pair.extra, **_facts(verdict)}
        if known.pair.label is not None:
            extra["previous_label"] = known.pair.label
        return replace(known.pair, label=verdict.label, extra=extra)
    label = implied.get(known.pair.key())
    if label is not None and known.pair.label is None:
        return replace(
            known.pair, label=label, extra={**known.pair.extra, "answer": ANSWER_OF[label], "inferred": True}
        )
    return known.pair


def _facts(verdict: Verdict) -> dict[str, Any]:
    deciding = verdict.deciding
    seconds = [event.seconds for event in deciding if event.seconds is not None]
    facts: dict[str, Any] = {
        "answer": verdict.answer,
        "annotator": ", ".join(sorted(event.annotator for event in deciding)),
        "labeled_at": max(event.answered_at for event in deciding),
        "seconds": round(sum(seconds), 3) if seconds else None,
    }
    if len(deciding) == 1:
        facts |= {
            key: deciding[0].details[key] for key in ("bad", "left", "opinion_shown") if key in deciding[0].details
        }
    if verdict.ruling is not None or len(verdict.votes) > 1:
        facts["answers"] = [_vote(event) for event in verdict.votes]
        if verdict.ruling is not None:
            facts["answers"].append({**_vote(verdict.ruling), "ruling": True})
    return facts


def _vote(event: Event) -> dict[str, Any]:
    return {
        "annotator": event.annotator,
        "answer": event.answer,
        "labeled_at": event.answered_at,
        "seconds": event.seconds,
        **event.details,
    }


def stated_votes(pair: Pair) -> list[dict[str, Any]]:
    """What single people said of a pair, as its entry states it: each vote, or the entry itself where one stands for all."""
    votes = pair.extra.get("answers")
    return [vote for vote in votes if isinstance(vote, dict)] if isinstance(votes, list) else [pair.extra]


def write_csv(path: Path, pairs: Iterable[Pair]) -> None:
    """One line a pair. A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    with replacing(path, durable=True) as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for pair in pairs:
            votes = [vote for vote in stated_votes(pair) if "annotator" in vote]
            texts = [f"{vote['annotator']}: {vote.get('answer')}" for vote in votes]
            ruled = any(vote.get("ruling") is True for vote in votes)
            row = {
                **pair.to_dict(),
                "votes": "; ".join(texts),
                "ruled": int(ruled),
                "inferred": int(pair.extra.get("inferred") is True),
            }
            writer.writerow([_harmless(row.get(column)) for column in CSV_COLUMNS])


def _harmless(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
