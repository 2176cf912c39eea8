"""The labeller on drawn people who do not exist: draws them, picks unanswered pairs, opens the page.

The pairs are those that the demo model finds hard. Answer some, end with Ctrl-C, and run the command that it prints.

example  python tools/demo_label.py --output_dir demo
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from magface_al.command import cli, numbers
from magface_al.command.errors import WorkError
from magface_al.command.replacing import write_json
from magface_al.command.run import Run

MODEL = ROOT / "assets" / "demo_magface.pth"


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--output_dir", type=Path, default=Path("demo"), help="folder for everything written")
    parser.add_argument("--domain", default="cctv", help="camera that sees the people")
    parser.add_argument("--people", type=numbers.positive_int, default=40, help="how many to draw, six images of each")
    parser.add_argument("--pairs", type=numbers.positive_int, default=200, help="questions, half of each kind")
    parser.add_argument("--port", type=numbers.non_negative_int, default=8000, help="0 takes a free one")
    parser.add_argument("--no_browser", action="store_true", help="print the address and leave opening it to you")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    args.output_dir.mkdir(parents=True, exist_ok=True)
    folder = args.output_dir.resolve()

    def stage(script: str, *flags: object) -> None:
        print(f"\n$ python {script} {' '.join(map(str, flags))}", flush=True)
        subprocess.run([sys.executable, ROOT / script, *map(str, flags)], cwd=folder, check=True)

    try:
        if not (folder / "to_label.json").exists():  # a second run goes on with the same pairs
            stage("create_test_feedback.py", "--synthetic", "--domain", args.domain, "--num_identities", args.people,
                  "--images_per_identity", 6, "--output_dir", "people")  # fmt: skip
            stage("gen_features.py", "--inf_list", "people/images.list", "--feat_list", "people.npy", "--resume", MODEL)
            stage("build_hard_pairs.py", "--features_list", "people.npy", "--output_file", "known.json", "--strategy", "sampled",
                  "--candidate_mult", 2, "--pos_target", args.pairs // 2, "--neg_target", args.pairs // 2)  # fmt: skip
            take_answers_away(folder / "known.json", folder / "to_label.json")
    except subprocess.CalledProcessError as error:
        script = Path(error.cmd[1]).name
        raise WorkError(f"{script} ended with exit code {error.returncode}; its message stands above") from None
    flags = ["--pairs_file", "to_label.json", "--feedback_file", "answers.json", "--checkpoint", str(MODEL)]
    flags += ["--port", str(args.port), *([] if args.no_browser else ["--open_browser"])]
    print(f"\n$ cd {folder}; python label_pairs.py {' '.join(flags)}", flush=True)
    os.chdir(folder)
    command = [sys.executable, str(ROOT / "label_pairs.py"), *flags]
    os.execv(command[0], command)  # so that Ctrl-C is the labeller's alone


def take_answers_away(known: Path, target: Path) -> None:
    """The same pairs as a person gets them: without labels and names. What chose them stays."""
    content = json.loads(known.read_text(encoding="utf-8"))
    kept = ("image1", "image2", "similarity", "strategy")
    pairs = [{**{key: pair[key] for key in kept}, "label": None} for pair in content["pairs"]]
    write_json(target, {"pairs": pairs, "root": content["root"]})


if __name__ == "__main__":
    cli.run(build_parser(), main)
