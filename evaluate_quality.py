"""Is the magnitude a good quality score: how many errors vanish when the faces of lowest magnitude are refused.

reads    --feedback_file  labelled pairs: pairs JSON, a .bin, LFW's pairs.txt or a pair list; --checkpoint and/or --features_list;
         --quality  NAME=FILE of other scores to compare with, `path score` a line, higher is better
writes   --output_dir     quality.json, quality.md, error_vs_discard.png, magnitude_histogram.png, one histogram a score
example  python evaluate_quality.py --feedback_file pairs.txt --root lfw/images --checkpoint magface_epoch_00025.pth

A pair's quality is the lower of its two. FNMR is that of the genuine pairs left, at the threshold where all impostor pairs
give --fmr; magface repeats MagFace's own evaluation instead, which takes a new threshold for every share discarded.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding import model_flags

if TYPE_CHECKING:
    import numpy as np

    from magface_al.embedding.pair_scores import PairEmbeddings
    from magface_al.metrics.discard import DiscardCurve
    from magface_al.pairs.pair_file import PairFile

    Sides = tuple[np.ndarray, np.ndarray]


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--feedback_file", type=Path, required=True, metavar="PAIRS", help="labelled pairs of any kind")
    files.add_argument(
        "--root",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders that relative image paths may start from",
    )
    files.add_argument("--features_list", type=Path, metavar="FEATURES", help="cached embeddings of this model")
    files.add_argument(
        "--quality",
        type=cli.named_path,
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="other scores, `path score` a line",
    )
    files.add_argument("--output_dir", type=Path, default=Path("quality"), help="folder for everything written")
    protocol = parser.add_argument_group("protocol")
    protocol.add_argument(
        "--threshold_rule",
        choices=["fixed", "magface"],
        default="fixed",
        help="fixed: one threshold for the whole curve; magface: a new one at every 5 %%, FMR 1e-3, shares of all pairs",
    )
    protocol.add_argument(
        "--fmr",
        type=numbers.interval("(0, 1)"),
        default=1e-3,
        help="fixed: FMR over all impostor pairs at the threshold",
    )
    protocol.add_argument(
        "--max_discard", type=numbers.interval("(0, 1)"), default=0.3, help="share up to which the area is taken"
    )
    protocol.add_argument(
        "--resamples",
        type=numbers.positive_int,
        default=500,
        help="fixed: bootstrap resamples of the people behind the intervals",
    )
    protocol.add_argument("--seed", type=int, default=42, help="of the bootstrap")
    model_flags.add_flip_option(protocol)
    model_flags.add_checkpoint_options(parser, required=False)
    cli.add_device_options(parser, batch_size=128)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.errors import UserError
    from magface_al.command.files import replacing, write_json
    from magface_al.embedding.pair_scores import PairEmbedder
    from magface_al.metrics.cosine import cosines
    from magface_al.metrics.discard import discard_curve, magface_curve, pair_quality
    from magface_al.pairs.pair_file import describe
    from magface_al.pairs.verification_sets import read_verification_set

    if args.checkpoint is None and args.features_list is None:
        raise UserError("give --checkpoint to embed the images, or --features_list with their embeddings, or both")
    pair_file = read_verification_set(args.feedback_file, args.root)
    run.input(pair_file.path, describe(pair_file.pairs))
    embedded = PairEmbedder(model_flags.model_choice(args), run, args.features_list)(pair_file)
    run.facts["pairs_left_out"] = embedded.left_out
    pair_file, similarity = embedded.pair_file, cosines(embedded.side1, embedded.side2)
    same = pair_file.labels()
    scores = quality_scores(args, embedded, run)
    lower = {name: pair_quality(*sides) for name, sides in scores.items()}
    result = {**decision(args, similarity, same), "flip": args.flip, "max_discard": args.max_discard}
    threshold = result["threshold"]
    if threshold is None:
        curves = {name: magface_curve(similarity, same, quality) for name, quality in lower.items()}
    else:
        curves = {name: discard_curve(similarity[same], quality[same], threshold) for name, quality in lower.items()}
    limits = areas_between(args, pair_file, similarity, lower, threshold)
    result["scores"] = {
        name: {**curve.summary(args.max_discard), "area_interval_95": limits.get(name)}
        for name, curve in curves.items()
    }

    text = f"{describe_rule(result)}\n\n{table(result)}"
    print(f"\n{text}")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    run.path = args.output_dir / "manifest.json"
    with replacing(args.output_dir / "quality.md") as file:
        file.write(text)
    write_json(args.output_dir / "quality.json", result)
    draw_curves(args, curves, result)
    for name, sides in scores.items():
        draw_histogram(args.output_dir / f"{name}_histogram.png", name, pair_file, sides, run)
    pictures = [f"{name}_histogram.png" for name in scores]
    run.output(args.output_dir, ", ".join(["quality.md", "quality.json", "error_vs_discard.png", *pictures]))


def quality_scores(args: argparse.Namespace, embedded: PairEmbeddings, run: Run) -> dict[str, Sides]:
    """Score -> its values float [N] for both sides of the pairs; the magnitude first."""
    from magface_al.command.errors import UserError
    from magface_al.evaluation.quality import scores_of

    pairs, of_pairs = embedded.pair_file.pairs, embedded.scores()
    found: dict[str, Sides] = {"magnitude": (of_pairs.magnitude1, of_pairs.magnitude2)}
    for name, path in args.quality:
        if name in found or "/" in name:
            raise UserError(f"--quality {name}={path}: expected a name of its own without a slash, it names a picture")
        both = scores_of([pair.image1 for pair in pairs] + [pair.image2 for pair in pairs], path)
        run.input(path, f"quality scores {name}")
        found[name] = (both[: len(pairs)], both[len(pairs) :])
    return found


def decision(args: argparse.Namespace, similarity: np.ndarray, same: np.ndarray) -> dict[str, Any]:
    """The rule and, unless it takes a new one each time, the threshold, for quality.json. Raises UserError for too few pairs."""
    from magface_al.command.errors import UserError
    from magface_al.metrics.roc import confusion, threshold_at_fmr

    genuine, impostors = int(same.sum()), int((~same).sum())
    retuned = args.threshold_rule == "magface"
    threshold = None if retuned else threshold_at_fmr(similarity, same, args.fmr)
    needed = 101 if retuned else -int(-1 / args.fmr // 1)
    if not genuine or impostors < needed:
        raise UserError(
            f"{args.feedback_file}: {genuine} genuine and {impostors} impostor pairs, expected genuine ones and at least {needed} "
            f"impostors{' for this rule' if retuned else f' to show an FMR of {args.fmr:g}'}; bring more pairs, or a higher --fmr"
        )
    counts = None if threshold is None else confusion(similarity, same, threshold)
    return {
        "threshold_rule": args.threshold_rule,
        "threshold": threshold,
        "fmr_wanted": 1e-3 if retuned else args.fmr,
        "fmr": counts and counts.fmr,
        "missed": counts and counts.false_negatives,
        "genuine_pairs": genuine,
        "impostor_pairs": impostors,
    }


def areas_between(
    args: argparse.Namespace,
    pair_file: PairFile,
    similarity: np.ndarray,
    lower: dict[str, np.ndarray],
    threshold: float | None,
) -> dict[str, tuple[float, float] | None]:
    """The intervals of the areas over people; empty where the pairs do not say who they are, or for MagFace's rule."""
    from magface_al.metrics.bootstrap import identity_resamples
    from magface_al.metrics.discard import area_intervals
    from magface_al.pairs.pair_file import name_people, pair_identities

    if threshold is None or not name_people(pair_file.pairs):
        return {}
    same = pair_file.labels()
    resamples = identity_resamples(*pair_identities(pair_file.pairs), args.seed, args.resamples)
    genuine = {name: quality[same] for name, quality in lower.items()}
    return area_intervals(
        similarity[same], genuine, threshold, args.max_discard, (weight[same] for weight in resamples)
    )


