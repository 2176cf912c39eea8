"""Write a model's weights for other programs: ONNX, safetensors, or the layout of MagFace or insightface.

reads    --checkpoint   weights of any family that gen_features.py reads
writes   --output_file  NAME.onnx (any batch size, checked by onnxruntime), NAME.safetensors or NAME.pth
example  python export_model.py --checkpoint magface_epoch_00025.pth --output_file magface.onnx

ONNX and safetensors record the input convention; gen_features.py --resume reads them back.
"""

from __future__ import annotations

import argparse

from magface_al.command import cli
from magface_al.command.outputs import OutputPath
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.models.backbone import FAMILIES
from magface_al.models.export_layouts import DEFAULT, EXPORT_LAYOUTS


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    target = "file to write; the suffix says what"
    files.add_argument("--output_file", type=OutputPath, required=True, metavar="OUT", help=target)
    keys = f"whose keys and BatchNorm eps .pth and .safetensors get (default: {DEFAULT})"
    files.add_argument("--layout", choices=EXPORT_LAYOUTS, help=keys)
    model_flags.add_checkpoint_options(parser)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.models.checkpoint import load_backbone
    from magface_al.models.export import export_model

    run.path = args.output_file.with_name(args.output_file.name + ".json")
    backbone = load_backbone(args.checkpoint, args.arch, args.preprocessing, trainable=True)
    backbone.own_preprocessing = backbone.preprocessing  # what --preprocessing says is recorded
    run.input(args.checkpoint, backbone.describe(), backbone.file_sha256)
    run.facts |= backbone.origin()
    run.output(args.output_file, export_model(backbone, args.output_file, args.layout))
    preset, name = backbone.preprocessing.name(), args.layout or DEFAULT
    layout = EXPORT_LAYOUTS[name]
    bare, native = layout.bare and args.output_file.suffix == ".pth", FAMILIES[layout.family].preprocessing
    if args.output_file.suffix != ".onnx" and preset != native:
        run.note(
            f"{name}'s own programs read images as {native}, and these weights want {preset}"
            + ("; the file has no place to say so: give --preprocessing wherever it is used" if bare else "")
        )
    files = ["--inf_list", "faces.list", "--feat_list", "features.npy", "--resume", args.output_file]
    run.suggest("python", "gen_features.py", *files, *(["--preprocessing", preset] if bare else []))


if __name__ == "__main__":
    cli.run(build_parser(), main)
