"""Verification accuracy of one or more models on the field's test sets, in one table.

reads    --set         NAME=PATH of a .bin, LFW's pairs.txt, a pair list as MagFace's evaluation uses, pairs JSON;
         --checkpoint  weights, and/or --features_list with their embeddings; one of each for every row of the table
writes   --output_dir  results.md, results.json, roc.png
example  python evaluate_recognition.py --checkpoint a.pth b.pth --set LFW=pairs.txt AgeDB=agedb_30.bin --root images

Accuracy is the mean of ten folds, each judged at the threshold from the nine others, with its standard deviation.
AUC, EER and TAR@FAR are of the plain cosine, whatever the protocol. --flip, --subtract_mean and --protocol change the
figure, so the table names them. Published figures: MagFace --protocol magface; arcface_torch --protocol insightface
--flip sum; FaceX-Zoo --protocol facexzoo.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputFolder
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.embedding import model_flags
from magface_al.evaluation import flags
from magface_al.metrics.kfold import FOLDS, PROTOCOLS


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--set",
        dest="sets",
        type=cli.named_path,
        nargs="+",
        required=True,
        metavar="NAME=PATH",
        help="verification sets; a bare PATH is called by the file's name",
    )
    flags.add_root_option(files)
    files.add_argument(
        "--features_list",
        type=Path,
        nargs="+",
        default=[],
        metavar="FEATURES",
        help="cached embeddings, one store a row",
    )
    files.add_argument(
        "--output_dir", type=OutputFolder, default=OutputFolder("recognition"), help="folder for everything written"
    )
    files.add_argument(
        "--allow_failures", action="store_true", help="end with exit code 0 although images could not be read"
    )
    protocol = parser.add_argument_group("protocol")
    flags.add_choice(protocol, "--protocol", "how a fold is judged", PROTOCOLS)
    protocol.add_argument(
        "--subtract_mean", action="store_true", help="with cosine: take away the mean of the nine other folds first"
    )
    model_flags.add_flip_option(protocol)
    protocol.add_argument("--folds", type=numbers.positive_int, default=FOLDS, help="parts of a set")
    flags.add_bootstrap_options(protocol)
    model_flags.add_checkpoint_options(parser, required=False, several=True)
    cli.add_device_options(parser, batch_size=model_flags.ModelChoice.batch_size)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.errors import WorkError
    from magface_al.command.outputs import refuse_inputs
    from magface_al.embedding.pair_scores import PairEmbedder
    from magface_al.evaluation import recognition
    from magface_al.evaluation.results import write_results
    from magface_al.pictures.canvas import save_figure
    from magface_al.pictures.curves import roc_figure

    flags.require_model(args.checkpoint, args.features_list)
    settings = recognition.Settings(args.protocol, args.subtract_mean, args.folds, args.resamples, args.seed)
    models = recognition.named_models(args.checkpoint, args.features_list)
    sets = recognition.read_sets(args.sets, args.root, args.folds, run)
    run.path = args.output_dir / "manifest.json"
    refuse_inputs(args.output_dir, ["results.md", "results.json", "roc.png"])
    results: dict[str, dict[str, recognition.Verification]] = {}
    for model, (checkpoint, store) in models.items():
        embed = PairEmbedder(replace(model_flags.model_choice(vars(args)), checkpoint=checkpoint), run, store)
        results[model] = {
            name: recognition.evaluate_set(embed(pair_file), len(pair_file.pairs), settings)
            for name, pair_file in sets.items()
        }

    tables = f"{recognition.accuracy_table(results)}\n{recognition.detail_table(results)}"
    text = f"{settings.describe(args.flip)}\n\n{tables}"
    print(f"\n{text}")
    rows = recognition.figure_rows(results)
    write_results(args.output_dir, "results", text, {**settings.as_dict(args.flip), "results": rows})
    save_figure(roc_figure(recognition.roc_panels(results)), args.output_dir / "roc.png")
    run.output(args.output_dir, "results.md, results.json, roc.png")
    model_flag = ["--checkpoint", args.checkpoint[0]] if args.checkpoint else ["--features_list", args.features_list[0]]
    root_flag = ["--root", *args.root] if args.root else []
    run.suggest("python", "evaluate_quality.py", "--feedback_file", args.sets[0][1], *model_flag, *root_flag)
    run.facts["pairs_left_out"] = left_out = sum(row["pairs_left_out"] for row in rows)
    if left_out and not args.allow_failures:
        raise WorkError(
            f"{counted(left_out, 'pair was', 'pairs were')} left out because images could not be read, so these figures are not "
            "those of the whole sets; --allow_failures accepts that"
        )


if __name__ == "__main__":
    cli.run(build_parser(), main)
