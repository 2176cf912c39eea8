"""Every figure of one verification set under one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from magface_al.embedding.pair_scores import PairEmbeddings
from magface_al.metrics import bootstrap
from magface_al.metrics.kfold import PROTOCOLS, TenFold, cross_validate, fold_numbers
from magface_al.metrics.roc import Figures
from magface_al.pairs.pair_file import PairFile
from magface_al.pairs.people import name_people, pair_identities


@dataclass(frozen=True)
class Verification:
    """figures as they stand in results.json, and the ROC of the plain cosine: FMR and TAR, see metrics.Ranking.roc."""

    figures: dict[str, Any]
    curve: tuple[np.ndarray, np.ndarray]


def evaluate_set(
    embedded: PairEmbeddings, listed: int, protocol: str, subtract_mean: bool, folds: int, resamples: int, seed: int
) -> Verification:
    """Ten-fold accuracy by the protocol, the figures of the plain cosine's ROC, and intervals where people are known.

    listed: how many pairs the set has with those whose images could not be read, so that the folds stay where they are.
    The intervals keep each fold's threshold and resample people. Raises UserError as cross_validate does.
    """
    same = embedded.pair_file.labels()
    fold = fold_numbers(listed, folds)[embedded.rows]
    judged = cross_validate(embedded.side1, embedded.side2, same, fold, PROTOCOLS[protocol], subtract_mean)
    curve = Figures(embedded.scores().similarity, same, 0.0)
    figures: dict[str, Any] = {
        "pairs": len(same),
        "pairs_left_out": listed - len(same),
        "genuine_pairs": int(same.sum()),
        "impostor_pairs": int((~same).sum()),
        "accuracy": float(judged.accuracy.mean()),
        "accuracy_std": float(judged.accuracy.std()),
        "accuracy_standard_error": float(judged.accuracy.std(ddof=1) / np.sqrt(len(judged.accuracy))),
        "accuracy_of_folds": judged.accuracy.tolist(),
        "threshold": float(judged.threshold.mean()),
        "threshold_of_folds": judged.threshold.tolist(),
        **curve.of_curve(),
        "intervals_95": _intervals(embedded.pair_file, judged, curve, resamples, seed),
    }
    return Verification(figures, curve.roc())


def _intervals(
    pair_file: PairFile, judged: TenFold, curve: Figures, resamples: int, seed: int
) -> dict[str, tuple[float, float] | None] | None:
    """None where the set does not say who its people are (a .bin does not)."""
    if not name_people(pair_file.pairs):
        return None

    def figures(weight: np.ndarray) -> dict[str, float | None]:
        accuracy = float(weight[judged.right].sum() / weight.sum()) if weight.any() else None
        return {"accuracy": accuracy, **curve.of_curve(weight)}

    return bootstrap.intervals(
        figures, bootstrap.identity_resamples(*pair_identities(pair_file.pairs), seed, resamples)
    )
