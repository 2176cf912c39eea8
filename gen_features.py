"""Write one embedding for each face image of a list; its length is the image's quality (magnitude).

reads    --inf_list   a text file, one path of an aligned 112x112 face a line
writes   --feat_list  NAME.list: text, a path and its values a line, or NAME.npy: binary, fast and small at any size
example  python gen_features.py --inf_list faces.list --feat_list features.npy --resume magface_epoch_00025.pth

A killed run is taken up where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from magface_al.command import cli
from magface_al.command.outputs import OutputPath
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.embedding import model_flags


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--inf_list", type=Path, required=True, metavar="LIST", help="image list, one path a line")
    files.add_argument(
        "--feat_list",
        type=OutputPath,
        required=True,
        metavar="OUT",
        help="feature store to write; the suffix .npy makes it binary, anything else text",
    )
    files.add_argument("--root", type=Path, default=Path(), help="folder that relative paths of the list start from")
    files.add_argument(
        "--allow_failures", action="store_true", help="end with exit code 0 although some images could not be read"
    )
    files.add_argument("--overwrite", action="store_true", help="begin anew instead of taking up an interrupted run")
    model_flags.add_flip_option(files)
    model_flags.add_checkpoint_options(parser)
    cli.add_device_options(parser, batch_size=model_flags.ModelChoice.batch_size)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from tqdm import tqdm

    from magface_al.command.errors import WorkError
    from magface_al.embedding.embedder import open_embedder, resized_note
    from magface_al.embedding.extraction import embed_list, made_from
    from magface_al.embedding.store import is_binary
    from magface_al.embedding.store_writer import FeatureWriter
    from magface_al.faces.image_list import read_image_list
    from magface_al.models.device import device_name

    images = read_image_list(args.inf_list, args.root, allow_spaces=is_binary(args.feat_list))
    run.input(args.inf_list, counted(images.count, "image path"))
    backbone, embedder = open_embedder(model_flags.model_choice(vars(args)))
    run.input(args.checkpoint, backbone.describe(), backbone.file_sha256)
    run.facts |= {"device": device_name(embedder.device), "flip": embedder.flip}

    work = made_from(run.inputs[str(args.inf_list)], args.root, backbone, embedder.flip)
    with FeatureWriter(args.feat_list, work, resume=not args.overwrite) as writer:
        if writer.consumed:
            run.note(
                f"taking up an interrupted run after {writer.consumed} of {counted(images.count, 'image')}; --overwrite begins anew"
            )
        with tqdm(total=images.count, initial=writer.consumed, unit="image", desc="embedding") as progress:
            resized = embed_list(images, embedder, writer, args.batch_size, args.workers, progress.update)
        if writer.rows == 0:
            raise WorkError(
                f"{args.inf_list}: none of its {counted(images.count, 'image')} could be read; the reasons are in {writer.keep_failures()}"
            )
        magnitude = writer.magnitude_summary()
        run.facts |= {
            "rows": writer.rows,
            "dimensions": writer.dimensions,
            "failed": writer.failed,
            "resized": resized,
            "magnitude": magnitude,
            **backbone.origin(),
        }
        writer.finish(run.as_dict())

    run.output(args.feat_list, f"{counted(writer.rows, 'embedding')} of {writer.dimensions} values")
    print("magnitude (quality): min {min:.2f}, median {median:.2f}, max {max:.2f}".format(**magnitude))
    if resized:
        run.note(resized_note(resized, backbone.preprocessing.size))
    run.suggest("python", "build_hard_pairs.py", "--features_list", args.feat_list, "--output_file", "pairs.json")
    if writer.failed:
        message = f"{writer.failed} of {counted(images.count, 'image')} could not be read; listed in {writer.failures_path}, all others were written"
        if not args.allow_failures:
            raise WorkError(f"{message}; --allow_failures accepts that")
        run.note(message)


if __name__ == "__main__":
    cli.run(build_parser(), main)
