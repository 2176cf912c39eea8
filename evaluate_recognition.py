"""Verification accuracy of one or more models on the field's test sets, in one table.

reads    --set         NAME=PATH of a .bin, LFW's pairs.txt, a pair list as MagFace's evaluation uses, or pairs JSON;
         --checkpoint  weights, and/or --features_list with their embeddings; one of each for every row of the table
writes   --output_dir  results.md, results.json, roc.png
example  python evaluate_recognition.py --checkpoint a.pth b.pth --set LFW=pairs.txt AgeDB=agedb_30.bin --root lfw/images

Accuracy is the mean of ten folds, each judged at the threshold from the nine others, with its standard deviation.
AUC, EER and TAR@FAR are of the plain cosine, whatever the protocol. --flip, --subtract_mean and --protocol change the
figure, so the table names them. Published figures: MagFace --protocol magface; arcface_torch --protocol insightface
--flip sum; FaceX-Zoo --protocol facexzoo.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding import model_flags

if TYPE_CHECKING:
    from magface_al.evaluation.recognition import Verification
    from magface_al.pairs.pair_file import PairFile

PROTOCOLS = ("cosine", "magface", "insightface", "facexzoo")


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
    files.add_argument(
        "--root",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders that relative image paths may start from",
    )
    files.add_argument(
        "--features_list",
        type=Path,
        nargs="+",
        default=[],
        metavar="FEATURES",
        help="cached embeddings, one store a row",
    )
    files.add_argument("--output_dir", type=Path, default=Path("recognition"), help="folder for everything written")
    files.add_argument(
        "--allow_failures", action="store_true", help="end with exit code 0 although images could not be read"
    )
    protocol = parser.add_argument_group("protocol")
    protocol.add_argument(
        "--protocol", choices=PROTOCOLS, default="cosine", help="cosine is sound; the others repeat an upstream's own"
    )
    protocol.add_argument(
        "--subtract_mean", action="store_true", help="with cosine: take away the mean of the nine other folds first"
    )
    model_flags.add_flip_option(protocol)
    protocol.add_argument("--folds", type=numbers.positive_int, default=10, help="parts of a set")
    protocol.add_argument(
        "--resamples",
        type=numbers.positive_int,
        default=500,
        help="bootstrap resamples of the people behind the intervals",
    )
    protocol.add_argument("--seed", type=int, default=42, help="of the bootstrap")
    model_flags.add_checkpoint_options(parser, required=False, several=True)
    cli.add_device_options(parser, batch_size=128)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.errors import WorkError
    from magface_al.command.files import replacing, write_json
    from magface_al.pictures.canvas import roc_figure, save_figure

    check(args)
    rows = models(args)
    sets = read_sets(args, run)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    run.path = args.output_dir / "manifest.json"
    results = {model: evaluate(args, files, sets, run) for model, files in rows.items()}

    settings = describe(args)
    text = f"{settings}\n\n{accuracy_table(results)}\n{detail_table(results)}"
    print(f"\n{text}")
    with replacing(args.output_dir / "results.md") as file:
        file.write(text)
    write_json(
        args.output_dir / "results.json",
        {
            "protocol": args.protocol,
            "subtract_mean": subtracts_mean(args),
            "flip": args.flip,
            "folds": args.folds,
            "results": [
                {"model": model, "set": name, **of_set.figures}
                for model, of_sets in results.items()
                for name, of_set in of_sets.items()
            ],
        },
    )
    panels = {
        name: (int((~pair_file.labels()).sum()), {model: of_sets[name].curve for model, of_sets in results.items()})
        for name, pair_file in sets.items()
    }
    save_figure(roc_figure(panels), args.output_dir / "roc.png")
    run.output(args.output_dir, "results.md, results.json, roc.png")
    model = f"--checkpoint {args.checkpoint[0]}" if args.checkpoint else f"--features_list {args.features_list[0]}"
    roots = " ".join(["", "--root", *map(str, args.root)]) if args.root else ""
    run.suggest(f"python evaluate_quality.py --feedback_file {args.sets[0][1]} {model}{roots}")
    left_out = sum(of_set.figures["pairs_left_out"] for of_sets in results.values() for of_set in of_sets.values())
    run.facts["pairs_left_out"] = left_out
    if left_out and not args.allow_failures:
        raise WorkError(
            f"{left_out} pairs were left out because images could not be read, so these figures are not those of the whole sets; "
            "--allow_failures accepts that"
        )


def check(args: argparse.Namespace) -> None:
    """Raises UserError for flags that do not go together."""
    from magface_al.command.errors import UserError

    if not args.checkpoint and not args.features_list:
        raise UserError("give --checkpoint to embed the images, or --features_list with their embeddings, or both")
    if args.checkpoint and args.features_list and len(args.checkpoint) != len(args.features_list):
        raise UserError(
            f"{len(args.checkpoint)} checkpoints and {len(args.features_list)} feature stores, expected one store for each checkpoint"
        )
    if args.subtract_mean and args.protocol != "cosine":
        own = "always subtracts it" if args.protocol == "magface" else "has no such step"
        raise UserError(f"--subtract_mean goes with --protocol cosine; {args.protocol} {own}")
    names = [name for name, _ in args.sets]
    if len(set(names)) < len(names):
        raise UserError(
            f"--set: two sets are called {max(names, key=names.count)!r}, expected different names (NAME=PATH)"
        )
    if args.folds < 2:
        raise UserError("--folds: expected at least 2, so that there are other folds to take the threshold from")


def read_sets(args: argparse.Namespace, run: Run) -> dict[str, PairFile]:
    """All sets, before any network runs, so that a bad file is told at once."""
    from magface_al.command.errors import UserError
    from magface_al.pairs.pair_file import describe
    from magface_al.pairs.verification_sets import read_verification_set

    sets = {}
    for name, path in args.sets:
        sets[name] = pair_file = read_verification_set(path, args.root)
        run.input(pair_file.path, f"{name}: {describe(pair_file.pairs)}")
        if len(set(pair_file.labels())) < 2 or len(pair_file.pairs) < args.folds:
            raise UserError(f"{path}: expected same and different pairs, and at least --folds {args.folds} of them")
    return sets


def models(args: argparse.Namespace) -> dict[str, tuple[Path | None, Path | None]]:
    """Name in the table -> (checkpoint, feature store), of which one may be missing."""
    from itertools import zip_longest

    from magface_al.evaluation.results import distinct_names

    shown = distinct_names([str(path) for path in args.checkpoint or args.features_list])
    return dict(zip(shown, zip_longest(args.checkpoint, args.features_list), strict=True))


def evaluate(
    args: argparse.Namespace, files: tuple[Path | None, Path | None], sets: dict[str, PairFile], run: Run
) -> dict[str, Verification]:
    """One model on every set."""
    from magface_al.embedding.pair_scores import PairEmbedder
    from magface_al.evaluation.recognition import evaluate_set

    checkpoint, features_list = files
    embed = PairEmbedder(replace(model_flags.model_choice(args), checkpoint=checkpoint), run, features_list)
    return {
        name: evaluate_set(
            embed(pair_file),
            len(pair_file.pairs),
            args.protocol,
            subtracts_mean(args),
            args.folds,
            args.resamples,
            args.seed,
        )
        for name, pair_file in sets.items()
    }


def subtracts_mean(args: argparse.Namespace) -> bool:
    """Whether the accuracy is that after subtracting the folds' mean."""
    return args.subtract_mean or args.protocol == "magface"


