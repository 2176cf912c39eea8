"""How far each stage goes: seconds and memory at the sizes that docs/limits.md states, on drawn features and pairs.

example  python benchmarks/limits.py --stages label_pairs visualize_errors

Without --stages all of them run, one after the other; that takes hours, and 25 GB of disk for the largest store.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench_choosing import SHOTS, draw
from timing import heading, watched

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.faces.drawn.people import draw_people

WEIGHTS = ROOT / "assets" / "demo_magface.pth"
Words = list[object]


class Sizes:
    """What the stages are given; files are made when the first stage asks for them."""

    def __init__(self, folder: Path, pairs: int, lines: int, images: int, vectors: int) -> None:
        self.folder, self.pair_count, self.lines, self.images, self.vectors = folder, pairs, lines, images, vectors

    def pairs(self, *, answered: bool, images: int = 20_000) -> Path:
        """Pairs of drawn people, every fourth of one person, as choose_pairs.py writes them; their images are there."""
        path = self.folder / f"{'answered' if answered else 'pairs'}_{images}.json"
        if path.exists():
            return path
        self._faces(images)
        rng = np.random.default_rng(1)
        first = rng.integers(images, size=self.pair_count)
        near, far = rng.integers(1, SHOTS, self.pair_count), rng.integers(1, images, self.pair_count)
        person = first // SHOTS
        second = np.where(
            rng.random(self.pair_count) < 0.25, person * SHOTS + (first + near) % SHOTS, (first + far) % images
        )
        similarity = rng.uniform(-0.2, 0.8, self.pair_count).round(6)
        with path.open("w", encoding="utf-8") as file:
            file.write('{"pairs": [\n')
            for row, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
                entry = {"image1": _name(i), "image2": _name(j), "label": int(i // SHOTS == j // SHOTS) if answered else None,
                         "similarity": float(similarity[row]), "strategy": "random",
                         "identity1": str(i // SHOTS), "identity2": str(j // SHOTS)}  # fmt: skip
                file.write(("" if row == 0 else ",\n") + json.dumps(entry))
            file.write("\n]}\n")
        return path

    def store(self, images: int = 20_000, suffix: str = ".npy") -> Path:
        """A feature store of so many faces."""
        path = self.folder / f"features_{images}{suffix}"
        if not path.exists():
            draw(path, images)
        return path

    def list_of_images(self, ids: bool = False) -> Path:
        """An image list, or with ids a training list, of as many lines as wanted."""
        path = self.folder / ("train.list" if ids else "images.list")
        if not path.exists():
            ends = "{name} 0 {person} 0\n" if ids else "{name}\n"
            with path.open("w", encoding="utf-8") as file:
                file.writelines(ends.format(name=_name(k), person=k // SHOTS) for k in range(self.lines))
        return path

    def _faces(self, images: int) -> None:
        """Links to a few drawn faces, because only their number matters here."""
        if (self.folder / _name(images - 1)).exists():
            return
        drawn = [cv2.imencode(".png", face)[1].tobytes() for _, _, face in draw_people(2, SHOTS, seed=1)]
        for row in range(images):
            path = self.folder / _name(row)
            path.parent.mkdir(exist_ok=True)
            if row < len(drawn):
                path.write_bytes(drawn[row])
            elif not path.exists():
                os.link(self.folder / _name(row % len(drawn)), path)


def _name(row: int) -> str:
    return f"{row // SHOTS}/{row % SHOTS}.jpg"


def _out(sizes: Sizes, name: str) -> Path:
    return sizes.folder / "out" / name


def _label(sizes: Sizes, *flags: object) -> Words:
    out = _out(sizes, "feedback.json")
    return [
        "label_pairs.py",
        "--pairs_file",
        sizes.pairs(answered=False),
        "--feedback_file",
        out,
        "--export_only",
        *flags,
    ]


def _label_again(sizes: Sizes) -> Words:
    """All answers come out of an earlier feedback file, because the database is gone."""
    out = _out(sizes, "taken_up.json")
    out.parent.mkdir(exist_ok=True)
    out.write_bytes(sizes.pairs(answered=True).read_bytes())
    return ["label_pairs.py", "--pairs_file", sizes.pairs(answered=False), "--feedback_file", out, "--export_only"]


def _errors(sizes: Sizes) -> Words:
    files = ["--feedback_file", sizes.pairs(answered=True), "--features_list", sizes.store()]
    return ["visualize_errors.py", *files, "--max_fp", 20, "--max_fn", 20, "--output_dir", _out(sizes, "errors")]


def _choose(sizes: Sizes) -> Words:
    files = ["--features_list", sizes.store(), "--answered", sizes.pairs(answered=True)]
    return ["choose_pairs.py", *files, "--output_file", _out(sizes, "ask.json"), "--force_cpu"]


def _evaluate(script: str, flag: str) -> Callable[[Sizes], Words]:
    return lambda sizes: [script, flag, sizes.pairs(answered=True), "--features_list", sizes.store(),
                          "--output_dir", _out(sizes, Path(script).stem)]  # fmt: skip


def _before_after(sizes: Sizes) -> Words:
    files = [
        "--checkpoint",
        WEIGHTS,
        "--finetuned",
        WEIGHTS,
        "--feedback_file",
        sizes.pairs(answered=True, images=2000),
    ]
    return ["evaluate_finetuned_model.py", *files, "--output_dir", _out(sizes, "evaluation"), "--force_cpu"]


def _finetune(sizes: Sizes) -> Words:
    files = ["--checkpoint", WEIGHTS, "--feedback_file", sizes.pairs(answered=True, images=2000)]
    how = ["--trainable", "head", "--epochs", 1, "--batch_size", 512, "--force_cpu"]
    return ["finetune_on_feedback.py", *files, *how, "--output_dir", _out(sizes, "tuned")]


def _mine(images: Callable[[Sizes], int], *flags: object) -> Callable[[Sizes], Words]:
    return lambda sizes: ["build_hard_pairs.py", "--features_list", sizes.store(images(sizes)), "--output_file",
                          _out(sizes, "hard.json"), *flags]  # fmt: skip


STAGES: dict[str, tuple[str, Callable[[Sizes], Words]]] = {
    "label_pairs": ("pairs opened and exported", _label),
    "label_pairs_again": ("answers taken up and exported", _label_again),
    "choose_pairs": ("pairs asked before", _choose),
    "visualize_errors": ("pairs", _errors),
    "evaluate_quality": ("pairs", _evaluate("evaluate_quality.py", "--feedback_file")),
    "evaluate_recognition": ("pairs", _evaluate("evaluate_recognition.py", "--set")),
    "evaluate_finetuned_model": ("pairs of 2,000 faces", _before_after),
    "finetune_on_feedback": ("pairs of 2,000 faces, the head, one epoch", _finetune),
    "merge_lists": ("lines", lambda sizes: ["prepare_data.py", "merge_lists", "--lists", sizes.list_of_images(),
                                            "--output_list", _out(sizes, "merged.list")]),
    "compound": ("lines", lambda sizes: ["prepare_data.py", "compound", "--sources", sizes.list_of_images(ids=True),
                                         "--output_list", _out(sizes, "compound.list")]),
    "build_hard_pairs": ("embeddings, exact", _mine(lambda sizes: sizes.images)),
    "choose_pairs_of_many": ("embeddings", lambda sizes: ["choose_pairs.py", "--features_list", sizes.store(sizes.images),
                                                          "--output_file", _out(sizes, "ask.json")]),
    "large_store": ("embeddings, random candidates", _mine(lambda sizes: sizes.vectors, "--strategy", "sampled")),
}  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument(
        "--stages", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE", help="of the table"
    )
    parser.add_argument("--pairs", type=numbers.positive_int, default=1_000_000, help="pairs")
    parser.add_argument("--lines", type=numbers.positive_int, default=1_000_000, help="lines of a list")
    parser.add_argument("--images", type=numbers.positive_int, default=150_000, help="embeddings to search exactly")
    parser.add_argument(
        "--vectors", type=numbers.positive_int, default=5_000_000, help="embeddings of the largest store"
    )
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    heading()
    print("\n| stage | of what | seconds | GiB resident | without mapped files |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        sizes = Sizes(Path(scratch), args.pairs, args.lines, args.images, args.vectors)
        counts = {"pairs": args.pairs, "answers": args.pairs, "lines": args.lines}
        for name in args.stages:
            what, command = STAGES[name]
            many = args.vectors if name == "large_store" else counts.get(what.split()[0], args.images)
            script, *flags = command(sizes)
            seconds, resident, own = watched([sys.executable, str(ROOT / str(script)), *map(str, flags)], quiet=True)
            print(f"| {name} | {many:,} {what} | {seconds:.1f} | {resident:.2f} | {own:.2f} |", flush=True)


if __name__ == "__main__":
    cli.run(build_parser(), main)
