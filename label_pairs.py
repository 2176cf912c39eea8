"""Ask people whether two faces show the same person, on a local web page; nothing that they answer is ever lost.

reads    --pairs_file     pairs JSON; those with label null are asked
writes   --feedback_file  the same pairs with the answers, rewritten whole at every pause and at the end; the answers
         themselves are kept beside it, in FEEDBACK.sqlite, from the moment at which the page calls them saved
example  python label_pairs.py --pairs_file pairs.json --feedback_file feedback.json

Open the printed address. Keys: S same, D different, U unsure, B bad image, K skip, Z undo, H help. Run the same command
again to go on. On another machine, open the printed ssh line first. Needs the extra "label".
"""

from __future__ import annotations

import argparse
from pathlib import Path

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputPath
from magface_al.command.run import Run, command_line
from magface_al.labelling.assignment import Settings
from magface_al.labelling.opening import open_labeller
from magface_al.labelling.web.api import Site
from magface_al.labelling.web.serving import Door, heed, require_packages, serve
from magface_al.pairs.pair_file import describe, read_pairs


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--pairs_file", type=Path, required=True, metavar="PAIRS.json", help="pairs to ask about")
    files.add_argument(
        "--feedback_file", type=OutputPath, required=True, metavar="FEEDBACK.json", help="pairs with their answers"
    )
    files.add_argument(
        "--gold", type=Path, metavar="PAIRS.json", help="labelled pairs mixed in, to measure each annotator's accuracy"
    )
    files.add_argument(
        "--import_label_studio",
        type=Path,
        metavar="JSON",
        help="answers to take in first: a Label Studio export (JSON)",
    )
    files.add_argument(
        "--csv_file", type=OutputPath, metavar="CSV", help="where exports write CSV (default: beside FEEDBACK)"
    )
    asking = parser.add_argument_group("asking")
    asking.add_argument("--annotator", metavar="NAME", help="who answers; without it each browser asks once")
    asking.add_argument(
        "--overlap",
        type=numbers.positive_int,
        default=Settings.overlap,
        metavar="K",
        help="people who are asked about each pair",
    )
    asking.add_argument(
        "--gold_share",
        type=numbers.interval("[0, 1)"),
        default=Settings.gold_share,
        help="share of gold among the questions",
    )
    asking.add_argument(
        "--infer", action="store_true", help="fill in what follows from other answers, marked, instead of asking it"
    )
    asking.add_argument("--relabel", action="store_true", help="ask also about pairs that have a label already")
    asking.add_argument(
        "--checkpoint",
        type=Path,
        default=Path("magface_epoch_00025.pth"),
        metavar="CKPT",
        help="weights named in the next command that the page shows",
    )
    server = parser.add_argument_group("server")
    server.add_argument("--port", type=numbers.non_negative_int, default=Door.port, help="0 takes a free one")
    server.add_argument("--host", default=Door.host, help="address to listen on; others than loopback are unencrypted")
    server.add_argument(
        "--allowed_host",
        action="append",
        default=[],
        metavar="NAME",
        help="further name under which the page may be opened",
    )
    server.add_argument("--open_browser", action="store_true", help="open the page in this machine's browser")
    server.add_argument(
        "--export_only", action="store_true", help="import, write the feedback file and the CSV, and end"
    )
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    pair_file = read_pairs(args.pairs_file)
    run.input(args.pairs_file, describe(pair_file.pairs))
    gold_file = read_pairs(args.gold).labelled() if args.gold else None
    if gold_file:
        run.input(args.gold, f"gold: {describe(gold_file.pairs)}")
    run.path = args.feedback_file.with_suffix(".manifest.json")
    if not args.export_only:
        require_packages()
    settings = Settings(args.overlap, args.gold_share, args.infer, args.relabel)
    finetuning = finetuning_words(args.feedback_file, args.checkpoint)
    ended_by = None
    with open_labeller(
        pair_file, args.feedback_file, settings, gold_file, args.import_label_studio, run.note, args.csv_file
    ) as opened:
        for path, what in opened.taken_in:
            run.input(path, what)
        if args.export_only:
            pairs = opened.labeller.export(opened.csv_path)
            run.facts["labelled"] = sum(pair.label is not None for pair in pairs)
        else:
            door = Door(args.host, args.port, tuple(args.allowed_host), args.open_browser)
            site = Site(args.annotator, opened.store_id, [command_line(*finetuning)], opened.csv_path)
            pairs, ended_by = serve(opened.labeller, site, opened.secret, door, run)
    run.output(args.feedback_file, describe(pairs))
    if args.export_only:
        run.output(opened.csv_path, "the same as CSV")
    run.suggest(*finetuning)
    heed(ended_by, run)


def finetuning_words(feedback_path: Path, checkpoint: Path) -> list[object]:
    """The words of the command that comes next."""
    files = ["--checkpoint", checkpoint, "--feedback_file", feedback_path, "--output_dir", "checkpoints_feedback"]
    return ["python", "finetune_on_feedback.py", *files]


if __name__ == "__main__":
    cli.run(build_parser(), main)
