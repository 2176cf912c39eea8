"""Look into a checkpoint: whose layout, which backbone, what was found; and which input convention it was trained with.

reads    --checkpoint  weights;  --feedback_file  labelled pairs (optional), scored once under each convention
writes   nothing; prints the table
example  python inspect_checkpoint.py --checkpoint magface_epoch_00025.pth --feedback_file feedback.json

The convention of highest AUC is most likely the one that the weights were trained with; a wrong one loses accuracy in
silence.
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
    from magface_al.evaluation.presets import advice, try_presets
    from magface_al.models.checkpoint import load_backbone
    from magface_al.pairs.pair_file import describe, read_pairs

    backbone = load_backbone(args.checkpoint, args.arch, args.preprocessing)
    run.input(args.checkpoint, backbone.describe(), backbone.file_sha256)
    for name, value in facts(backbone):
        print(f"{name:>14}  {value}")
    if args.feedback_file is None:
        files = ["--checkpoint", args.checkpoint, "--feedback_file", "PAIRS.json"]
        run.suggest("python", "inspect_checkpoint.py", *files)
        return
    in_use = backbone.preprocessing.name()
    pair_file = read_pairs(args.feedback_file).labelled()
    run.input(args.feedback_file, describe(pair_file.pairs))
    tried = try_presets(pair_file, model_flags.model_choice(vars(args)), in_use, run)
    print(f"\n{'convention':>14}  {'AUC':>8}  {'EER':>8}  {'accuracy':>8}  {'at threshold':>12}")
    for preset in tried:
        auc, eer, accuracy, threshold = preset.row()
        mark = "  <- in use" if preset.name == in_use else ""
        print(f"{preset.name:>14}  {auc:8.4f}  {eer:8.2%}  {accuracy:8.2%}  {threshold:12.3f}{mark}")
    if said := advice(tried, in_use):
        run.note(said)


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


if __name__ == "__main__":
    cli.run(build_parser(), main)
