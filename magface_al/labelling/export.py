"""The feedback file: what stands in it, as the JSON that every script reads and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from magface_al.command.outputs import replacing
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


def exported_pairs(state: State) -> list[Pair]:
    """The pairs of the pairs file in its order, then those answered earlier that it no longer names."""
    catalogue, answers, implied = state.catalogue, state.answers, state.derived().implied
    current = [answered_pair(known, answers, implied) for known in catalogue.current.values()]
    earlier = [
        _placed(answered_pair(known, answers, {}), known.folder, catalogue.root)
        for key, known in catalogue.known.items()
        if key not in catalogue.current and answers.verdict(key)
    ]
    return current + earlier


def _placed(pair: Pair, folder: Path, root: Path) -> Pair:
    """The pair with names that can be found from root, although its own relative names start from folder."""
    if folder == root:
        return pair
    return replace(pair, image1=str(folder / pair.image1), image2=str(folder / pair.image2))


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


def write_csv(path: Path, pairs: Iterable[Pair]) -> None:
    """One line a pair. A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    with replacing(path, durable=True) as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for pair in pairs:
            votes = pair.extra.get("answers") or ([pair.extra] if "annotator" in pair.extra else [])
            texts = [f"{vote['annotator']}: {vote['answer']}" for vote in votes]
            ruled = any(vote.get("ruling") for vote in votes)
            row = {
                **pair.to_dict(),
                "votes": "; ".join(texts),
                "ruled": int(ruled),
                "inferred": int(pair.extra.get("inferred", False)),
            }
            writer.writerow([_harmless(row.get(column)) for column in CSV_COLUMNS])


def _harmless(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
