"""How well people agree, how fast they answer, and how often they are right where the answer is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Any

from magface_al.labelling.answer_words import ANSWER_OF, LABEL_OF
from magface_al.labelling.answers import Answers


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Agreement of two people beyond chance, at most 1 (Cohen 1960); None where chance alone would agree fully.

    first, second  their answers to the same pairs, in the same order.
    """
    count = len(first)
    if count == 0:
        return None
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / count
    shares = Counter(first), Counter(second)
    expected = sum(shares[0][answer] * shares[1][answer] for answer in shares[0]) / count**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def agreement_table(answers: Answers, pair_ids: Collection[str]) -> list[dict[str, Any]]:
    """For each two annotators with common pairs: their names, the number of pairs, how many agree, and kappa."""
    votes = {pair_id: answers.votes(pair_id) for pair_id in pair_ids}
    rows = []
    for one, two in combinations(answers.annotators(), 2):
        common = [
            (found[one].answer or "", found[two].answer or "")
            for found in votes.values()
            if one in found and two in found
        ]
        if common:
            first, second = zip(*common, strict=True)
            agreed = sum(a == b for a, b in common)
            rows.append(
                {"annotators": [one, two], "pairs": len(common), "agreed": agreed, "kappa": cohen_kappa(first, second)}
            )
    return rows


def annotator_table(answers: Answers, gold: Mapping[str, int]) -> list[dict[str, Any]]:
    """Each annotator's counts by answer, median seconds an answer, and accuracy on the gold pairs (id -> true label).

    Unsure and bad image count neither as right nor as wrong; they are reported as undecided.
    """
    rows = []
    for name in answers.annotators():
        given = list(answers.history(name))
        seconds = [event.seconds for event in given if event.seconds is not None]
        known = {event.pair_id: event for event in reversed(given) if event.pair_id in gold}
        decided = {pair_id: event for pair_id, event in known.items() if event.answer in LABEL_OF}
        right = sum(event.answer == ANSWER_OF[gold[pair_id]] for pair_id, event in decided.items())
        rows.append(
            {
                "annotator": name,
                "answers": len(given),
                "counts": dict(Counter(event.answer for event in given)),
                "median_seconds": round(median(seconds), 2) if seconds else None,
                "gold": {
                    "asked": len(known),
                    "right": right,
                    "wrong": len(decided) - right,
                    "undecided": len(known) - len(decided),
                    "accuracy": right / len(decided) if decided else None,
                },
            }
        )
    return rows
