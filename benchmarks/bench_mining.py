"""The exact search for hard pairs against the bare matrix product, and against the documented random recipe.

example  python benchmarks/bench_mining.py --images 20000
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from timing import header, heading, row, seconds

from magface_al.choosing import mining
from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.metrics.cosine import unit
from magface_al.models.device import pick_device

WANTED, CANDIDATES = 6000, 6  # as in the quick start


def plain_product(directions: torch.Tensor) -> None:
    """Every similarity once, a block of rows at a time, and nothing done with it."""
    for block in directions.split(1024):
        block @ directions.T


def plain_sampled(directions: np.ndarray, person: np.ndarray) -> list[tuple[float, int, int]]:
    """The documented recipe: draw six times as many pairs one by one, compare each, keep the most similar."""
    draw = random.Random(0)
    found = []
    while len(found) < WANTED * CANDIDATES:
        i, j = draw.randrange(len(person)), draw.randrange(len(person))
        if person[i] != person[j]:
            found.append((float(np.dot(directions[i], directions[j])), i, j))
    return sorted(found, reverse=True)[:WANTED]


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--images", type=numbers.positive_int, default=20_000, help="embeddings of 512 values")
    parser.add_argument("--force_cpu", action="store_true", help="no GPU")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    heading()
    device = pick_device("auto", args.force_cpu)
    rng = np.random.default_rng(0)
    person = np.arange(args.images) // 10
    centres = rng.normal(size=(person.max() + 1, 512))
    vectors = unit((centres[person] + rng.normal(size=(args.images, 512))).astype(np.float32))
    directions = torch.from_numpy(vectors).to(device)
    header()
    product = seconds(lambda: plain_product(directions), device=device)
    exact = seconds(lambda: mining.hardest_impostors(directions, person, WANTED), device=device)
    row(f"{WANTED} hardest impostors, exact, {device}", product, exact, ">= 0.5x")
    recipe = seconds(lambda: plain_sampled(vectors, person), 1)
    ours = seconds(lambda: mining.sampled(vectors, person, 0, WANTED, CANDIDATES, np.random.default_rng(0)))
    row(f"{WANTED} of {WANTED * CANDIDATES} random impostors", recipe, ours)
    genuine = seconds(lambda: mining.hardest_genuines(directions, person, WANTED), device=device)
    print(f"hardest genuines, exact: {genuine:.3f} s")
    chosen = mining.hardest_impostors(directions, person, WANTED)[1]
    drawn = mining.sampled(vectors, person, 0, WANTED, CANDIDATES, np.random.default_rng(0))[1][1]
    print(f"median cosine of the impostors: exact {np.median(chosen):.3f}, random {np.median(drawn):.3f}")


if __name__ == "__main__":
    cli.run(build_parser(), main)
