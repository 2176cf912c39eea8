"""What a model makes of answered pairs: the figures of an epoch, and the answers that it doubts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from magface_al.embedding.embedder import Embedder
from magface_al.finetuning.answered_pairs import AnsweredPairs
from magface_al.metrics.cosine import magnitudes
from magface_al.metrics.roc import Figures, best_threshold, confusion
from magface_al.pairs.chosen import DOUBTED, picked_for_errors
from magface_al.pairs.pair_file import Pair


def validate(embedder: Embedder, pairs: AnsweredPairs, threshold: float) -> dict[str, float | str | None]:
    """val_auc and val_eer over what "ranked" says (see AnsweredPairs.every_pair); of the answered pairs, which "answered"
    describes, val_accuracy at the threshold and the threshold at which they are told apart best; and the images' median
    magnitude, which should not drift: it is their quality score."""
    embeddings = embedder(pairs.faces)
    ranked, answered = Figures(*pairs.every_pair(embeddings), threshold)(), pairs.similarities(embeddings)
    return {
        "ranked": pairs.ranked(),
        "answered": pairs.answered(),
        "val_auc": ranked["auc"],
        "val_eer": ranked["eer"],
        "val_accuracy": confusion(answered, pairs.same, threshold).accuracy,
        "val_best_threshold": best_threshold(answered, pairs.same)[0],
        "val_magnitude": float(np.median(magnitudes(embeddings))),
    }


def doubtful_answers(pairs: AnsweredPairs, embeddings: np.ndarray, threshold: float, most: int = 50) -> list[Pair]:
    """The answers that a model contradicts most, worst first: wrong answers are expected, and stand out here.

    embeddings float [M, D]: the model's raw embeddings of pairs.faces.
    """
    similarity = pairs.similarities(embeddings)
    doubt = np.where(pairs.same, threshold - similarity, similarity - threshold)
    worst = [
        (picked_for_errors(pairs.pairs[row], DOUBTED), round(float(similarity[row]), 6))
        for row in np.argsort(-doubt, kind="stable")[:most]
        if doubt[row] > 0
    ]
    return [replace(pair, extra={**pair.extra, "similarity": cosine}) for pair, cosine in worst]
