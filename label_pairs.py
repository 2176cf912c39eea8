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
import getpass
import os
import shlex
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from magface_al.command import cli, numbers
from magface_al.command.run import Run

if TYPE_CHECKING:
    from magface_al.labelling.labeller import Labeller
    from magface_al.pairs.pair_file import PairFile


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--pairs_file", type=Path, required=True, metavar="PAIRS.json", help="pairs to ask about")
    files.add_argument(
        "--feedback_file", type=Path, required=True, metavar="FEEDBACK.json", help="pairs with their answers"
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
        "--csv_file", type=Path, metavar="CSV", help="where exports write CSV (default: beside FEEDBACK)"
    )
    asking = parser.add_argument_group("asking")
    asking.add_argument("--annotator", metavar="NAME", help="who answers; without it each browser asks once")
    asking.add_argument(
        "--overlap", type=numbers.positive_int, default=1, metavar="K", help="people who are asked about each pair"
    )
    asking.add_argument(
        "--gold_share", type=numbers.interval("[0, 1)"), default=0.05, help="share of gold among the questions"
    )
    asking.add_argument(
        "--infer", action="store_true", help="fill in what follows from other answers, marked, instead of asking it"
    )
    asking.add_argument("--relabel", action="store_true", help="ask also about pairs that have a label already")
    asking.add_argument(
        "--checkpoint", type=Path, default=Path("magface_epoch_00025.pth"), metavar="CKPT",
        help="weights named in the next command that the page shows",
    )  # fmt: skip
    server = parser.add_argument_group("server")
    server.add_argument("--port", type=numbers.non_negative_int, default=8000, help="0 takes a free one")
    server.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others than loopback are unencrypted"
    )
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
    from magface_al.command.errors import UserError
    from magface_al.pairs.pair_file import describe, read_pairs

    if args.feedback_file.resolve() == args.pairs_file.resolve():
        raise UserError(f"{args.feedback_file}: is also the --pairs_file, expected another file for the answers")
    pair_file = read_pairs(args.pairs_file)
    run.input(args.pairs_file, describe(pair_file.pairs))
    gold_file = read_pairs(args.gold).labelled() if args.gold else None
    if gold_file:
        run.input(args.gold, f"gold: {describe(gold_file.pairs)}")
    run.path = args.feedback_file.with_suffix(".manifest.json")
    if not args.export_only:
        require_server()
    labeller, secret, store_id = open_labeller(args, pair_file, gold_file, run)
    try:
        if args.export_only:
            export(args, labeller, run)
        else:
            serve(args, labeller, secret, store_id, run)
    finally:
        labeller.close()


def require_server() -> None:
    """Raises UserError where the web server's packages are missing."""
    from magface_al.command.errors import UserError

    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the web page needs the package {error.name}: python -m pip install starlette uvicorn "
            "(or this project with the extra: python -m pip install '.[label]')"
        ) from None


def open_labeller(
    args: argparse.Namespace, pair_file: PairFile, gold_file: PairFile | None, run: Run
) -> tuple[Labeller, str, str]:
    """The labeller on its database, with what was answered elsewhere; the address's secret and the database's own id."""
    from magface_al.command.errors import UserError
    from magface_al.labelling.answer_store import StoredPair, open_store
    from magface_al.labelling.events import pair_id
    from magface_al.labelling.imports import events_of_feedback, events_of_label_studio
    from magface_al.labelling.labeller import Labeller, Settings, folder_of_images
    from magface_al.pairs.pair_file import read_pairs

    path = args.feedback_file.with_suffix(".sqlite")
    is_new = not path.exists()
    args.feedback_file.parent.mkdir(parents=True, exist_ok=True)
    store, aside = open_store(path)
    if aside:
        run.note(f"{path} is corrupt and was moved to {aside}; the answers are taken from the last export")
    try:
        if (is_new or aside) and args.feedback_file.exists():
            earlier = read_pairs(args.feedback_file)
            folder = folder_of_images(earlier)
            store.put_pairs([StoredPair(pair_id(p), p, folder) for p in earlier.pairs])
            store.append(events_of_feedback(earlier, {pair_id(p) for p in pair_file.pairs if p.label is not None}))
            run.input(args.feedback_file, "the answers that it holds")
        settings = Settings(args.overlap, args.gold_share, args.infer, args.relabel)
        labeller = Labeller(pair_file, args.feedback_file, store, settings, gold_file)
        if args.import_label_studio:
            events, unknown = events_of_label_studio(args.import_label_studio, pair_file.pairs)
            labeller.take_in(events)
            run.input(args.import_label_studio, f"{len(events)} answers")
            if unknown:
                run.note(f"{unknown} tasks name no pair of {args.pairs_file} and are left out")
        if labeller.repeated:
            run.note(f"{labeller.repeated} pairs stand more than once in {args.pairs_file} and are asked once")
        if not labeller.asked and not args.export_only:
            raise UserError(f"{args.pairs_file}: all its pairs have labels; --relabel asks about them all the same")
        return labeller, store.secret("token"), store.secret("store")
    except BaseException:
        store.close()
        raise


