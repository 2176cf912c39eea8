"""Does the magnitude know how bad a picture is? Nobody tells a network in training; here the camera's fault is known.

Pictures of drawn people are taken by cameras whose one fault grows in six steps. For each fault: Spearman's correlation
of magnitude and severity, within each picture (mean over the pictures) and over all of them together; the mean magnitude
without the fault and at its worst; and the mean cosine to an unspoilt other picture of the same person, which says how
much the fault harms recognition. The magnitude should fall where recognition does.

example  python benchmarks/magnitude_as_quality.py --checkpoint assets/demo_magface.pth
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.embedding.embedder import open_embedder
from magface_al.faces.drawn.cameras import Camera
from magface_al.faces.drawn.face import draw_face
from magface_al.faces.drawn.person import person, shot
from magface_al.metrics.cosine import magnitudes, unit

PERFECT = Camera(side=(112, 112), brightness=(1, 1), noise=(0, 0), blur=(0, 0), quality=(95, 95), grey=0, pitch=0)
STEPS = np.linspace(0, 1, 6)


def between(best: float, worst: float) -> Callable[[float], tuple[Any, Any]]:
    """Severity 0..1 -> a camera's range with that one value; whole numbers stay whole."""
    whole = isinstance(best, int)

    def value(severity: float) -> tuple[Any, Any]:
        found = best + (worst - best) * severity
        return (round(found),) * 2 if whole else (found,) * 2

    return value


FAULTS: dict[str, dict[str, Callable[[float], tuple[Any, Any]]]] = {
    "low resolution, to 8 px": {"side": between(112, 8)},
    "blur, to sigma 8": {"blur": between(0.0, 8.0)},
    "noise, to sigma 40": {"noise": between(0.0, 40.0)},
    "darkness, to 15 %": {"brightness": between(1.0, 0.15)},
    "compression, to JPEG 5": {"quality": between(95, 5)},
    "all five, mildly": {
        "side": between(112, 20),
        "blur": between(0.0, 2.0),
        "noise": between(0.0, 20.0),
        "brightness": between(1.0, 0.5),
        "quality": between(95, 20),
    },
}


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--people", type=numbers.positive_int, default=60, help="drawn people, two pictures each")
    parser.add_argument(
        "--seed", type=numbers.seed, default=1001, help="of the people; the demo model was trained on others"
    )
    model_flags.add_checkpoint_options(parser)
    cli.add_device_options(parser, batch_size=model_flags.ModelChoice.batch_size)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    backbone, embedder = open_embedder(model_flags.model_choice(vars(args)))
    run.input(args.checkpoint, backbone.describe())
    rng = np.random.default_rng(args.seed)
    faces = [draw_face(person(args.seed, number // 2), shot(rng)) for number in range(2 * args.people)]
    unspoilt = unit(embedder(np.stack([PERFECT.take(face, rng) for face in faces])))
    others = unspoilt[np.arange(len(faces)) ^ 1]
    print(f"{'':<24} {'within':>8} {'together':>9} {'magnitude':>15} {'cosine':>15}")
    for name, fault in FAULTS.items():
        cameras = [replace(PERFECT, **{field: value(step) for field, value in fault.items()}) for step in STEPS]
        raw = [embedder(np.stack([camera.take(face, rng) for face in faces])) for camera in cameras]
        size = np.stack([magnitudes(embeddings) for embeddings in raw])
        cosine = [float(np.mean(np.sum(unit(embeddings) * others, axis=1))) for embeddings in (raw[0], raw[-1])]
        within = float(np.mean([spearman(STEPS, size[:, k]) for k in range(size.shape[1])]))
        together = spearman(np.repeat(STEPS, size.shape[1]), size.ravel())
        fall = f"{size[0].mean():6.2f} -> {size[-1].mean():5.2f} {cosine[0]:6.3f} -> {cosine[1]:5.3f}"
        print(f"{name:<24} {within:+8.3f} {together:+9.3f} {fall}")


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of float [N] and [N]; ties share their mean rank."""
    return float(np.corrcoef(mean_ranks(a), mean_ranks(b))[0, 1])


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value, float [N]."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


if __name__ == "__main__":
    cli.run(build_parser(), main)
