"""Is a score of images a good quality: how the threshold is set, both sides' scores, error-versus-discard and its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines
from magface_al.command.run import Run
from magface_al.command.words import shown
from magface_al.embedding.pair_scores import PairEmbeddings
from magface_al.evaluation.results import markdown_table
from magface_al.metrics.bootstrap import identity_resamples
from magface_al.metrics.discard import (
    MAGFACE_FMR,
    MAGFACE_IMPOSTORS,
    MAGFACE_STEP,
    DiscardCurve,
    area_intervals,
    discard_curve,
    magface_curve,
)
from magface_al.metrics.roc import confusion, threshold_at_fmr
from magface_al.pairs.pair_file import PairFile
from magface_al.pairs.people import name_people, pair_identities

MAGNITUDE = "magnitude"
MOST = 1e30  # a score; larger ones overflow in what is computed from them
Sides = tuple[np.ndarray, np.ndarray]  # a score's values float [N] for the images on both sides of N pairs


@dataclass(frozen=True)
class ThresholdRule:
    """Where the threshold of an error-versus-discard curve stands.

    curve: similarity, same and quality of all pairs [N], and the threshold -> the curve. varies: for a rule that takes a new
    threshold along the curve, how it does; there is no single one then. fmr and impostors: the rule's own FMR and how
    many impostor pairs can show it; None where --fmr decides. meaning: for --help.
    """

    meaning: str
    curve: Callable[[np.ndarray, np.ndarray, np.ndarray, float | None], DiscardCurve]
    varies: str = ""
    fmr: float | None = None
    impostors: int | None = None


def _curve_at(similarity: np.ndarray, same: np.ndarray, quality: np.ndarray, threshold: float | None) -> DiscardCurve:
    assert threshold is not None
    return discard_curve(similarity[same], quality[same], threshold)


# The first is the default.
THRESHOLD_RULES = {
    "fixed": ThresholdRule("one for the whole curve, by --fmr", _curve_at),
    "magface": ThresholdRule(
        f"a new one at every {100 * MAGFACE_STEP:g} %, FMR {MAGFACE_FMR:g}, shares of all pairs",
        lambda similarity, same, quality, _: magface_curve(similarity, same, quality),
        varies=f"a new one, below FMR {MAGFACE_FMR:g}, at every {100 * MAGFACE_STEP:g} % of all pairs",
        fmr=MAGFACE_FMR,
        impostors=MAGFACE_IMPOSTORS,
    ),
}


@dataclass(frozen=True)
class Decision:
    """A rule applied to pairs, as it stands in quality.json. Without a threshold, fmr and missed are None too.

    fmr: the share of impostor pairs above the threshold. missed: how many genuine pairs are not.
    """

    threshold_rule: str
    threshold: float | None
    fmr_wanted: float
    fmr: float | None
    missed: int | None
    genuine_pairs: int
    impostor_pairs: int

    def describe(self, flip: str) -> str:
        """What the figures depend on, in one line."""
        if self.threshold is None:
            rule = THRESHOLD_RULES[self.threshold_rule].varies
        else:
            rule = f"cosine {self.threshold:.4f}, FMR {self.fmr:.2e} where {self.fmr_wanted:g} was wanted"
        pairs = f"{self.genuine_pairs} genuine and {self.impostor_pairs} impostor pairs"
        return f"threshold rule {self.threshold_rule}: {rule}; flip {flip}, {pairs}"


def decide(similarity: np.ndarray, same: np.ndarray, name: str, fmr: float, source: Path) -> Decision:
    """Set the threshold of similarity float64 [N], same bool [N] by the rule of that name.

    Raises UserError, beginning with the source of the pairs, if they are too few to show the FMR.
    """
    rule = THRESHOLD_RULES[name]
    genuine, impostors = int(same.sum()), int((~same).sum())
    wanted = fmr if rule.fmr is None else rule.fmr
    needed = math.ceil(1 / fmr) if rule.impostors is None else rule.impostors
    if not genuine or impostors < needed:
        purpose = f"to show an FMR of {fmr:g}" if rule.impostors is None else "for this rule"
        raise UserError(
            f"{source}: {genuine} genuine and {impostors} impostor pairs, expected genuine ones and at least {needed} "
            f"impostors {purpose}; bring more pairs, or a higher --fmr"
        )
    threshold = None if rule.varies else threshold_at_fmr(similarity, same, wanted)
    if threshold is None:
        return Decision(name, None, wanted, None, None, genuine, impostors)
    counts = confusion(similarity, same, threshold)
    return Decision(name, threshold, wanted, counts.fmr, int(counts.false_negatives), genuine, impostors)


def side_scores(embedded: PairEmbeddings, files: Sequence[tuple[str, Path]], run: Run) -> dict[str, Sides]:
    """Score -> its values on both sides of the pairs: the magnitude, then those of the (name, file)s. Raises UserError."""
    pairs, scores = embedded.pair_file.pairs, embedded.scores()
    found: dict[str, Sides] = {MAGNITUDE: (scores.magnitude1, scores.magnitude2)}
    for name, path in files:
        if name in found or "/" in name:
            raise UserError(f"--quality {name}={path}: expected a name of its own without a slash, it names a picture")
        both = scores_of([pair.image1 for pair in pairs] + [pair.image2 for pair in pairs], path)
        run.input(path, f"quality scores {name}")
        found[name] = (both[: len(pairs)], both[len(pairs) :])
    return found


def scores_of(images: list[str], path: Path) -> np.ndarray:
    """float64 [N]: the scores in the file of N images, by the name that the pairs give them. Raises UserError if one is absent."""
    known = read_quality_scores(path)
    wanted = dict.fromkeys(images)
    absent = [image for image in wanted if image not in known]
    if absent:
        raise UserError(
            f"{path}: {len(absent)} of {len(wanted)} images have no score (first: {absent[0]}), expected all, named as in the pairs"
        )
    return np.array([known[image] for image in images])


def read_quality_scores(path: Path) -> dict[str, float]:
    """Image -> score, higher is better, from lines of `path score`. Raises UserError naming the line.

    The score is the last column, so a path may contain spaces.
    """
    scores: dict[str, float] = {}
    for number, line in read_lines(path, "lines of `path score`"):
        image, _, score = line.strip().replace("\t", " ").rpartition(" ")
        try:
            value = float(score)
        except ValueError:
            value = float("nan")
        if not image or not abs(value) < MOST:
            raise UserError(f"{path}: line {number}: {shown(line.strip())}, expected `path score` with a finite score")
        if scores.setdefault(image.strip(), value) != value:
            raise UserError(f"{path}: line {number}: {image.strip()!r} has another score further up, expected one")
    return scores


def areas_between(
    pair_file: PairFile,
    similarity: np.ndarray,
    qualities: Mapping[str, np.ndarray],
    threshold: float | None,
    limit: float,
    resamples: int,
    seed: int,
) -> dict[str, tuple[float, float] | None]:
    """The interval of each score's area over people; None where the pairs do not say who they are, or without a threshold.

    similarity and the qualities, float [N], are of all pairs.
    """
    if threshold is None or not name_people(pair_file.pairs):
        return dict.fromkeys(qualities)
    same = pair_file.labels()
    weights = identity_resamples(*pair_identities(pair_file.pairs), seed, resamples)
    genuine = {name: quality[same] for name, quality in qualities.items()}
    return area_intervals(similarity[same], genuine, threshold, limit, (weight[same] for weight in weights))


def quality_table(scores: Mapping[str, Mapping[str, Any]], limit: float) -> str:
    """A row a score: FNMR where some pairs are discarded, and the area under the curve up to the limit."""
    shares = next(iter(scores.values()))["fnmr"]
    discarded = [f"FNMR at {100 * float(share):g} %" for share in shares]
    header = ["quality", *discarded, f"area to {100 * limit:g} %", "95 % interval", "of no discard"]
    return markdown_table(header, [[name, *_cells(score)] for name, score in scores.items()])


def _cells(score: Mapping[str, Any]) -> list[str]:
    limits, ratio = score["area_interval_95"], score["area_over_no_discard"]
    return [
        *("too few pairs" if value is None else f"{100 * value:.3f} %" for value in score["fnmr"].values()),
        "too few pairs" if score["area"] is None else f"{score['area']:.6f}",
        f"[{limits[0]:.6f}, {limits[1]:.6f}]" if limits else "none",
        "undefined" if ratio is None else f"{100 * ratio:.1f} %",
    ]
