"""Look into a checkpoint: whose layout, which backbone, what was found; and see which input convention it was trained with.

reads    --checkpoint  weights;  --feedback_file  labelled pairs (optional), scored once under each convention
writes   nothing; prints the table
example  python inspect_checkpoint.py --checkpoint magface_epoch_00025.pth --feedback_file feedback.json

The convention of highest AUC is the one that the weights were trained with; a wrong one loses accuracy in silence.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from magface_al.command import cli
from magface_al.command.run import Run
from magface_al.embedding import model_flags

if TYPE_CHECKING:
    from magface_al.models.backbone import Backbone


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    model_flags.add_checkpoint_options(parser)
    parser.add_argument(
        "--feedback_file", type=Path, metavar="PAIRS.json", help="labelled pairs to try the conventions on"
    )
    cli.add_device_options(parser, batch_size=128)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.models.checkpoint import load_backbone

    backbone = load_backbone(args.checkpoint, args.arch, args.preprocessing)
    run.input(args.checkpoint, backbone.describe(), backbone.file_sha256)
    for name, value in facts(backbone):
        print(f"{name:>14}  {value}")
    if args.feedback_file is None:
        run.suggest(f"python inspect_checkpoint.py --checkpoint {args.checkpoint} --feedback_file PAIRS.json")
        return
    rows = conventions(args, run)
    print(f"\n{'convention':>14}  {'AUC':>8}  {'EER':>8}  {'accuracy':>8}  {'at threshold':>12}")
    for name, auc, eer, accuracy, threshold in rows:
        mark = "  <- in use" if name == backbone.preprocessing.name() else ""
        print(f"{name:>14}  {auc:8.4f}  {eer:8.2%}  {accuracy:8.2%}  {threshold:12.3f}{mark}")
    best = rows[0][0]
    if best != backbone.preprocessing.name():
        run.note(f"these pairs are told apart best as {best}: consider --preprocessing {best} in every stage")


def facts(backbone: Backbone) -> list[tuple[str, str]]:
    """What the file holds, as (name, value)."""
    return [
        ("layout", f"{backbone.family}, keys begin with {backbone.prefix or '(nothing)'}"),
        ("backbone", backbone.arch),
        ("tensors", f"{backbone.coverage()}, {len(backbone.ignored)} of no backbone left aside"),
        ("input", f"{backbone.own_preprocessing.name()}: {backbone.own_preprocessing.to_dict()}"),
        ("BatchNorm eps", "inside the graph" if backbone.bn_eps is None else f"{backbone.bn_eps:g}"),
        ("flip rule", f"{backbone.flip}, in this family's published figures (--flip auto)"),
        ("weights sha256", backbone.weights_sha256),
    ]


def conventions(args: argparse.Namespace, run: Run) -> list[tuple[str, float, float, float, float]]:
    """(convention, AUC, EER, best accuracy, its threshold) of every convention, best AUC first."""
    from dataclasses import replace

    from magface_al.command.errors import UserError
    from magface_al.embedding.pair_scores import score_pairs
    from magface_al.faces.preprocess import PRESETS
    from magface_al.metrics.roc import Figures, best_threshold
    from magface_al.pairs.pair_file import describe, read_pairs

    pair_file = read_pairs(args.feedback_file).labelled()
    run.input(args.feedback_file, describe(pair_file.pairs))
    if len(set(pair_file.labels())) < 2:
        raise UserError(f"{args.feedback_file}: expected both same and different pairs, to tell the conventions apart")
    rows = []
    for name in PRESETS:
        scores = score_pairs(pair_file, replace(model_flags.model_choice(args), preprocessing=name), run)
        same = scores.pair_file.labels()
        threshold, accuracy = best_threshold(scores.similarity, same)
        figures = Figures(scores.similarity, same, threshold)()
        rows.append((name, figures["auc"], figures["eer"], accuracy, threshold))
    return sorted(rows, key=lambda row: -row[1])


if __name__ == "__main__":
    cli.run(build_parser(), main)
