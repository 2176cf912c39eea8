"""Answer a pairs file from the folders' names, as a person would who knows everybody: for demos and experiments.

reads    --pairs_file     pairs JSON; those with label null are answered
writes   --feedback_file  the same pairs with label, answer, annotator and labeled_at
example  python tools/oracle.py --pairs_file ask.json --feedback_file feedback.json --noise 0.05
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputPath
from magface_al.command.run import Run
from magface_al.faces.identities import parent_folder
from magface_al.pairs.pair_file import Pair, describe, read_pairs, write_pairs


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--pairs_file", type=Path, required=True, metavar="ASK.json", help="pairs to answer")
    parser.add_argument(
        "--feedback_file", type=OutputPath, required=True, metavar="FEEDBACK.json", help="file to write"
    )
    parser.add_argument("--noise", type=numbers.interval("[0, 1)"), default=0.0, help="probability of a wrong answer")
    parser.add_argument("--seed", type=numbers.seed, default=42, help="of the wrong answers")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    asked = read_pairs(args.pairs_file)
    run.input(args.pairs_file, describe(asked.pairs))
    rng = np.random.default_rng(args.seed)
    pairs = [
        pair if pair.label is not None else answered(pair, bool(rng.random() < args.noise)) for pair in asked.pairs
    ]
    write_pairs(args.feedback_file, pairs, **asked.extra)
    run.output(args.feedback_file, describe(pairs))


def answered(pair: Pair, wrongly: bool) -> Pair:
    """The pair with the truth as the folders have it, or the opposite."""
    same = (parent_folder(pair.image1) == parent_folder(pair.image2)) != wrongly
    now = datetime.now(UTC).isoformat(timespec="seconds")
    said = {"answer": "same" if same else "different", "annotator": "oracle", "labeled_at": now}
    return replace(pair, label=int(same), extra={**pair.extra, **said})


if __name__ == "__main__":
    cli.run(build_parser(), main)
