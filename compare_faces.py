"""Say how alike two or more face images are: cosine similarity, decision and magnitude (quality) of each.

reads    IMAGE ...      paths of aligned 112x112 faces, two or more
writes   --output_dir   comparison.json (matrix, decisions; also a pairs file), comparison.png (faces on the axes)
example  python compare_faces.py a.jpg b.jpg c.jpg --checkpoint magface_epoch_00025.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputFolder
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.metrics.cosine import THRESHOLD


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="aligned face images, two or more")
    parser.add_argument(
        "--threshold", type=numbers.cosine, default=THRESHOLD, help="cosine above which two are called the same"
    )
    parser.add_argument(
        "--output_dir", type=OutputFolder, default=OutputFolder("comparison"), help="folder for everything written"
    )
    model_flags.add_flip_option(parser)
    model_flags.add_checkpoint_options(parser)
    cli.add_device_options(parser)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.replacing import write_json
    from magface_al.compare import compare_with, require_two
    from magface_al.embedding.embedder import open_embedder, resized_note
    from magface_al.models.device import device_name
    from magface_al.pictures.canvas import save_figure
    from magface_al.pictures.matrix import MOST_SHOWN, face_matrix_figure

    require_two(args.images)
    backbone, embedder = open_embedder(model_flags.model_choice(vars(args)))
    run.input(args.checkpoint, backbone.describe(), backbone.file_sha256)
    run.facts |= {"device": device_name(embedder.device), **backbone.origin()}
    matrix = compare_with(embedder, args.images, args.threshold)
    run.path = args.output_dir / "manifest.json"
    write_json(args.output_dir / "comparison.json", matrix.to_dict())
    save_figure(face_matrix_figure(matrix), args.output_dir / "comparison.png")

    print(matrix)
    run.output(args.output_dir, "comparison.json, comparison.png")
    if matrix.resized:
        run.note(resized_note(matrix.resized, backbone.preprocessing.size))
    if len(matrix.names) > MOST_SHOWN:
        run.note(
            f"the picture shows the first {MOST_SHOWN} of {len(matrix.names)} images; the table and the JSON have all"
        )


if __name__ == "__main__":
    cli.run(build_parser(), main)
