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

from magface_al import cli
from magface_al.manifest import Run

if TYPE_CHECKING:
    import numpy as np

    from magface_al.discard import DiscardCurve
    from magface_al.pairs import PairFile
    from magface_al.scoring import PairEmbeddings

    Sides = tuple[np.ndarray, np.ndarray]
    Curves = dict[str, DiscardCurve]


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
        "--fmr", type=cli.share, default=1e-3, help="fixed: FMR over all impostor pairs at the threshold"
    )
    protocol.add_argument("--max_discard", type=cli.share, default=0.3, help="share up to which the area is taken")
    protocol.add_argument(
        "--resamples",
        type=cli.positive_int,
        default=500,
        help="fixed: bootstrap resamples of the people behind the intervals",
    )
    protocol.add_argument("--seed", type=int, default=42, help="of the bootstrap")
    cli.add_flip_option(protocol)
    cli.add_checkpoint_options(parser, required=False)
    cli.add_device_options(parser, batch_size=128)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.discard import pair_quality
    from magface_al.errors import UserError
    from magface_al.features import cosines
    from magface_al.files import replacing, write_json
    from magface_al.pair_lists import read_verification_set
    from magface_al.pairs import describe
    from magface_al.scoring import PairEmbedder

    if args.checkpoint is None and args.features_list is None:
        raise UserError("give --checkpoint to embed the images, or --features_list with their embeddings, or both")
    pair_file = read_verification_set(args.feedback_file, args.root)
    run.read(pair_file.path, describe(pair_file.pairs))
    embedded = PairEmbedder(cli.model_choice(args), run, args.features_list)(pair_file)
    similarity, same = cosines(embedded.side1, embedded.side2), embedded.pair_file.labels()
    scores = quality_scores(args, embedded, run)
    lower = {name: pair_quality(*sides) for name, sides in scores.items()}
    if args.threshold_rule == "fixed":
        curves, result = fixed(args, embedded.pair_file, similarity, lower)
    else:
        curves, result = retuned(args, similarity, same, lower)
    result |= {"pairs": len(same), "genuine_pairs": int(same.sum()), "impostor_pairs": int((~same).sum()), "flip": args.flip,
               "max_discard": args.max_discard}  # fmt: skip
    for name, curve in curves.items():
        result["scores"].setdefault(name, {}).update(curve.summary(args.max_discard))

    text = f"{describe_rule(args, result)}\n\n{table(args, result)}"
    print(f"\n{text}")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    run.path = args.output_dir / "manifest.json"
    with replacing(args.output_dir / "quality.md") as file:
        file.write(text)
    write_json(args.output_dir / "quality.json", result)
    draw_curves(args, similarity, same, curves, result)
    for name, sides in scores.items():
        draw_histogram(args.output_dir / f"{name}_histogram.png", name, embedded.pair_file, sides, run)
    run.wrote(args.output_dir, "quality.md, quality.json, error_vs_discard.png, magnitude_histogram.png")


def quality_scores(args: argparse.Namespace, embedded: PairEmbeddings, run: Run) -> dict[str, Sides]:
    """Score -> its values float [N] for both sides of the pairs; the magnitude first."""
    from magface_al.errors import UserError
    from magface_al.quality_scores import scores_of

    pairs, of_pairs = embedded.pair_file.pairs, embedded.scores()
    found: dict[str, Sides] = {"magnitude": (of_pairs.magnitude1, of_pairs.magnitude2)}
    for name, path in args.quality:
        if name in found or "/" in name:
            raise UserError(f"--quality {name}={path}: expected a name of its own without a slash, it names a picture")
        both = scores_of([pair.image1 for pair in pairs] + [pair.image2 for pair in pairs], path)
        run.read(path, f"quality scores {name}")
        found[name] = (both[: len(pairs)], both[len(pairs) :])
    return found


