"""Pretrain the small model of the demo on drawn people, with MagFace's loss, and write assets/demo_magface.pth.

The people have seed --seed and the clean domain; the printed figures are of 200 other people. Takes about ten minutes
 on 2 CPU cores.

example  python tools/pretrain_demo_model.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from tqdm import tqdm  # noqa: E402

from magface_al import cli  # noqa: E402
from magface_al.checkpoint import save_backbone  # noqa: E402
from magface_al.embed import Embedder  # noqa: E402
from magface_al.features import magnitudes, unit  # noqa: E402
from magface_al.finetune import mirrored_at_random, schedule  # noqa: E402
from magface_al.iresnet import build_iresnet  # noqa: E402
from magface_al.manifest import Run  # noqa: E402
from magface_al.metrics import Figures  # noqa: E402
from magface_al.preprocess import PRESETS, to_input  # noqa: E402
from magface_al.runtime import pick_device  # noqa: E402
from magface_al.synthetic import draw_people  # noqa: E402

# MagFace's symbols (Meng et al. 2021, eqs. 3 and 4), for a net of 128 dimensions: magnitudes from L_A to U_A get margins
# from L_M to U_M; LAMBDA_G is above the bound s k u^2 l^2 / (u^2 - l^2) that makes larger magnitudes pay off.
SCALE, L_A, U_A, L_M, U_M, LAMBDA_G = 32.0, 6.0, 20.0, 0.2, 0.5, 30.0


class MagFaceHead(nn.Module):
    """Additive angular margin that grows with the magnitude, plus the regulariser that rewards magnitude."""

    def __init__(self, dimensions: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.functional.normalize(torch.randn(classes, dimensions)))

    def forward(self, raw: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """raw embeddings [B, D], label int64 [B] -> scalar loss."""
        magnitude = raw.norm(dim=1).clamp(L_A, U_A)
        margin = L_M + (U_M - L_M) / (U_A - L_A) * (magnitude - L_A)
        cosine = nn.functional.linear(nn.functional.normalize(raw), nn.functional.normalize(self.weight)).clamp(
            -1 + 1e-6, 1 - 1e-6
        )
        target = cosine.gather(1, label[:, None])[:, 0]
        pushed = target * margin.cos() - (1 - target**2).sqrt() * margin.sin()
        logits = cosine.scatter(1, label[:, None], torch.where(target > 0, pushed, target)[:, None])
        regulariser = (magnitude / U_A**2 + 1 / magnitude).mean()
        return nn.functional.cross_entropy(SCALE * logits, label) + LAMBDA_G * regulariser


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument(
        "--output_file", type=Path, default=ROOT / "assets" / "demo_magface.pth", help="checkpoint to write"
    )
    parser.add_argument("--people", type=cli.positive_int, default=500, help="people to train on")
    parser.add_argument("--images", type=cli.positive_int, default=14, help="images of each")
    parser.add_argument("--epochs", type=cli.positive_int, default=8, help="passes over the images")
    parser.add_argument("--batch_size", type=cli.positive_int, default=64, help="images a step")
    parser.add_argument("--lr", type=cli.positive_float, default=2e-3, help="highest learning rate of AdamW")
    parser.add_argument("--seed", type=int, default=1, help="of the people, the weights and the order")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    pick_device("cpu")
    drawn = tqdm(draw_people(args.people, args.images, args.seed), total=args.people * args.images, desc="drawing")
    numbers, _, faces = zip(*drawn, strict=True)
    model = train(torch.from_numpy(np.stack(faces)), torch.tensor(numbers), args)
    for domain in ("clean", "cctv"):
        print(f"{domain:>6}, 200 other people: {evaluate(model, args.seed + 1000, domain)}")
    save_backbone(
        args.output_file,
        model,
        arch="iresnet_tiny",
        preprocessing=PRESETS["magface"],
        epoch=args.epochs,
        manifest=run.as_dict(),
    )
    run.wrote(args.output_file, "the demo model")


def train(faces: torch.Tensor, labels: torch.Tensor, args: argparse.Namespace) -> nn.Module:
    """Train from scratch on faces uint8 [N, 112, 112, 3] and labels int64 [N]."""
    torch.manual_seed(args.seed)
    model = build_iresnet("iresnet_tiny").train().to(memory_format=torch.channels_last)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.1  # with MagFace's 0.9 the running statistics are those of the last batch
    model.dropout.p = 0.1
    head = MagFaceHead(model.fc.out_features, int(labels.max()) + 1)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.05)
    rng = np.random.default_rng(args.seed)
    steps = len(faces) // args.batch_size * args.epochs
    progress = tqdm(total=steps, desc="training", unit="step")
    for epoch in range(args.epochs):
        for batch in np.array_split(rng.permutation(len(faces)), len(faces) // args.batch_size):
            for group in optimizer.param_groups:
                group["lr"] = args.lr * schedule(progress.n, steps, 0.05)
            images = mirrored_at_random(faces[torch.from_numpy(batch)], rng)
            loss = head(model(to_input(images, PRESETS["magface"])), labels[torch.from_numpy(batch)])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            progress.update()
            progress.set_postfix(epoch=epoch + 1, loss=f"{loss.item():.3f}")
    progress.close()
    return model.eval()


def evaluate(model: nn.Module, seed: int, domain: str) -> str:
    """All-pairs AUC and EER of 200 people whom the model never saw, and the range of the magnitudes."""
    numbers, _, faces = zip(*draw_people(200, 6, seed, domain), strict=True)
    raw = Embedder(model, PRESETS["magface"], torch.device("cpu"))(np.stack(faces))
    i, j = np.triu_indices(len(raw), 1)
    person = np.array(numbers)
    directions = unit(raw)
    figures = Figures((directions @ directions.T)[i, j], person[i] == person[j], 0.4)()
    sizes = magnitudes(raw)
    return f"AUC {figures['auc']:.4f}, EER {figures['eer']:.2%}, magnitude {sizes.min():.1f} .. {np.median(sizes):.1f} .. {sizes.max():.1f}"


if __name__ == "__main__":
    cli.run(build_parser(), main)