def describe_rule(result: dict[str, Any]) -> str:
    """What the figures depend on, in one line."""
    pairs = f"flip {result['flip']}, {result['genuine_pairs']} genuine and {result['impostor_pairs']} impostor pairs"
    if result["threshold"] is None:
        return f"threshold rule magface: a new one, below FMR 0.001, at every 5 % of all pairs; {pairs}"
    return (
        f"threshold rule fixed: cosine {result['threshold']:.4f}, FMR {result['fmr']:.2e} where {result['fmr_wanted']:g} was wanted; "
        + pairs
    )


def table(result: dict[str, Any]) -> str:
    """A row a score: FNMR where some pairs are discarded, and the area under the curve."""
    from magface_al.evaluation.results import markdown_table

    shares = next(iter(result["scores"].values()))["fnmr"]
    header = [
        "quality",
        *(f"FNMR at {100 * float(share):g} %" for share in shares),
        f"area to {100 * result['max_discard']:g} %",
        "95 % interval",
        "of no discard",
    ]
    rows = []
    for name, score in result["scores"].items():
        limits, ratio = score["area_interval_95"], score["area_over_no_discard"]
        rows.append([
            name,
            *("too few pairs" if value is None else f"{100 * value:.3f} %" for value in score["fnmr"].values()),
            "too few pairs" if score["area"] is None else f"{score['area']:.6f}",
            f"[{limits[0]:.6f}, {limits[1]:.6f}]" if limits else "none",
            "undefined" if ratio is None else f"{100 * ratio:.1f} %",
        ])  # fmt: skip
    return markdown_table(header, rows)


def draw_curves(args: argparse.Namespace, curves: dict[str, DiscardCurve], result: dict[str, Any]) -> None:
    """error_vs_discard.png, with the best curve possible where the threshold is fixed."""
    from magface_al.metrics.discard import ideal_curve
    from magface_al.pictures.canvas import save_figure
    from magface_al.pictures.quality import discard_figure

    if result["threshold"] is None:
        of, over, ideal = "at a new threshold each time", "all", None
    else:
        of, over = f"at cosine {result['threshold']:.3f}", "the genuine"
        ideal = ideal_curve(result["missed"], result["genuine_pairs"])
    figure = discard_figure(curves, args.max_discard, f"FNMR in % {of}", f"% of {over} pairs discarded", ideal)
    save_figure(figure, args.output_dir / "error_vs_discard.png")


def draw_histogram(path: Path, name: str, pair_file: PairFile, sides: Sides, run: Run) -> None:
    """Every image's score once, and the faces at its quantiles, where they can be read."""
    import numpy as np

    from magface_al.faces.preprocess import decode_image
    from magface_al.pictures.canvas import save_figure
    from magface_al.pictures.quality import Example, quality_histogram, quantile_rows

    named = [(pair.image1, pair.image2) for pair in pair_file.pairs]
    score_of = {
        image: float(side[k]) for k, images in enumerate(named) for image, side in zip(images, sides, strict=True)
    }
    images, scores = list(score_of), np.array(list(score_of.values()))
    examples = []
    for quantile, row in quantile_rows(scores):
        try:
            face = decode_image(pair_file.source(images[row]))[0]
        except ValueError as error:
            run.note(f"{images[row]}: {error}; its place in {path.name} stays empty")
            face = None
        examples.append(Example(quantile, float(scores[row]), face))
    save_figure(quality_histogram(name, scores, examples), path)


if __name__ == "__main__":
    cli.run(build_parser(), main)
