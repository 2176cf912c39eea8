"""Adapt a real model to a bad camera with at most 500 answers, and measure people it never saw.

LFW faces are degraded by a seeded "bad camera". 300 people are there to learn from, 300 others are held out. The model
is fine-tuned by finetune_on_feedback.py on answered pairs of the first group alone. The table gives the all-pairs equal
error rate (EER) of the held-out people on the bad camera and on their clean photos, with 95 % intervals of the change
over people (paired bootstrap), for the default recipe, for the same at five times the learning rate, held in place by
replayed clean faces of yet other people (unlabelled), and for the documented recipe.

example  python benchmarks/real_domain_shift.py --data ../shared/data --work_dir /tmp/shift
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from magface_al.choosing import mining
from magface_al.command import cli, numbers
from magface_al.command.errors import WorkError
from magface_al.command.replacing import write_json
from magface_al.command.run import Run
from magface_al.embedding.embedder import face_batches, open_embedder
from magface_al.embedding.model_flags import ModelChoice
from magface_al.metrics import bootstrap
from magface_al.metrics.cosine import unit
from magface_al.metrics.roc import Ranking, eer
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair, write_pairs

Figures = dict[str, dict[str, Any]]  # "shifted" and "clean" -> eer, change, change_interval_95

PEOPLE, MOST_IMAGES, LEAST_IMAGES, REPLAYED = 300, 6, 4, 1000
BATCHES = ["--epochs", "5", "--batch_size", "32"]
ADAPT = [*BATCHES, "--val_split", "0.1"]
RECIPES = {
    "default": ADAPT,
    "replay": [*ADAPT, "--lr", "0.0005", "--replay_list", "{replay}"],
    "documented": [*BATCHES, *"--loss contrastive --margin 0.4 --lr 0.00001 --batch_norm train --no_augment".split()],
    "logistic": [*ADAPT, "--loss", "logistic"],
    "cosine": [*ADAPT, "--loss", "cosine"],
}


def bad_camera(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [112, 112, 3] -> small, grey, dim, noisy and compressed, at the same size."""
    side = int(rng.integers(22, 34))
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(cv2.resize(small, (112, 112), interpolation=cv2.INTER_CUBIC), cv2.COLOR_BGR2GRAY)
    dim = grey * rng.uniform(0.45, 0.8) + rng.normal(0, 6, grey.shape)
    image = cv2.cvtColor(np.clip(dim, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 60))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def choose_people(images: Path, seed: int, count: int = PEOPLE) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """(learn, held out): `count` people each -> up to six photos, of people with at least four."""
    rng = np.random.default_rng(seed)
    people = {folder.name: sorted(folder.glob("*.jpg")) for folder in sorted(images.iterdir())}
    names = [name for name, photos in people.items() if len(photos) >= LEAST_IMAGES]
    names = [names[k] for k in rng.permutation(len(names))]
    chosen = [{name: people[name][:MOST_IMAGES] for name in part} for part in (names[:count], names[count : 2 * count])]
    return chosen[0], chosen[1]


def replay_list(images: Path, target: Path) -> Path:
    """An image list of clean photos of people who have too few of them to be chosen: neither learnt from nor held out."""
    folders = (sorted(folder.glob("*.jpg")) for folder in sorted(images.iterdir()))
    photos = [photo for shots in folders if len(shots) < LEAST_IMAGES for photo in shots]
    target.write_text("".join(f"{photo}\n" for photo in photos[:REPLAYED]), encoding="utf-8")
    return target


def degrade(people: dict[str, list[Path]], folder: Path, seed: int) -> dict[str, list[Path]]:
    """Write each photo as the bad camera sees it; the same photo is always degraded in the same way."""
    shifted: dict[str, list[Path]] = {}
    for name, photos in people.items():
        for photo in photos:
            target = folder / name / photo.with_suffix(".png").name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng([seed, *photo.name.encode()])
                cv2.imwrite(str(target), bad_camera(cv2.imread(str(photo)), rng))
            shifted.setdefault(name, []).append(target)
    return shifted


def person_of_photos(people: dict[str, list[Path]]) -> np.ndarray:
    """int [N]: the number of the person on each photo."""
    return np.repeat(np.arange(len(people)), [len(shots) for shots in people.values()])


def embed(checkpoint: Path, people: dict[str, list[Path]]) -> np.ndarray:
    """Raw embeddings float32 [N, D] of all photos."""
    _, embedder = open_embedder(ModelChoice(checkpoint))
    photos = [(str(photo), photo) for shots in people.values() for photo in shots]
    return np.concatenate([embedder(batch.faces) for batch in face_batches(photos, 128, 2)])


