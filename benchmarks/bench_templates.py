"""The IJB-C protocol at its real size, on drawn features: seconds and memory of evaluate_templates.py.

469,375 faces of 512 values, 23,124 templates, 15,658,489 template pairs, two galleries and 19,593 probes. The features
are written block by block and read as a memory map; its pages count as resident, though the system takes them back.

example  python benchmarks/bench_templates.py --work_dir /tmp/templates
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from timing import heading, watched

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding.store_writer import FeatureWriter

FACES, TEMPLATES, GALLERY, PAIRS, GENUINE, D = 469_375, 23_124, 3_531, 15_658_489, 19_557, 512  # IJB-C
NOISE = 10  # of a face, in standard deviations between people: templates are told apart well, but not always


def draw(folder: Path, scale: float) -> None:
    """Feature store and meta files with `scale` times as many of everything as IJB-C."""
    rng = np.random.default_rng(0)
    faces, templates, gallery, pairs, genuine = (int(n * scale) for n in (FACES, TEMPLATES, GALLERY, PAIRS, GENUINE))
    template = np.sort(np.concatenate([np.arange(templates), rng.integers(templates, size=faces - templates)]))
    media = rng.integers(4, size=faces) + 4 * template
    subject = np.concatenate([np.arange(gallery), rng.integers(gallery, size=templates - gallery)])
    centres = rng.normal(size=(gallery, D)).astype(np.float32)
    writer = FeatureWriter(folder / "features.npy", {}, resume=False)
    for start in range(0, faces, 8192):
        rows = np.arange(start, min(start + 8192, faces))
        vectors = centres[subject[template[rows]]] + NOISE * rng.normal(size=(len(rows), D)).astype(np.float32)
        writer.append([f"{row + 1}.jpg" for row in rows], vectors, [])
    writer.finish({"script": "a benchmark", "arguments": {"root": "."}})
    lines(folder / "ijbc_face_tid_mid.txt", (f"{row + 1}.jpg {template[row]} {media[row]}" for row in range(faces)))
    with (folder / "ijbc_template_pair_label.txt").open("w") as file:
        for start in range(0, pairs, 1_000_000):
            count = min(1_000_000, pairs - start)
            probe = rng.integers(gallery, templates, size=count)
            same = start + np.arange(count) < genuine
            other = np.where(same, subject[probe], rng.integers(gallery, size=count))
            table = np.stack([other, probe, subject[other] == subject[probe]], 1)
            file.write("".join(f"{a} {b} {label}\n" for a, b, label in table.tolist()))
    edges = {
        "gallery_G1": (0, gallery // 2),
        "gallery_G2": (gallery // 2, gallery),
        "probe_mixed": (gallery, templates),
    }
    for name, (first, last) in edges.items():
        members = (f"{row},{subject[row]}" for row in range(first, last))
        lines(folder / f"ijbc_1N_{name}.csv", ["template,subject", *members])


def lines(path: Path, content: Iterable[str]) -> None:
    """Write text lines."""
    path.write_text("\n".join(content) + "\n")


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument(
        "--work_dir", type=Path, help="folder to draw the set in and to keep (default: one that is deleted)"
    )
    parser.add_argument("--scale", type=numbers.positive_float, default=1.0, help="share of IJB-C's size")
    parser.add_argument("--force_cpu", action="store_true", help="no effect: nothing here uses a GPU")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    heading()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.work_dir or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        draw(folder, args.scale)
        print(f"drawn in {time.perf_counter() - started:.1f} s")
        command = [sys.executable, ROOT / "evaluate_templates.py", "--features_list", folder / "features.npy"]
        command += ["--meta", folder / "ijbc", "--output_dir", folder / "results"]
        seconds, resident, own = watched(list(map(str, command)))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"evaluate_templates.py: {seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor time")
        print(f"at most {resident:.2f} GiB resident, {own:.2f} GiB without mapped files")


if __name__ == "__main__":
    cli.run(build_parser(), main)