def describe(args: argparse.Namespace) -> str:
    """What the figures depend on, in one line."""
    mean = "mean of the other folds subtracted" if subtracts_mean(args) else "no mean subtraction"
    return f"protocol {args.protocol}, {mean}, flip {args.flip}, {args.folds} folds"


def accuracy_table(results: dict[str, dict[str, Verification]]) -> str:
    """A row a model, a column a set, as papers show it."""
    from magface_al.evaluation.results import markdown_table

    sets = next(iter(results.values()))
    rows = [[model, *(f"{100 * of[name].figures['accuracy']:.2f}" for name in sets)] for model, of in results.items()]
    return markdown_table(["accuracy %", *sets], rows)


def detail_table(results: dict[str, dict[str, Verification]]) -> str:
    """A row for each model on each set with every figure."""
    from magface_al.evaluation.results import markdown_table
    from magface_al.metrics.roc import FAR_TARGETS, LABELS, percent

    names = ["auc", "eer", *(f"tar_at_far_{far:g}" for far in FAR_TARGETS)]
    header = ["model", "set", "pairs", "accuracy", "95 % interval", "threshold", *(LABELS[name] for name in names)]
    rows = []
    for model, of_sets in results.items():
        for set_name, of_set in of_sets.items():
            figures = of_set.figures
            pairs = str(figures["pairs"])
            if figures["pairs_left_out"]:
                pairs += f" of {figures['pairs'] + figures['pairs_left_out']}"
            accuracy = f"{100 * figures['accuracy']:.2f} ± {100 * figures['accuracy_std']:.2f} %"
            rows.append(
                [model, set_name, pairs, accuracy, interval(figures), f"{figures['threshold']:.3f}"]
                + [percent(name, figures[name]) for name in names]
            )
    return markdown_table(header, rows, left=2)


def interval(figures: dict[str, Any]) -> str:
    """The interval of the accuracy, where people are known."""
    limits = figures["intervals_95"] and figures["intervals_95"]["accuracy"]
    return f"[{100 * limits[0]:.2f}, {100 * limits[1]:.2f}] %" if limits else "people unknown"


if __name__ == "__main__":
    cli.run(build_parser(), main)