def fixed(
    args: argparse.Namespace, pair_file: PairFile, similarity: np.ndarray, lower: dict[str, np.ndarray]
) -> tuple[Curves, dict[str, Any]]:
    """The curves at one threshold, and the threshold with the intervals of the areas for quality.json."""
    from magface_al import bootstrap
    from magface_al.discard import discard_curve
    from magface_al.errors import UserError
    from magface_al.metrics import confusion, threshold_at_fmr
    from magface_al.pairs import pair_identities

    same = pair_file.labels()
    threshold = threshold_at_fmr(similarity, same, args.fmr)
    if threshold is None or not same.any():
        raise UserError(
            f"{args.feedback_file}: {int((~same).sum())} impostor and {int(same.sum())} genuine pairs, expected genuine ones and "
            f"{1 / args.fmr:.0f} impostors to show an FMR of {args.fmr:g}; bring more pairs, or give a higher --fmr"
        )
    curves = {name: discard_curve(similarity[same], quality[same], threshold) for name, quality in lower.items()}
    result: dict[str, Any] = {
        "threshold_rule": "fixed",
        "threshold": threshold,
        "fmr_wanted": args.fmr,
        "fmr": confusion(similarity, same, threshold).fmr,
        "scores": {name: {"area_interval_95": None} for name in curves},
    }
    if pair_file.names_people():

        def areas(weight: np.ndarray) -> dict[str, float | None]:
            weight = weight[same]
            drawn = {
                name: discard_curve(similarity[same], quality[same], threshold, weight)
                for name, quality in lower.items()
            }
            return {name: curve.area(args.max_discard) if weight.any() else None for name, curve in drawn.items()}

        resamples = bootstrap.identity_resamples(*pair_identities(pair_file.pairs), args.seed, args.resamples)
        for name, limits in bootstrap.intervals(areas, resamples).items():
            result["scores"][name]["area_interval_95"] = limits
    return curves, result


def retuned(
    args: argparse.Namespace, similarity: np.ndarray, same: np.ndarray, lower: dict[str, np.ndarray]
) -> tuple[Curves, dict[str, Any]]:
    """MagFace's own curves."""
    from magface_al.discard import magface_curve
    from magface_al.errors import UserError

    if count(~same) <= 100 or not same.any():
        raise UserError(
            f"{args.feedback_file}: {count(~same)} impostor and {count(same)} genuine pairs, expected genuine ones and more "
            "than 100 impostors for MagFace's rule"
        )
    curves = {name: magface_curve(similarity, same, quality) for name, quality in lower.items()}
    return curves, {"threshold_rule": "magface", "fmr_wanted": 1e-3, "scores": {}}


def describe_rule(args: argparse.Namespace, result: dict[str, Any]) -> str:
    """What the figures depend on, in one line."""
    if args.threshold_rule == "magface":
        return f"threshold rule magface (below FMR 0.001 anew at every 5 % of all pairs), flip {args.flip}, {result['pairs']} pairs"
    return (
        f"threshold rule fixed: cosine {result['threshold']:.4f}, FMR {result['fmr']:.2e} (at most {args.fmr:g} wanted), flip "
        f"{args.flip}, {result['genuine_pairs']} genuine and {result['impostor_pairs']} impostor pairs"
    )


def table(args: argparse.Namespace, result: dict[str, Any]) -> str:
    """A row a score: FNMR where some pairs are discarded, and the area under the curve."""
    from magface_al.tables import markdown_table

    shares = next(iter(result["scores"].values()))["fnmr"]
    limit = f"{100 * args.max_discard:g} %"
    header = ["quality", *(f"FNMR at {100 * float(share):g} %" for share in shares), f"area to {limit}", "95 % interval",
              "of no discard"]  # fmt: skip
    rows = []
    for name, score in result["scores"].items():
        interval = score.get("area_interval_95")
        ratio = score["area_over_no_discard"]
        rows.append(
            [name, *(f"{100 * value:.3f} %" for value in score["fnmr"].values()), f"{score['area']:.6f}",
             f"[{interval[0]:.6f}, {interval[1]:.6f}]" if interval else "none", f"{100 * ratio:.1f} %" if ratio is not None else "undefined"]
        )  # fmt: skip
    return markdown_table(header, rows)


def draw_curves(
    args: argparse.Namespace, similarity: np.ndarray, same: np.ndarray, curves: Curves, result: dict[str, Any]
) -> None:
    """error_vs_discard.png, with the best curve possible where the threshold is fixed."""
    from magface_al.discard import ideal_curve
    from magface_al.figures import save_figure
    from magface_al.quality_figures import discard_figure

    if args.threshold_rule == "fixed":
        missed = count(similarity[same] <= result["threshold"])
        figure = discard_figure(
            curves, args.max_discard, f"FNMR in % at cosine {result['threshold']:.3f}", "% of the genuine pairs discarded",
            ideal_curve(missed, count(same)),
        )  # fmt: skip
    else:
        figure = discard_figure(
            curves, args.max_discard, "FNMR in % at a new threshold each time", "% of all pairs discarded"
        )
    save_figure(figure, args.output_dir / "error_vs_discard.png")


def draw_histogram(path: Path, name: str, pair_file: PairFile, sides: Sides, run: Run) -> None:
    """Every image's score once, and the faces at its quantiles, where they can be read."""
    import numpy as np

    from magface_al.figures import save_figure
    from magface_al.preprocess import decode_image
    from magface_al.quality_figures import Example, quality_histogram, quantile_rows

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


def count(rows: np.ndarray) -> int:
    """How many are True."""
    return int(rows.sum())


if __name__ == "__main__":
    cli.run(build_parser(), main)
