"""Training steps a second against a plain loop, and the memory of a classifier in shards against a whole one.

The plain loop is what MagFace's DataParallel trainer does: float32, images decoded when the step needs them, the margin
computed for every class and picked by a one-hot mask, torch.nn.DataParallel over the GPUs where there are any.

example  python benchmarks/bench_train.py --arch iresnet18 --batch_size 32
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from timing import header, heading, row, seconds
from torch import multiprocessing, nn

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.faces.class_numbers import number_identities
from magface_al.faces.drawn.people import draw_people
from magface_al.faces.preprocess import PRESETS
from magface_al.faces.sources import PathSource
from magface_al.faces.training_set import TrainingSet
from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.backbones import build_backbone
from magface_al.models.device import pick_device
from magface_al.training import distributed
from magface_al.training.batches import FaceReader
from magface_al.training.classifier import Classifier
from magface_al.training.heads import build_head
from magface_al.training.recipe import Augmentation, TrainingRecipe
from magface_al.training.trainer import Trainer, embedding_size

PROCESSES, DIMENSIONS, ROWS = 2, 512, 32


class PlainLoop:
    """The documented trainer, written out: decode, embed, margin for all classes, one-hot, step."""

    def __init__(self, model: nn.Module, weight: torch.Tensor, device: torch.device) -> None:
        self.model = nn.DataParallel(model.to(device)) if device.type == "cuda" else model
        self.weight = nn.Parameter(weight.T.clone().to(device))
        self.device = device
        self.optimizer = torch.optim.SGD([*model.parameters(), self.weight], lr=0.01, momentum=0.9, weight_decay=5e-4)

    def __call__(self, paths: list[Path], labels: list[int]) -> float:
        images = [torch.from_numpy(cv2.imread(str(path)).transpose(2, 0, 1).astype(np.float32) / 255) for path in paths]
        raw, label = self.model(torch.stack(images).to(self.device)), torch.tensor(labels, device=self.device)
        magnitude = raw.norm(dim=1, keepdim=True).clamp(10, 110)
        margin = 0.45 + 0.35 / 100 * (magnitude - 10)
        cosine = (nn.functional.normalize(raw) @ nn.functional.normalize(self.weight, dim=0)).clamp(-1, 1)
        pushed = cosine * margin.cos() - (1 - cosine**2).clamp_min(1e-12).sqrt() * margin.sin()
        pushed = torch.where(cosine > 0, pushed, cosine)
        chosen = nn.functional.one_hot(label, cosine.shape[1])
        logits = 64 * (chosen * pushed + (1 - chosen) * cosine)
        loss = nn.functional.cross_entropy(logits, label) + 35 * (magnitude / 110**2 + 1 / magnitude).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--arch", choices=list(ARCHITECTURES), default="iresnet18", help="backbone")
    parser.add_argument("--batch_size", type=numbers.positive_int, default=32, help="images a step")
    parser.add_argument("--rounds", type=numbers.positive_int, default=3, help="timed steps; the fastest counts")
    parser.add_argument("--classes", type=numbers.positive_int, default=200_000, help="people in the memory comparison")
    parser.add_argument("--force_cpu", action="store_true", help="do not use a GPU")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    heading()
    device = pick_device("auto", args.force_cpu)
    with tempfile.TemporaryDirectory() as folder:
        whole, split = (peak_memory(args.classes, split, Path(folder)) for split in (False, True))
        plain, ours, losses = compare_steps(args.arch, args.batch_size, args.rounds, device, Path(folder))
    header()
    row(f"one step, {args.batch_size} faces, {args.arch}, {device}", plain, ours)
    print(f"{args.batch_size / plain:.1f} images/s plain, {args.batch_size / ours:.1f} images/s magface-al")
    print(f"loss of the first step: plain {losses[0]:.3f}, magface-al {losses[1]:.3f}")
    print(
        f"classifier of {args.classes} people, {PROCESSES} processes: whole {whole:.0f} MiB a process, split {split:.0f} MiB ({whole / split:.2f}x less)"
    )


def compare_steps(
    arch: str, batch_size: int, rounds: int, device: torch.device, folder: Path
) -> tuple[float, float, list[float]]:
    """(plain seconds, our seconds, first losses) of a training step of the same weights on the same faces."""
    paths, labels = [], []
    for person, image, face in draw_people(8, -(-batch_size * (rounds + 2) // 8), seed=1):
        paths.append(folder / f"{person}_{image}.jpg")
        labels.append(person)
        cv2.imwrite(str(paths[-1]), face)
    torch.manual_seed(0)
    weights = build_backbone(arch).state_dict()
    recipe = TrainingRecipe(
        epochs=1, batch_size=batch_size, lr=0.01, dropout=0.0, clip=1e9, augmentation=Augmentation(mirror=0.0)
    )
    source = PathSource(
        "drawn", Path(), [os.fsencode(path) for path in paths], number_identities(np.array(labels), None)
    )
    reader = FaceReader(TrainingSet([source]), 112, recipe.augmentation, recipe.seed, 4, 0.0)

    def model() -> nn.Module:
        fresh = build_backbone(arch).train()
        fresh.load_state_dict(weights)
        for module in fresh.modules():
            if isinstance(module, nn.Dropout2d):
                module.p = 0.0
        return fresh

    # The plain loop comes first: the project's networks change how this process keeps its memory.
    order = np.random.default_rng([recipe.seed, 1]).permutation(len(paths))[:batch_size]
    first = model()
    directions = Classifier(build_head(recipe), embedding_size(first), 8, seed=recipe.seed).weight.detach()
    plain = PlainLoop(first, directions, device)
    batch = [paths[k] for k in order], [labels[k] for k in order]
    losses = [plain(*batch)]
    plain_seconds = seconds(lambda: plain(*batch), rounds, device)
    steps = Trainer(model(), PRESETS["magface"], reader, recipe, device).epoch(1)
    losses.append(next(steps)["loss"])
    return plain_seconds, seconds(lambda: next(steps), rounds, device), losses


def peak_memory(classes: int, split: bool, folder: Path) -> float:
    """MiB that two training steps of a classifier alone add to the larger of two processes."""
    multiprocessing.spawn(_join, (classes, split, folder), nprocs=PROCESSES)
    return max(float((folder / f"{split}_{rank}").read_text()) for rank in range(PROCESSES))


def _join(number: int, classes: int, split: bool, folder: Path) -> None:
    """One process of two, as torchrun would start it."""
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE=str(PROCESSES))
    meeting = f"file://{folder}/meet_{split}"
    distributed.together(lambda device: _classify(number, classes, split, folder), "cpu", True, meeting)


def _classify(number: int, classes: int, split: bool, folder: Path) -> None:
    torch.manual_seed(number)
    raw, label = torch.randn(ROWS, DIMENSIONS) * 2, torch.randint(classes, (ROWS,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    classifier = Classifier(build_head(TrainingRecipe()), DIMENSIONS, classes, seed=1, split=split)
    classify = classifier if split else nn.parallel.DistributedDataParallel(classifier)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1, momentum=0.9)
    for step in range(2):
        optimizer.zero_grad()
        classify(raw.clone().requires_grad_(), label, step)[0].backward()
        optimizer.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (folder / f"{split}_{number}").write_text(str((peak - before) / 1024))


if __name__ == "__main__":
    cli.run(build_parser(), main)
