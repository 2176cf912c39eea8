"""Change face sets from one form into another: RecordIO, .bin, folders, lists; merge and compound training lists.

reads    rec2folder: train.rec; bin2folder: a .bin verification set; folder2list: identity folders; the others: lists
writes   folders with images byte for byte, training lists (`path 0 id 0`), pair lists (`a b 1`), maps of labels
example  python prepare_data.py rec2folder --rec faces_webface_112x112/train.rec --output_dir webface

A killed run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from magface_al.command import cli
from magface_al.command.run import Run

if TYPE_CHECKING:
    from magface_al.faces.train_list import Counts


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, sentence: str) -> argparse.ArgumentParser:
        return cli.add_command(commands, name, sentence)

    one = command("rec2folder", "RecordIO -> LABEL/KEY.jpg, train.list and labels.tsv")
    one.add_argument("--rec", type=Path, required=True, help="train.rec; its .idx is used if it is there")
    one.add_argument("--output_dir", type=Path, required=True, help="new folder")
    one = command("bin2folder", ".bin verification set -> images/, pair.list and img.list")
    one.add_argument("--bin", type=Path, required=True, help="lfw.bin, agedb_30.bin, ...")
    one.add_argument("--output_dir", type=Path, required=True, help="new folder")
    one = command("folder2list", "identity folders -> a training list and its map of labels")
    one.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="one folder a person")
    one.add_argument(
        "--label_map",
        type=Path,
        help="labels to use, `label<TAB>folder` a line (default: DIR/labels.tsv if it is there)",
    )
    one.add_argument("--output_list", type=Path, required=True, help="list to write")
    one = command("merge_lists", "lists of one kind whose labels mean the same people -> one list, each entry once")
    one.add_argument("--lists", type=Path, nargs="+", required=True, help="image, training or pair lists")
    one.add_argument("--output_list", type=Path, required=True, help="list to write")
    one = command("compound", "training sets with people of their own -> one list, their labels shifted apart")
    one.add_argument(
        "--sources", type=Path, nargs="+", required=True, help="training lists and folders of identity folders"
    )
    one.add_argument("--output_list", type=Path, required=True, help="list to write")
    one = command("list2rec", "a training list -> train.rec, train.idx and property")
    one.add_argument("--train_list", type=Path, required=True, help="training list")
    one.add_argument("--output_dir", type=Path, required=True, help="folder to write")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    COMMANDS[args.command](args, run)


def rec2folder(args: argparse.Namespace, run: Run) -> None:
    from tqdm import tqdm

    from magface_al.conversion.unpack import rec_to_folder

    with tqdm(unit="image", desc="unpacking") as progress:
        counts, kept = rec_to_folder(args.rec, args.output_dir, progress.update)
    print(f"read {args.rec}")
    run.path = args.output_dir / "manifest.json"
    wrote_list(run, args.output_dir / "train.list", counts)
    resumed(run, kept)
    run.suggest(f"python prepare_data.py folder2list --dataset {args.output_dir} --output_list train.list")


def bin2folder(args: argparse.Namespace, run: Run) -> None:
    from magface_al.conversion.unpack import bin_to_folder
    from magface_al.pairs.pair_file import describe

    pair_file, kept = bin_to_folder(args.bin, args.output_dir)
    run.input(args.bin, describe(pair_file.pairs))
    run.path = args.output_dir / "manifest.json"
    run.facts["pairs"] = len(pair_file.pairs)
    run.output(args.output_dir, f"{len(pair_file.held)} images, pair.list, img.list")
    resumed(run, kept)


def folder2list(args: argparse.Namespace, run: Run) -> None:
    from magface_al.faces.train_list import folder_entries, folder_labels, write_labels, write_train_list

    labels = folder_labels(args.dataset, args.label_map)
    print(f"read {len(labels)} folders in {args.dataset}")
    counts = write_train_list(args.output_list, folder_entries(args.dataset, labels))
    wrote_list(run, args.output_list, counts)
    write_labels(beside(args.output_list, ".labels.tsv"), labels)
    run.output(beside(args.output_list, ".labels.tsv"), f"{len(labels)} labels and the folders they stand for")
    run.path = beside(args.output_list, ".json")


def merge_lists(args: argparse.Namespace, run: Run) -> None:
    from magface_al.conversion.joined_lists import merge_lists

    written, repeated = merge_lists(args.lists, args.output_list)
    for path in args.lists:
        run.input(path, "a list")
    run.path = beside(args.output_list, ".json")
    run.facts |= {"entries": written, "repeated": repeated}
    run.output(args.output_list, f"{written} entries of {len(args.lists)} lists")
    if repeated:
        run.note(f"{repeated} entries stood in the lists more than once and were written once")


def compound(args: argparse.Namespace, run: Run) -> None:
    from magface_al.conversion.joined_lists import compound_entries, compound_labels, plan_sources
    from magface_al.faces.train_list import write_labels, write_train_list

    sources = plan_sources(args.sources)
    for source in sources:
        run.input(source.path, f"{source.images} images of {len(source.names)} people, labels from {source.offset} on,")
    counts = write_train_list(args.output_list, compound_entries(sources))
    wrote_list(run, args.output_list, counts)
    write_labels(beside(args.output_list, ".labels.tsv"), compound_labels(sources))
    run.output(beside(args.output_list, ".labels.tsv"), "every label, its source and its name there")
    run.path = beside(args.output_list, ".json")
    run.facts["sources"] = [
        {"path": str(source.path), "offset": source.offset, "classes": source.classes, "images": source.images}
        for source in sources
    ]
    run.note("nothing shows whether two sources have a person in common: such a person now has two labels")


def list2rec(args: argparse.Namespace, run: Run) -> None:
    from tqdm import tqdm

    from magface_al.conversion.record_writer import list_to_rec

    with tqdm(unit="image", desc="packing") as progress:
        counts, kept = list_to_rec(args.train_list, args.output_dir, progress.update)
    run.input(args.train_list, f"{counts.images} images")
    run.path = args.output_dir / "manifest.json"
    wrote_list(run, args.output_dir / "train.rec", counts)
    resumed(run, kept)


COMMANDS = {
    "rec2folder": rec2folder,
    "bin2folder": bin2folder,
    "folder2list": folder2list,
    "merge_lists": merge_lists,
    "compound": compound,
    "list2rec": list2rec,
}


def beside(path: Path, suffix: str) -> Path:
    """A file that belongs to a list."""
    return path.with_name(path.name + suffix)


def wrote_list(run: Run, path: Path, counts: Counts) -> None:
    run.facts |= {"images": counts.images, "classes": counts.classes, "last_label": counts.last_label}
    run.output(path, f"{counts.images} images of {counts.classes} people")
    if counts.classes <= counts.last_label:
        run.note(
            f"{path}: {counts.last_label + 1 - counts.classes} labels up to {counts.last_label} have no images; "
            f"a classifier needs {counts.last_label + 1} outputs"
        )


def resumed(run: Run, kept: int) -> None:
    run.facts["kept_from_an_earlier_run"] = kept
    if kept:
        run.note(f"{kept} images were there from an earlier run and were kept")


if __name__ == "__main__":
    cli.run(build_parser(), main)
