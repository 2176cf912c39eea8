"""Verification sets under one model or many: every figure of one set, and the tables of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.embedding.pair_scores import PairEmbeddings
from magface_al.evaluation.results import distinct_names, markdown_table
from magface_al.metrics import bootstrap
from magface_al.metrics.kfold import FOLDS, PROTOCOLS, TenFold, cross_validate, fold_numbers
from magface_al.metrics.roc import FAR_TARGETS, LABELS, Curve, Figures, percent
from magface_al.pairs.pair_file import PairFile, describe
from magface_al.pairs.people import name_people, pair_identities
from magface_al.pairs.verification_sets import read_verification_set


@dataclass(frozen=True)
class Settings:
    """How sets are judged. protocol: a name of kfold.PROTOCOLS. mean_wanted: subtract the mean where the protocol lets choose.

    Raises UserError for values that do not go together.
    """

    protocol: str
    mean_wanted: bool = False
    folds: int = FOLDS
    resamples: int = bootstrap.RESAMPLES
    seed: int = bootstrap.SEED

    def __post_init__(self) -> None:
        fixed = PROTOCOLS[self.protocol].subtract_mean
        if self.mean_wanted and fixed is not None:
            free = ", ".join(name for name, protocol in PROTOCOLS.items() if protocol.subtract_mean is None)
            own = "always subtracts it" if fixed else "has no such step"
            raise UserError(f"--subtract_mean goes with --protocol {free}; {self.protocol} {own}")
        if self.folds < 2:
            raise UserError("--folds: expected at least 2, so that there are other folds to take the threshold from")

    @property
    def subtract_mean(self) -> bool:
        """Whether the accuracy is that after subtracting the other folds' mean."""
        return self.mean_wanted or bool(PROTOCOLS[self.protocol].subtract_mean)

    def describe(self, flip: str) -> str:
        """What the figures depend on, in one line."""
        mean = "mean of the other folds subtracted" if self.subtract_mean else "no mean subtraction"
        return f"protocol {self.protocol}, {mean}, flip {flip}, {self.folds} folds"

    def as_dict(self, flip: str) -> dict[str, Any]:
        """The same for results.json."""
        return {
            "protocol": self.protocol,
            "subtract_mean": self.subtract_mean,
            "flip": flip,
            "folds": self.folds,
        }


@dataclass(frozen=True)
class Verification:
    """figures as they stand in results.json, and the ROC of the plain cosine."""

    figures: dict[str, Any]
    curve: Curve


Results = Mapping[str, Mapping[str, Verification]]  # model -> set -> figures


def named_models(checkpoints: Sequence[Path], stores: Sequence[Path]) -> dict[str, tuple[Path | None, Path | None]]:
    """Name in the table -> (checkpoint, feature store), of which one may be missing. Raises UserError for a wrong number."""
    if checkpoints and stores and len(checkpoints) != len(stores):
        raise UserError(
            f"{len(checkpoints)} checkpoints and {len(stores)} feature stores, expected one store for each checkpoint"
        )
    shown = distinct_names([str(path) for path in checkpoints or stores])
    return dict(zip(shown, zip_longest(checkpoints, stores), strict=True))


def read_sets(named: Sequence[tuple[str, Path]], roots: Sequence[Path], folds: int, run: Run) -> dict[str, PairFile]:
    """All sets, before any network runs, so that a bad file is told at once. Raises UserError."""
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise UserError(
            f"--set: two sets are called {max(names, key=names.count)!r}, expected different names (NAME=PATH)"
        )
    sets = {}
    for name, path in named:
        sets[name] = pair_file = read_verification_set(path, roots)
        run.input(pair_file.path, f"{name}: {describe(pair_file.pairs)}")
        if len(set(pair_file.labels())) < 2 or len(pair_file.pairs) < folds:
            raise UserError(f"{path}: expected same and different pairs, and at least --folds {folds} of them")
    return sets


def evaluate_set(embedded: PairEmbeddings, listed: int, settings: Settings) -> Verification:
    """Ten-fold accuracy by the protocol, the figures of the plain cosine's ROC, and intervals where people are known.

    listed: how many pairs the set has with those whose images could not be read, so that the folds stay where they are.
    The intervals keep each fold's threshold and resample people. Raises UserError as cross_validate does.
    """
    same = embedded.pair_file.labels()
    fold = fold_numbers(listed, settings.folds)[embedded.rows]
    protocol = PROTOCOLS[settings.protocol]
    judged = cross_validate(embedded.sides, same, fold, protocol, settings.subtract_mean)
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
        "intervals_95": _intervals(embedded.pair_file, judged, curve, settings),
    }
    return Verification(figures, curve.roc())


def _intervals(
    pair_file: PairFile, judged: TenFold, curve: Figures, settings: Settings
) -> dict[str, tuple[float, float] | None] | None:
    """None where the set does not say who its people are (a .bin does not)."""
    if not name_people(pair_file.pairs):
        return None

    def figures(weight: np.ndarray) -> dict[str, float | None]:
        accuracy = float(weight[judged.right].sum() / weight.sum()) if weight.any() else None
        return {"accuracy": accuracy, **curve.of_curve(weight)}

    people = pair_identities(pair_file.pairs)
    return bootstrap.intervals(figures, bootstrap.identity_resamples(*people, settings.seed, settings.resamples))


def figure_rows(results: Results) -> list[dict[str, Any]]:
    """For results.json: every figure of each model on each set."""
    return [
        {"model": model, "set": name, **of_set.figures}
        for model, of_sets in results.items()
        for name, of_set in of_sets.items()
    ]


def roc_panels(results: Results) -> dict[str, tuple[int, dict[str, Curve]]]:
    """For pictures: set -> (impostor pairs, {model: curve})."""
    return {
        name: (of_set.figures["impostor_pairs"], {model: of_sets[name].curve for model, of_sets in results.items()})
        for name, of_set in next(iter(results.values())).items()
    }


def accuracy_table(results: Results) -> str:
    """A row a model, a column a set, as papers show it."""
    sets = next(iter(results.values()))
    rows = [[model, *(f"{100 * of[name].figures['accuracy']:.2f}" for name in sets)] for model, of in results.items()]
    return markdown_table(["accuracy %", *sets], rows)


def detail_table(results: Results) -> str:
    """A row for each model on each set with every figure."""
    names = ["auc", "eer", *(f"tar_at_far_{far:g}" for far in FAR_TARGETS)]
    header = ["model", "set", "pairs", "accuracy", "95 % interval", "threshold", *(LABELS[name] for name in names)]
    rows = [
        [of["model"], of["set"], *_details(of), *(percent(name, of[name]) for name in names)]
        for of in figure_rows(results)
    ]
    return markdown_table(header, rows, left=2)


def _details(figures: Mapping[str, Any]) -> list[str]:
    left_out = figures["pairs_left_out"]
    pairs = f"{figures['pairs']} of {figures['pairs'] + left_out}" if left_out else f"{figures['pairs']}"
    accuracy = f"{100 * figures['accuracy']:.2f} ± {100 * figures['accuracy_std']:.2f} %"
    limits = figures["intervals_95"] and figures["intervals_95"]["accuracy"]
    interval = f"[{100 * limits[0]:.2f}, {100 * limits[1]:.2f}] %" if limits else "people unknown"
    return [pairs, accuracy, interval, f"{figures['threshold']:.3f}"]
