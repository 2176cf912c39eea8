"""Train the small model of the demo from scratch on drawn people, with MagFace's loss, and write assets/demo_magface.pth.

The people have seed --seed and the clean domain; the printed figures are of 200 other people. Takes about ten minutes
on 2 CPU cores. benchmarks/magnitude_as_quality.py shows what its magnitudes have learnt about the pictures.

example  python tools/pretrain_demo_model.py
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np
from tqdm import tqdm

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputPath
from magface_al.command.run import Run
from magface_al.embedding.embedder import Embedder
from magface_al.faces.drawn.people import draw_people
from magface_al.faces.sources import HeldSource
from magface_al.faces.training_set import TrainingSet
from magface_al.metrics.cosine import THRESHOLD, magnitudes, unit
from magface_al.metrics.roc import Figures
from magface_al.models.checkpoint import new_backbone, save_backbone
from magface_al.models.device import pick_device
from magface_al.training.batches import FaceReader
from magface_al.training.recipe import Augmentation, TrainingRecipe
from magface_al.training.trainer import Trainer

ARCH = "iresnet_tiny"
# For 128 dimensions and a few hundred people: magnitudes from 6 to 20 get margins from 0.2 to 0.5, and lambda_g is above
# the bound that makes larger magnitudes pay off (MagFace.lambda_bound).
RECIPE = TrainingRecipe(
    head="magface", head_options={"l_a": 6.0, "u_a": 20.0, "l_m": 0.2, "u_m": 0.5, "lambda_g": 30.0}, scale=32.0,
    optimizer="adamw", weight_decay=0.05, schedule="cosine", dropout=0.1, augmentation=Augmentation(),
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument(
        "--output_file",
        type=OutputPath,
        default=OutputPath(ROOT / "assets" / "demo_magface.pth"),
        help="checkpoint to write",
    )
    parser.add_argument("--people", type=numbers.positive_int, default=500, help="people to train on")
    parser.add_argument("--images", type=numbers.positive_int, default=14, help="images of each")
    parser.add_argument("--epochs", type=numbers.positive_int, default=8, help="passes over the images")
    parser.add_argument("--batch_size", type=numbers.positive_int, default=64, help="images a step")
    parser.add_argument("--lr", type=numbers.positive_float, default=2e-3, help="highest learning rate of AdamW")
    parser.add_argument("--seed", type=numbers.seed, default=1, help="of the people, the weights and the order")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    start = new_backbone(ARCH, "magface", args.seed)
    recipe = replace(RECIPE, epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, seed=args.seed, warmup_epochs=0.05 * args.epochs)  # fmt: skip
    reader = FaceReader(draw_training_set(args), start.preprocessing.size, recipe.augmentation, args.seed, workers=1, max_bad=0.0)  # fmt: skip
    trainer = Trainer(start.model, start.preprocessing, reader, recipe, pick_device("cpu"))
    for epoch in range(1, args.epochs + 1):
        steps = tqdm(trainer.epoch(epoch), total=trainer.steps, unit="step", desc=f"epoch {epoch}/{args.epochs}")
        for figures in steps:
            steps.set_postfix(loss=f"{figures['loss']:.3f}", magnitude=f"{figures['magnitude']:.2f}", refresh=False)
    embedder = Embedder(trainer.model.eval(), start.preprocessing, trainer.device)
    for domain in ("clean", "cctv"):
        print(f"{domain:>6}, 200 other people: {evaluate(embedder, args.seed + 1000, domain)}")
    save_backbone(
        args.output_file, trainer.model, arch=ARCH, preprocessing=start.preprocessing, epoch=args.epochs, manifest=run.as_dict(),
    )  # fmt: skip
    run.output(args.output_file, "the demo model")


def draw_training_set(args: argparse.Namespace) -> TrainingSet:
    """Every picture drawn once, held as PNG."""
    drawn = tqdm(draw_people(args.people, args.images, args.seed), total=args.people * args.images, desc="drawing")
    numbers, pictures = zip(*((number, cv2.imencode(".png", face)[1].tobytes()) for number, _, face in drawn), strict=True)  # fmt: skip
    return TrainingSet([HeldSource("drawn people", pictures, np.array(numbers))])


def evaluate(embedder: Embedder, seed: int, domain: str) -> str:
    """All-pairs AUC and EER of 200 people whom the model never saw, and the range of the magnitudes."""
    numbers, _, faces = zip(*draw_people(200, 6, seed, domain), strict=True)
    raw = embedder(np.stack(faces))
    i, j = np.triu_indices(len(raw), 1)
    who = np.array(numbers)
    directions = unit(raw)
    figures = Figures((directions @ directions.T)[i, j], who[i] == who[j], THRESHOLD)()
    sizes = magnitudes(raw)
    return f"AUC {figures['auc']:.4f}, EER {figures['eer']:.2%}, magnitude {sizes.min():.1f} .. {np.median(sizes):.1f} .. {sizes.max():.1f}"


if __name__ == "__main__":
    cli.run(build_parser(), main)
