"""Which input convention weights were trained with, tried on labelled pairs: a wrong one loses accuracy in silence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.embedding.model_flags import ModelChoice
from magface_al.embedding.pair_scores import score_pairs
from magface_al.faces.preprocess import PRESETS
from magface_al.metrics.bootstrap import identity_resamples, intervals
from magface_al.metrics.cosine import THRESHOLD
from magface_al.metrics.roc import Figures, best_threshold
from magface_al.pairs.pair_file import Pair, PairFile
from magface_al.pairs.people import pair_identities

SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class TriedPreset:
    """The pairs under one convention: their similarities float32 [N], and how well these tell same from different."""

    name: str
    pairs: list[Pair]
    same: np.ndarray
    similarity: np.ndarray

    @property
    def figures(self) -> Figures:
        """Of these scores; the threshold is of no matter to AUC and EER."""
        return Figures(self.similarity, self.same, THRESHOLD)

    def row(self) -> tuple[float, float, float, float]:
        """(AUC, EER, best accuracy, its threshold)."""
        figures, (threshold, accuracy) = self.figures.of_curve(), best_threshold(self.similarity, self.same)
        found = figures["auc"], figures["eer"], accuracy, threshold
        auc, eer, best, at = (
            value for value in found if value is not None
        )  # all defined: there are pairs of both kinds
        return auc, eer, best, at


def try_presets(pair_file: PairFile, choice: ModelChoice, in_use: str, run: Run) -> list[TriedPreset]:
    """Every preset on the labelled pairs, and the convention in use where it is none of them; best AUC first.

    Raises UserError unless there are pairs of both kinds.
    """
    _require_both_kinds(pair_file)
    choices = {name: replace(choice, preprocessing=name) for name in PRESETS}
    choices.setdefault(in_use, choice)
    tried = []
    for name, model in choices.items():
        scores = score_pairs(pair_file, model, run)
        _require_both_kinds(scores.pair_file)  # some images cannot be read
        tried.append(TriedPreset(name, scores.pair_file.pairs, scores.pair_file.labels(), scores.similarity))
    return sorted(tried, key=lambda preset: -preset.row()[0])


def _require_both_kinds(pair_file: PairFile) -> None:
    if len(set(pair_file.labels())) < 2:
        raise UserError(f"{pair_file.path}: expected both same and different pairs, to tell the conventions apart")


def advice(tried: list[TriedPreset], in_use: str) -> str | None:
    """What the best of the tried presets says about the one in use; None where no other is better.

    The difference of the AUC comes with its 95 % interval, both under the same resamples of the people. Another preset is
    recommended only where the interval excludes zero.
    """
    best, own = tried[0], next(preset for preset in tried if preset.name == in_use)
    of_best, of_own = best.figures, own.figures

    def gain(weight: np.ndarray | None = None) -> dict[str, float | None]:
        better, worse = of_best.of_curve(weight)["auc"], of_own.of_curve(weight)["auc"]
        return {"auc": None if better is None or worse is None else better - worse}

    difference = gain()["auc"]
    if not difference:
        return None
    limits = intervals(gain, identity_resamples(*pair_identities(best.pairs), SEED))["auc"]
    shown = "no interval: too few people" if limits is None else f"95 % interval [{limits[0]:+.4f}, {limits[1]:+.4f}]"
    found = (
        f"these pairs are told apart best as {best.name}: its AUC is {difference:.4f} higher than {in_use}'s ({shown})"
    )
    if limits is None or limits[0] <= 0:
        return f"{found}, which may be chance"
    return f"{found}; consider --preprocessing {best.name} in every stage"
