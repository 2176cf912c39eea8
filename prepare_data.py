"""Change face sets from one form into another: RecordIO, .bin, folders, lists; merge and compound training lists.

reads    rec2folder: train.rec; bin2folder: a .bin verification set; folder2list: identity folders; the others: lists
writes   folders with images byte for byte, training lists (`path 0 id 0`), pair lists (`a b 1`), maps of labels
example  python prepare_data.py rec2folder --rec faces_webface_112x112/train.rec --output_dir webface

A killed run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from magface_al.command import cli
from magface_al.command.outputs import OutputFolder, OutputPath
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.conversion import joined_lists
from magface_al.conversion.folder_list import folder_to_list
from magface_al.conversion.record_writer import list_to_rec
from magface_al.conversion.unpack import bin_to_folder, rec_to_folder
from magface_al.faces.class_numbers import property_note
from magface_al.faces.label_map import beside
from magface_al.faces.train_list import Counts
from magface_al.pairs.pair_file import describe


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = cli.add_command(commands, "rec2folder", "RecordIO -> LABEL/KEY.jpg, train.list and labels.tsv")
    one.add_argument("--rec", type=Path, required=True, help="train.rec; its .idx is used if it is there")
    one.add_argument("--output_dir", type=OutputFolder, required=True, help="new folder")
    one = cli.add_command(commands, "bin2folder", ".bin verification set -> images/, pair.list and img.list")
    one.add_argument("--bin", type=Path, required=True, help="lfw.bin, agedb_30.bin, ...")
    one.add_argument("--output_dir", type=OutputFolder, required=True, help="new folder")
    one = cli.add_command(commands, "folder2list", "identity folders -> a training list and its map of labels")
    one.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="one folder a person")
    map_help = "labels to use, `label<TAB>folder` a line (default: DIR/labels.tsv if it is there)"
    one.add_argument("--label_map", type=Path, help=map_help)
    one.add_argument("--output_list", type=OutputPath, required=True, help="list to write")
    one = cli.add_command(
        commands, "merge_lists", "lists of one kind whose labels mean the same people -> one list, each entry once"
    )
    one.add_argument("--lists", type=Path, nargs="+", required=True, help="image, training or pair lists")
    one.add_argument("--output_list", type=OutputPath, required=True, help="list to write")
    one = cli.add_command(
        commands, "compound", "training sets with people of their own -> one list, their labels shifted apart"
    )
    one.add_argument(
        "--sources", type=Path, nargs="+", required=True, help="training lists and folders of identity folders"
    )
    one.add_argument("--output_list", type=OutputPath, required=True, help="list to write")
    one = cli.add_command(commands, "list2rec", "a training list -> train.rec, train.idx and property")
    one.add_argument("--train_list", type=Path, required=True, help="training list")
    one.add_argument("--output_dir", type=OutputFolder, required=True, help="folder to write")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    COMMANDS[args.command](args, run)


def rec2folder(args: argparse.Namespace, run: Run) -> None:
    with progress_bar("unpacking") as progress:
        counts, kept = rec_to_folder(args.rec, args.output_dir, progress.update)
    print(f"read {args.rec}")
    run.path = args.output_dir / "manifest.json"
    say_list(run, args.output_dir / "train.list", counts, property_note(args.rec, counts.last_label))
    say_kept(run, kept)
    run.suggest("python", "train.py", "--data", args.output_dir)


def bin2folder(args: argparse.Namespace, run: Run) -> None:
    pair_file, kept = bin_to_folder(args.bin, args.output_dir)
    run.input(args.bin, describe(pair_file.pairs))
    run.path = args.output_dir / "manifest.json"
    run.facts["pairs"] = len(pair_file.pairs)
    run.output(args.output_dir, f"{counted(len(pair_file.held), 'image')}, pair.list, img.list")
    say_kept(run, kept)


def folder2list(args: argparse.Namespace, run: Run) -> None:
    run.path = args.output_list.with_name(args.output_list.name + ".json")
    labels, counts = folder_to_list(args.dataset, args.output_list, args.label_map)
    print(f"read {counted(len(labels), 'folder')} in {args.dataset}")
    say_list(run, args.output_list, counts)
    run.output(beside(args.output_list), f"{counted(len(labels), 'label')} and the folders they stand for")


def merge_lists(args: argparse.Namespace, run: Run) -> None:
    run.path = args.output_list.with_name(args.output_list.name + ".json")
    written, repeated = joined_lists.merge_lists(args.lists, args.output_list)
    for path in args.lists:
        run.input(path, "a list")
    run.facts |= {"entries": written, "repeated": repeated}
    run.output(args.output_list, f"{counted(written, 'entry', 'entries')} of {counted(len(args.lists), 'list')}")
    if repeated:
        run.note(f"{counted(repeated, 'entry', 'entries')} stood in the lists more than once; each is written once")


def compound(args: argparse.Namespace, run: Run) -> None:
    run.path = args.output_list.with_name(args.output_list.name + ".json")
    parts, counts = joined_lists.compound(args.sources, args.output_list)
    for part in parts:
        holds = f"{counted(part.images, 'image')} of {counted(len(part.names), 'person', 'people')}"
        run.input(part.path, f"{holds}, labels from {part.offset} on,")
    say_list(run, args.output_list, counts)
    run.output(beside(args.output_list), "every label, its source and its name there")
    run.facts["sources"] = [part.to_dict() for part in parts]
    run.note("nothing shows whether two sources have a person in common: such a person now has two labels")


def list2rec(args: argparse.Namespace, run: Run) -> None:
    with progress_bar("packing") as progress:
        counts, kept = list_to_rec(args.train_list, args.output_dir, progress.update)
    run.input(args.train_list, counted(counts.images, "image"))
    run.path = args.output_dir / "manifest.json"
    say_list(run, args.output_dir / "train.rec", counts)
    say_kept(run, kept)


COMMANDS = {work.__name__: work for work in (rec2folder, bin2folder, folder2list, merge_lists, compound, list2rec)}


def progress_bar(what: str) -> Any:
    from tqdm import tqdm  # here, so that --help answers at once

    return tqdm(unit="image", desc=what)


def say_list(run: Run, path: Path, counts: Counts, *notes: str | None) -> None:
    run.facts |= {"images": counts.images, "classes": counts.classes, "last_label": counts.last_label}
    run.output(path, counts.describe())
    for note in filter(None, [counts.gaps() and f"{path}: {counts.gaps()}", *notes]):
        run.note(note)


def say_kept(run: Run, kept: int) -> None:
    run.facts["kept_from_an_earlier_run"] = kept
    if kept:
        run.note(f"{counted(kept, 'image was', 'images were')} there from an earlier run and kept")


if __name__ == "__main__":
    cli.run(build_parser(), main)
