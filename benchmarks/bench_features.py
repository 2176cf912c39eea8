"""Feature stores and extraction against a plain reference: values written and read one by one, images embedded in one loop.

example  python benchmarks/bench_features.py --rows 10000 --images 128
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from timing import header, heading, row, seconds

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding.embedder import Embedder
from magface_al.embedding.extraction import embed_list
from magface_al.embedding.store import read_features
from magface_al.embedding.store_writer import FeatureWriter
from magface_al.faces.drawn.people import draw_people
from magface_al.faces.preprocess import PRESETS
from magface_al.metrics.cosine import unit
from magface_al.models.backbones import build_backbone
from magface_al.models.device import pick_device


def plain_write(path: Path, names: list[str], embeddings: np.ndarray) -> None:
    """The documented recipe: each value formatted and written on its own."""
    with path.open("w") as file:
        for name, embedding in zip(names, embeddings, strict=True):
            file.write(f"{name} ")
            for value in embedding:
                file.write(f"{value} ")
            file.write("\n")


def plain_read(path: Path) -> np.ndarray:
    """The documented recipe: `list(map(float, ...))` a line."""
    with path.open() as file:
        return np.array([list(map(float, line.split()[1:])) for line in file], np.float32)


@torch.no_grad()
def plain_extract(model: torch.nn.Module, paths: list[Path], target: Path, device: torch.device, batch: int) -> None:
    """Decode image by image, embed a batch, write value by value; nothing overlaps."""
    names, rows = [], []
    for start in range(0, len(paths), batch):
        chunk = paths[start : start + batch]
        faces = [torch.from_numpy(cv2.imread(str(path)).transpose(2, 0, 1).astype(np.float32) / 255) for path in chunk]
        rows.append(model(torch.stack(faces).to(device)).cpu().numpy())
        names += [str(path) for path in chunk]
    plain_write(target, names, np.concatenate(rows))


def our_write(path: Path, names: list[str], embeddings: np.ndarray) -> None:
    """A whole store, as gen_features.py writes it, 128 rows at a time."""
    writer = FeatureWriter(path, {}, resume=False)
    for start in range(0, len(names), 128):
        writer.append(names[start : start + 128], embeddings[start : start + 128], [])
    writer.finish({"script": "bench_features.py"})


def our_extract(embedder: Embedder, paths: list[Path], target: Path, batch: int) -> None:
    """As gen_features.py does it."""
    writer = FeatureWriter(target, {}, resume=False)
    embed_list([(str(path), path) for path in paths], embedder, writer, batch, workers=2)
    writer.finish({"script": "bench_features.py"})


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument(
        "--rows", type=numbers.positive_int, default=10_000, help="embeddings of 512 values in the store"
    )
    parser.add_argument("--images", type=numbers.positive_int, default=128, help="faces to embed")
    parser.add_argument(
        "--arch", choices=["iresnet18", "iresnet50", "iresnet100"], default="iresnet100", help="backbone"
    )
    parser.add_argument("--batch_size", type=numbers.positive_int, default=128, help="images a step")
    parser.add_argument("--force_cpu", action="store_true", help="no GPU")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    heading()
    header()
    with tempfile.TemporaryDirectory() as folder:
        stores(Path(folder), args.rows)
        extraction(Path(folder), args.images, args.arch, args.batch_size, pick_device("auto", args.force_cpu))


def stores(folder: Path, count: int) -> None:
    embeddings = np.random.default_rng(0).normal(size=(count, 512)).astype(np.float32)
    names = [f"people/person_{k // 10}/{k}.jpg" for k in range(count)]
    plain, text, binary = folder / "plain.list", folder / "ours.list", folder / "ours.npy"
    written = seconds(lambda: plain_write(plain, names, embeddings), 1)
    row("write, binary", written, seconds(lambda: our_write(binary, names, embeddings)), ">= 100x")
    row("write, text", written, seconds(lambda: our_write(text, names, embeddings)), ">= 5x")
    row("read, text", seconds(lambda: plain_read(text), 1), seconds(lambda: read_features(text)), ">= 4x")
    for path in (text, binary):
        assert np.array_equal(read_features(path).embeddings, embeddings)


def extraction(folder: Path, images: int, arch: str, batch_size: int, device: torch.device) -> None:
    paths = []
    for person, image, face in islice(draw_people(images, 8, seed=0), images):
        paths.append(folder / f"{person}_{image}.jpg")
        cv2.imwrite(str(paths[-1]), face)
    torch.manual_seed(0)
    model = build_backbone(arch).eval().to(device)
    # The plain loop comes first: the project's networks change how this process keeps its memory.
    plain = seconds(lambda: plain_extract(model, paths, folder / "p.list", device, batch_size), 2)
    embedder = Embedder(model.to(memory_format=torch.channels_last), PRESETS["magface"], device)
    ours = seconds(lambda: our_extract(embedder, paths, folder / "o.list", batch_size), 2)
    row(f"embed {len(paths)} faces, {arch}, {device}", plain, ours, ">= 1.2x")
    same = np.allclose(
        unit(plain_read(folder / "p.list")), unit(read_features(folder / "o.list").embeddings), atol=1e-3
    )
    print(f"{len(paths) / ours:.1f} images/s; both give {'the same' if same else 'DIFFERENT'} embeddings")


if __name__ == "__main__":
    cli.run(build_parser(), main)