def answers(people: dict[str, list[Path]], checkpoint: Path, count: int, choice: str, seed: int) -> list[Pair]:
    """`count` answered pairs, half same and half different; "hard" takes those the start model finds hardest."""
    photos = [photo for shots in people.values() for photo in shots]
    embeddings, person = embed(checkpoint, people), person_of_photos(people)
    candidates = {"random": 1, "hard": 6}[choice]
    rng = np.random.default_rng(seed)
    mined = mining.sampled(unit(embeddings), person, count // 2, count // 2, candidates, rng)
    return [
        Pair(str(first), str(second), label, {"identity1": first.parent.name, "identity2": second.parent.name})
        for label, (pairs, _) in zip((SAME, DIFFERENT), mined, strict=True)
        for first, second in ((photos[i], photos[j]) for i, j in pairs.tolist())
    ]


class AllPairs:
    """All pairs of the held-out photos, for EERs under the same bootstrap resamples of the people."""

    def __init__(self, person: np.ndarray) -> None:
        self.i, self.j = np.triu_indices(len(person), 1)
        self.sides = person[self.i], person[self.j]

    def eers(self, embeddings: np.ndarray, resamples: int) -> np.ndarray:
        """[1 + resamples]: the EER itself, then of each resample, in percent."""
        directions = unit(embeddings)
        ranking = Ranking((directions @ directions.T)[self.i, self.j], self.sides[0] == self.sides[1])
        weights = bootstrap.identity_resamples(*self.sides, seed=0, resamples=resamples)
        return 100 * np.array([eer(*ranking.roc(weight)) for weight in (None, *weights)], dtype=float)


class Judge:
    """The held-out people before fine-tuning, and what a checkpoint changes for them."""

    def __init__(self, checkpoint: Path, people: dict[str, dict[str, list[Path]]], resamples: int) -> None:
        self.people, self.resamples = people, resamples
        self.all_pairs = AllPairs(person_of_photos(people["clean"]))
        self.start = {kind: self.eers(checkpoint, kind) for kind in people}

    def eers(self, checkpoint: Path, kind: str) -> np.ndarray:
        """[1 + resamples] EERs in percent, of the held-out people as photographed by `kind`."""
        return self.all_pairs.eers(embed(checkpoint, self.people[kind]), self.resamples)

    def __call__(self, checkpoint: Path) -> Figures:
        """For "shifted" and "clean": eer, change (percentage points) and its 95 % interval."""
        return self.changes({kind: self.eers(checkpoint, kind) for kind in self.start})

    def changes(self, after: dict[str, np.ndarray]) -> Figures:
        """The same, from EERs as `eers` gives them."""
        figures: Figures = {}
        for kind, start in self.start.items():
            change = after[kind] - start
            figures[kind] = {
                "eer": float(after[kind][0]),
                "change": float(change[0]),
                "change_interval_95": np.quantile(change[1:], [0.025, 0.975]).tolist(),
            }
        return figures


def fine_tune(checkpoint: Path, feedback: Path, output: Path, flags: list[str]) -> Path:
    """Run finetune_on_feedback.py. Returns its best checkpoint, or the last where BatchNorm was trained: `best` guards
    against just the harm that the documented recipe does, and would hide it."""
    files = ["--checkpoint", checkpoint, "--feedback_file", feedback, "--output_dir", output]
    command = [sys.executable, ROOT / "finetune_on_feedback.py", *files, *flags]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkError(f"fine-tuning ended with {done.returncode}: {done.stderr}")
    return output / ("magface_feedback_epoch5.pth" if "--batch_norm" in flags else "magface_feedback_best.pth")


def line(name: str, figures: Figures, seconds: float) -> str:
    """A row of the table."""
    columns = []
    for kind in ("shifted", "clean"):
        low, high = figures[kind]["change_interval_95"]
        change = f"{figures[kind]['change']:+.2f} [{low:+.2f}, {high:+.2f}]"
        columns.append(f"{figures[kind]['eer']:13.2f}  {change:>23}")
    return f"{name:>12}  {'  '.join(columns)}  {seconds:7.0f}"


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with lfw/images and weights/"
    )
    parser.add_argument(
        "--work_dir", type=Path, default=Path("domain_shift"), help="folder for degraded faces and checkpoints"
    )
    parser.add_argument(
        "--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES)[:3], help="rows of the table"
    )
    parser.add_argument("--answers", type=numbers.positive_int, default=500, help="answered pairs to learn from")
    parser.add_argument(
        "--people", type=numbers.positive_int, default=PEOPLE, help="people to learn from, and as many held out"
    )
    parser.add_argument("--resamples", type=numbers.positive_int, default=200, help="bootstrap resamples of the people")
    parser.add_argument("--seed", type=numbers.seed, default=0, help="of the people, the camera and the answers")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    checkpoint = args.data / "weights" / "mobilefacenet_y1_converted.pth"
    work, images = args.work_dir.resolve(), (args.data / "lfw" / "images").resolve()
    clean_learn, clean_held_out = choose_people(images, args.seed, args.people)
    learn, shifted = (degrade(people, work / "faces", args.seed) for people in (clean_learn, clean_held_out))
    replay = replay_list(images, work / "replay.list")
    judge = Judge(checkpoint, {"shifted": shifted, "clean": clean_held_out}, args.resamples)
    table: dict[str, Figures] = {"start": judge.changes(judge.start)}
    print(f"{'recipe':>12}  {'shifted EER %':>13}  {'change':>23}  {'clean EER %':>13}  {'change':>23}  {'seconds':>7}")
    print(line("start", table["start"], 0), flush=True)
    for name in args.recipes:
        feedback = work / f"{name}.json"
        choice = "hard" if name == "documented" else "random"
        write_pairs(feedback, answers(learn, checkpoint, args.answers, choice, args.seed))
        started = time.time()
        flags = [flag.format(replay=replay) for flag in RECIPES[name]]
        tuned = fine_tune(checkpoint, feedback, work / name, flags)
        seconds = time.time() - started
        table[name] = judge(tuned)
        print(line(name, table[name], seconds), flush=True)
    write_json(work / "table.json", table)
    run.output(work, "degraded faces, checkpoints and table.json")


if __name__ == "__main__":
    cli.run(build_parser(), main)
