"""One round of questions out of 150,000 images: seconds and memory of choose_pairs.py.

Drawn features of 512 values, ten images a person, as spread as a model's on hard pictures. All pairs together would be
an array of 90 GB.

example  python benchmarks/bench_choosing.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from timing import heading, watched

from magface_al.choosing.wishes import Wishes
from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding.store_writer import FeatureWriter

SHOTS, D = 10, 512
NOISE = 1.1  # of an image, in standard deviations between people: cosines of about 0.45 within a person


def draw(path: Path, images: int) -> None:
    """A feature store, written block by block."""
    rng = np.random.default_rng(0)
    writer = FeatureWriter(path, {}, resume=False)
    for start in range(0, images, 8000):
        count = min(8000, images - start)
        people = rng.normal(size=(-(-count // SHOTS), D)).repeat(SHOTS, axis=0)[:count]
        vectors = people + NOISE * rng.normal(size=(count, D))
        vectors *= (rng.uniform(10, 40, count) / np.linalg.norm(vectors, axis=1))[:, None]
        names = [f"{(start + k) // SHOTS}/{k % SHOTS}.jpg" for k in range(count)]
        writer.append(names, vectors.astype(np.float32), [])
    writer.finish({"script": "a benchmark", "arguments": {"root": "."}})


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--images", type=numbers.positive_int, default=150_000, help="images in the store")
    parser.add_argument("--budget", type=numbers.positive_int, default=Wishes.budget, help="pairs to ask about")
    parser.add_argument("--force_cpu", action="store_true", help="do not use a GPU")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    heading()
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "features.npy"
        draw(store, args.images)
        files = "--features_list", store, "--output_file", Path(scratch) / "ask.json"
        device = ["--force_cpu"] if args.force_cpu else []
        command = [sys.executable, ROOT / "choose_pairs.py", *files, "--budget", args.budget, *device]
        seconds, resident, own = watched(list(map(str, command)))
        print(f"choose_pairs.py: {seconds:.1f} s")
        print(f"at most {resident:.2f} GiB resident, {own:.2f} GiB without mapped files")


if __name__ == "__main__":
    cli.run(build_parser(), main)