def export(args: argparse.Namespace, labeller: Labeller, run: Run) -> None:
    """Write the feedback file and the CSV."""
    from magface_al.pairs.pair_file import describe

    path, pairs = labeller.export(csv_path(args))
    run.facts["labelled"] = sum(pair.label is not None for pair in pairs)
    run.output(path, describe(pairs))
    run.output(csv_path(args), "the same as CSV")
    run.suggest(next_command(args))


def serve(args: argparse.Namespace, labeller: Labeller, secret: str, store_id: str, run: Run) -> None:
    """Serve the page until Ctrl-C."""
    from magface_al.labelling.web.api import Site
    from magface_al.labelling.web.security import LOOPBACK
    from magface_al.labelling.web.server import build_app, open_socket
    from magface_al.labelling.web.server import serve as serve_app
    from magface_al.pairs.pair_file import describe

    listener = open_socket(args.host, args.port)
    port = listener.getsockname()[1]
    local = args.host in LOOPBACK
    name = "localhost" if local or args.host in ("0.0.0.0", "::") else args.host
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={secret}"
    allowed = [*args.allowed_host, socket.gethostname()] if not local else args.allowed_host
    site = Site(args.annotator, store_id, [next_command(args)], csv_path(args))
    guard = {"token": secret, "allowed_hosts": allowed, "any_address": not local}
    app = build_app(labeller, site, guard)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        announce(address, port, local, run)
        if args.open_browser:
            open_browser(address, run)
        serve_app(app, listener)
    except KeyboardInterrupt:  # the usual end
        print()
    finally:
        listener.close()
        path, pairs = labeller.export()
    run.output(path, describe(pairs))
    run.suggest(next_command(args))


def announce(address: str, port: int, local: bool, run: Run) -> None:
    """Print what to open, and from where."""
    print(f"\nopen  {address}")
    if local:
        user, machine = getpass.getuser(), socket.gethostname()
        print(f"from another machine, first:  ssh -L {port}:localhost:{port} {user}@{machine}")
    else:
        run.note("the page is served unencrypted to the network; ssh -L to a loopback server is safer")
    print("Ctrl-C ends; every answer is saved when it is given", flush=True)


def open_browser(address: str, run: Run) -> None:
    """Open the page where there is a screen; on a server a text browser would take over the terminal."""
    import webbrowser

    has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if not has_screen or not webbrowser.open(address):
        run.note("no browser was found here; open the address yourself")


def csv_path(args: argparse.Namespace) -> Path:
    return args.csv_file or args.feedback_file.with_suffix(".csv")


def next_command(args: argparse.Namespace) -> str:
    feedback, checkpoint = shlex.quote(str(args.feedback_file)), shlex.quote(str(args.checkpoint))
    return f"python finetune_on_feedback.py --checkpoint {checkpoint} --feedback_file {feedback} --output_dir checkpoints_feedback"


if __name__ == "__main__":
    cli.run(build_parser(), main)
