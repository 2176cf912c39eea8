"""Write one embedding for each face image of a list; its length is the image's quality (magnitude).

reads    --inf_list   a text file, one path of an aligned 112x112 face a line
writes   --feat_list  NAME.list: text, a path and its values a line, or NAME.npy: binary, fast and small at any size
example  python gen_features.py --inf_list faces.list --feat_list features.npy --resume magface_epoch_00025.pth

A killed run is taken up where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command import cli
from magface_al.command.run import Run
from magface_al.embedding import model_flags

if TYPE_CHECKING:
    from magface_al.embedding.embedder import Embedder
    from magface_al.embedding.store_writer import FeatureWriter
    from magface_al.faces.image_list import ImageList
    from magface_al.models.backbone import Backbone


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--inf_list", type=Path, required=True, metavar="LIST", help="image list, one path a line")
    files.add_argument(
        "--feat_list",
        type=Path,
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
    cli.add_device_options(parser, batch_size=128)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.errors import WorkError
    from magface_al.embedding.embedder import Embedder
    from magface_al.embedding.store import is_binary
    from magface_al.embedding.store_writer import FeatureWriter
    from magface_al.faces.image_list import read_image_list
    from magface_al.models.checkpoint import load_backbone  # torch: imported here so that --help answers at once
    from magface_al.models.device import device_name, pick_device

    images = read_image_list(args.inf_list, args.root, allow_spaces=is_binary(args.feat_list))
    run.input(args.inf_list, f"{images.count} image paths")
    device = pick_device(args.device, args.force_cpu)
    backbone = load_backbone(args.checkpoint, args.arch, args.preprocessing)
    run.input(args.checkpoint, backbone.describe(), backbone.file_sha256)
    flip = backbone.flip_for(args.flip)
    run.facts |= {"device": device_name(device), "flip": flip}

    writer = FeatureWriter(
        args.feat_list, made_from(run, args.inf_list, backbone, args.root, flip), resume=not args.overwrite
    )
    if writer.consumed:
        run.note(
            f"taking up an interrupted run after {writer.consumed} of {images.count} images; --overwrite begins anew"
        )
    resized = embed_all(
        images,
        Embedder(backbone.model, backbone.preprocessing, device, flip),
        writer,
        args.batch_size,
        args.workers,
    )
    if writer.rows == 0:
        raise WorkError(
            f"{args.inf_list}: none of its {images.count} images could be read; the reasons are in {writer.keep_failures()}"
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

    run.output(args.feat_list, f"{writer.rows} embeddings of {writer.dimensions} values")
    print("magnitude (quality): min {min:.2f}, median {median:.2f}, max {max:.2f}".format(**magnitude))
    if resized:
        run.note(
            f"{resized} images were not {backbone.preprocessing.size} px squares and were resized; unaligned photos give poor embeddings"
        )
    run.suggest(f"python build_hard_pairs.py --features_list {args.feat_list} --output_file pairs.json")
    if writer.failed:
        message = f"{writer.failed} of {images.count} images could not be read; listed in {writer.failures_path}, all others were written"
        if not args.allow_failures:
            raise WorkError(f"{message}; --allow_failures accepts that")
        run.note(message)


def made_from(run: Run, inf_list: Path, backbone: Backbone, root: Path, flip: str) -> dict[str, Any]:
    """What an interrupted run must have in common with this one to be taken up."""
    return {
        "list_sha256": run.inputs[str(inf_list)],
        "root": str(root),
        "weights_sha256": backbone.weights_sha256,
        "preprocessing": backbone.preprocessing.to_dict(),
        "flip": flip,
    }


def embed_all(images: ImageList, embedder: Embedder, writer: FeatureWriter, batch_size: int, workers: int) -> int:
    """Embed what is left of the list and append it to the store, batch by batch. Returns how many images were resized."""
    from itertools import islice

    from tqdm import tqdm

    from magface_al.embedding.embedder import face_batches

    resized = 0
    left = islice(images, writer.consumed, None)
    with tqdm(total=images.count, initial=writer.consumed, unit="image", desc="embedding") as progress:
        for batch in face_batches(left, batch_size, workers, embedder.preprocessing.size):
            writer.append(batch.names, embedder(batch.faces), batch.failures)
            resized += batch.resized
            progress.update(len(batch.names) + len(batch.failures))
    return resized


if __name__ == "__main__":
    cli.run(build_parser(), main)
