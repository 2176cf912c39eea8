"""A step of fine-tuning against a plain reference: images decoded in the step, two forward passes, the same loss.

example  python benchmarks/bench_finetune.py --arch iresnet18 --batch_size 16
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from timing import header, heading, row, seconds

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.faces.drawn.people import draw_people
from magface_al.faces.preprocess import PRESETS, decode_image
from magface_al.finetuning import losses
from magface_al.finetuning.answered_pairs import AnsweredPairs, index_pairs
from magface_al.finetuning.recipe import Recipe
from magface_al.finetuning.tuner import FineTuner
from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.backbones import build_backbone
from magface_al.models.device import pick_device
from magface_al.pairs.pair_file import Pair

MARGIN = 0.4


class PlainStep:
    """One step of the documented recipe (with BatchNorm frozen, so that both compute the same): decode, embed, embed, learn."""

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self.model, self.device = model.to(device), device
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def __call__(self, pairs: list[Pair]) -> float:
        first, second = (
            torch.nn.functional.normalize(self.model(self._read([getattr(pair, side) for pair in pairs])))
            for side in ("image1", "image2")
        )
        same = torch.tensor([pair.label == 1 for pair in pairs], device=self.device)
        loss = losses.contrastive_euclidean(first, second, same, MARGIN)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _read(self, names: list[str]) -> torch.Tensor:
        faces = [torch.from_numpy(cv2.imread(name).transpose(2, 0, 1).astype(np.float32) / 255) for name in names]
        return torch.stack(faces).to(self.device)


def draw_pairs(folder: Path, count: int) -> list[Pair]:
    """`count` pairs of drawn faces on disk, half of them same."""
    shots: dict[int, list[str]] = {}
    for person, image, face in draw_people(count, 2, seed=0):
        path = folder / f"{person}_{image}.jpg"
        cv2.imwrite(str(path), face)
        shots.setdefault(person, []).append(str(path))
    half = count // 2
    same = [Pair(*shots[k], 1, {}) for k in range(half)]
    return same + [
        Pair(shots[half + k][0], shots[half + (k + 1) % (count - half)][1], 0, {}) for k in range(count - half)
    ]


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--arch", choices=ARCHITECTURES, default="iresnet18", help="backbone")
    parser.add_argument("--batch_size", type=numbers.positive_int, default=16, help="pairs a step")
    parser.add_argument("--rounds", type=numbers.positive_int, default=3, help="steps timed; the fastest counts")
    parser.add_argument("--force_cpu", action="store_true", help="no GPU")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    heading()
    cuda = torch.cuda.is_available() and not args.force_cpu
    torch.manual_seed(0)
    weights = build_backbone(args.arch).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        pairs = draw_pairs(Path(folder), args.batch_size)
        # The plain step comes first: the project's networks change how this process keeps its memory.
        model = build_backbone(args.arch).eval()
        model.load_state_dict(weights)
        step = PlainStep(model, torch.device("cuda" if cuda else "cpu"))
        losses_plain = [step(pairs)]
        plain = seconds(lambda: step(pairs), args.rounds, step.device)
        tuner, device = our_tuner(args, weights, pairs)
        losses_ours = [next(tuner.epoch(1))]
        ours = seconds(lambda: next(tuner.epoch(1)), args.rounds, device)
    header()
    row(f"one step, {args.batch_size} pairs, {args.arch}, {device}", plain, ours)
    print(f"loss of the first step: plain {losses_plain[0]:.4f}, magface-al {losses_ours[0]:.4f}")


def our_tuner(
    args: argparse.Namespace, weights: dict[str, torch.Tensor], pairs: list[Pair]
) -> tuple[FineTuner, torch.device]:
    """A FineTuner of the same weights whose epoch is one step."""
    device = pick_device("auto", args.force_cpu)
    model = build_backbone(args.arch).eval().to(memory_format=torch.channels_last)
    model.load_state_dict(weights)
    names = sorted({name for pair in pairs for name in (pair.image1, pair.image2)})
    data: AnsweredPairs = index_pairs(pairs, {name: decode_image(Path(name), 112)[0] for name in names})
    recipe = Recipe(loss="contrastive", margin=MARGIN, lr=1e-5, epochs=1, batch_size=args.batch_size, augment=False)
    teacher = np.zeros((len(names), 1), np.float32)  # the contrastive loss has no pull to the original
    return FineTuner(model, PRESETS["magface"], data, teacher, recipe, device), device


if __name__ == "__main__":
    cli.run(build_parser(), main)
