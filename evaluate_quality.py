"""Is the magnitude a good quality score: how many errors vanish when the faces of lowest magnitude are refused.

reads    --feedback_file  labelled pairs: pairs JSON, a .bin, LFW's pairs.txt or a pair list; --checkpoint and/or
         --features_list;  --quality  NAME=FILE of other scores to compare with, `path score` a line, higher is better
writes   --output_dir     quality.json, quality.md, error_vs_discard.png, magnitude_histogram.png, one histogram a score
example  python evaluate_quality.py --feedback_file pairs.txt --root lfw/images --checkpoint magface_epoch_00025.pth

A pair's quality is the lower of its two. FNMR is that of the genuine pairs left, at the threshold where all impostor
pairs give --fmr; magface repeats MagFace's own evaluation instead, which takes a new threshold for every share
discarded.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputFolder
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.evaluation import flags
from magface_al.evaluation.quality import THRESHOLD_RULES


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--feedback_file", type=Path, required=True, metavar="PAIRS", help="labelled pairs of any kind")
    flags.add_root_option(files)
    files.add_argument("--features_list", type=Path, metavar="FEATURES", help="cached embeddings of this model")
    files.add_argument(
        "--quality",
        type=cli.named_path,
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="other scores, `path score` a line",
    )
    files.add_argument(
        "--output_dir", type=OutputFolder, default=OutputFolder("quality"), help="folder for everything written"
    )
    protocol = parser.add_argument_group("protocol")
    flags.add_choice(protocol, "--threshold_rule", "where the threshold stands", THRESHOLD_RULES)
    share = numbers.interval("(0, 1)")
    protocol.add_argument("--fmr", type=share, default=1e-3, help="fixed: FMR over all impostor pairs at the threshold")
    protocol.add_argument("--max_discard", type=share, default=0.3, help="share up to which the area is taken")
    flags.add_bootstrap_options(protocol, "fixed: ")
    model_flags.add_flip_option(protocol)
    model_flags.add_checkpoint_options(parser, required=False)
    cli.add_device_options(parser, batch_size=model_flags.ModelChoice.batch_size)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.outputs import refuse_inputs
    from magface_al.embedding.pair_scores import PairEmbedder
    from magface_al.evaluation.quality import MAGNITUDE, areas_between, decide, quality_table, side_scores
    from magface_al.evaluation.results import write_results
    from magface_al.metrics.cosine import cosines
    from magface_al.metrics.discard import pair_quality
    from magface_al.pairs.pair_file import describe
    from magface_al.pairs.verification_sets import read_verification_set
    from magface_al.pictures.canvas import save_figure
    from magface_al.pictures.quality import decided_figure, histogram_of_images

    flags.require_model(args.checkpoint, args.features_list)
    pair_file = read_verification_set(args.feedback_file, args.root)
    run.input(pair_file.path, describe(pair_file.pairs))
    run.path = args.output_dir / "manifest.json"
    histograms = [f"{name}_histogram.png" for name in (MAGNITUDE, *dict(args.quality))]
    refuse_inputs(args.output_dir, ["quality.md", "quality.json", "error_vs_discard.png", *histograms])
    embedded = PairEmbedder(model_flags.model_choice(vars(args)), run, args.features_list)(pair_file)
    run.facts["pairs_left_out"] = embedded.left_out
    pair_file, similarity = embedded.pair_file, embedded.sides.measured(cosines)
    same = pair_file.labels()
    sides = side_scores(embedded, args.quality, run)
    lower = {name: pair_quality(*of_sides) for name, of_sides in sides.items()}

    decision = decide(similarity, same, args.threshold_rule, args.fmr, args.feedback_file)
    draw = THRESHOLD_RULES[args.threshold_rule].curve
    curves = {name: draw(similarity, same, quality, decision.threshold) for name, quality in lower.items()}
    limits = areas_between(
        pair_file, similarity, lower, decision.threshold, args.max_discard, args.resamples, args.seed
    )
    scores = {
        name: {**curve.summary(args.max_discard), "area_interval_95": limits[name]} for name, curve in curves.items()
    }
    text = f"{decision.describe(args.flip)}\n\n{quality_table(scores, args.max_discard)}"
    print(f"\n{text}")
    content = {**asdict(decision), "flip": args.flip, "max_discard": args.max_discard, "scores": scores}
    write_results(args.output_dir, "quality", text, content)
    pictures = {"error_vs_discard.png": decided_figure(curves, args.max_discard, decision)}
    for name, of_sides in sides.items():
        pictures[f"{name}_histogram.png"] = histogram_of_images(name, pair_file, of_sides, run.note)
    for name, figure in pictures.items():
        save_figure(figure, args.output_dir / name)
    run.output(args.output_dir, ", ".join(["quality.md", "quality.json", *pictures]))


if __name__ == "__main__":
    cli.run(build_parser(), main)
