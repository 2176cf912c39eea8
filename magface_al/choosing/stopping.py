"""Advice when to stop asking. It is advice: nothing acts on it."""

from __future__ import annotations

import numpy as np

from magface_al.choosing.asked import OPEN, Asked
from magface_al.command.words import counted
from magface_al.pairs.pair_file import SAME
from magface_al.pairs.people import contradictions

LEAST = 20  # answers below which a share says nothing
FEW_SURPRISES = 0.05
MANY_UNSURE = 0.5
MANY_CONTRADICTIONS = 0.02
FEW_CHANGES = 0.02


def advice(asked: Asked, similarity: np.ndarray, threshold: float) -> list[str]:
    """Sentences, the verdict first; empty without answers.

    similarity float [K]: of the asked pairs under the present model; the files may hold the one at the time of asking.
    """
    if not (asked.label != OPEN).any():
        return []
    stop, reasons = _surprises(asked, threshold)
    unsure = _unsure(asked)
    wrong = len(contradictions(asked.entries)) / np.count_nonzero(asked.label != OPEN)
    if unsure > MANY_UNSURE:
        stop = True
        reasons.append(f"{unsure:.0%} of the last round could not be told: what is left shows too little")
    if wrong > MANY_CONTRADICTIONS:
        reasons.append(f"{wrong:.1%} of the answers contradict others: look at those again before asking more")
    reasons += _changes(asked, similarity, threshold)
    return ["you may stop" if stop else "go on", *reasons]


def _surprises(asked: Asked, threshold: float) -> tuple[bool, list[str]]:
    """Whether the model foresaw nearly all answers of the last round that were chosen as hard, and the sentence that says so."""
    last = ~asked.in_random_slice() & (asked.label != OPEN)
    last &= asked.round == asked.round[last].max() if last.any() else False
    then = _similarity_when_asked(asked)
    last &= np.isfinite(then)
    count = int(np.count_nonzero(last))
    if count < LEAST:
        chosen = counted(count, "chosen question of the last round is", "chosen questions of the last round are")
        return False, [f"{chosen} answered; from {LEAST} on they show whether to stop"]
    surprises = np.mean((then[last] > threshold) != (asked.label[last] == SAME))
    return bool(surprises <= FEW_SURPRISES), [
        f"the model was wrong in {surprises:.0%} of the last {count} questions that were chosen as hard "
        f"(up to {FEW_SURPRISES:.0%}: further ones teach little)"
    ]


def _unsure(asked: Asked) -> float:
    """The share of the last round's answers that could not tell; 0 while they are few."""
    unable = asked.unable()
    answered = (unable | (asked.label != OPEN)) & (asked.round == asked.round.max())
    return float(unable[answered].mean()) if np.count_nonzero(answered) >= LEAST else 0.0


def _changes(asked: Asked, similarity: np.ndarray, threshold: float) -> list[str]:
    """How many calls differ from those at the time of asking: what the fine-tuning since has changed."""
    then = _similarity_when_asked(asked)
    both = np.isfinite(then)
    if np.count_nonzero(both) < LEAST or np.allclose(then[both], similarity[both], atol=1e-3):
        return []
    changed = np.mean((then[both] > threshold) != (similarity[both] > threshold))
    hint = "; the model hardly moves any more" if changed <= FEW_CHANGES else ""
    return [f"since they were asked the model has changed its call on {changed:.0%} of these pairs{hint}"]


def _similarity_when_asked(asked: Asked) -> np.ndarray:
    """float [K], NaN where the file does not say."""
    return np.array([entry.extra.get("similarity", np.nan) for entry in asked.entries], dtype=float)
