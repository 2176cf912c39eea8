"""How many answers each query strategy needs: the error on people never asked about, against the number of answers.

An oracle answers from the true identities. Every round takes up the answers so far, trains the embedding layer from the
start weights with the project's fine-tuning (adaptive loss), embeds the pool anew and chooses the next questions. The
equal error rate (EER) is over all pairs of held-out people. The people are drawn, seen by the camera cctv, and other
ones for every seed; with --data they are LFW's, seen by the bad camera of real_domain_shift.py.

example  python benchmarks/bench_label_efficiency.py
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from magface_al.choosing import strategies
from magface_al.choosing.asked import Asked
from magface_al.choosing.questions import Pool, choose
from magface_al.choosing.wishes import Wishes
from magface_al.command import cli, numbers
from magface_al.command.replacing import write_json
from magface_al.command.run import Run
from magface_al.faces.drawn.people import draw_people
from magface_al.faces.preprocess import to_input
from magface_al.finetuning.answered_pairs import index_pairs
from magface_al.finetuning.recipe import Recipe
from magface_al.finetuning.tuner import FineTuner
from magface_al.metrics.bootstrap import mean_interval
from magface_al.metrics.cosine import THRESHOLD, magnitudes, unit
from magface_al.metrics.roc import Ranking, eer
from magface_al.models.checkpoint import Backbone, load_backbone
from magface_al.pairs.pair_file import Pair
from magface_al.pictures.canvas import new_figure, save_figure

# mislabeled needs names to doubt; a mix comes last
STRATEGIES = ("stratified", *sorted(set(strategies.STRATEGIES) - {"mislabeled"}), strategies.MIXED)
BATCH, LEARNING_RATE = 32, 3e-4
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Faces:
    """People's faces as the frozen trunk sees them: activations float32 [N, C, 7, 7], person int [N]."""

    activations: torch.Tensor
    person: np.ndarray

    @staticmethod
    @torch.inference_mode()
    def of(faces: np.ndarray, person: np.ndarray, backbone: Backbone) -> Faces:
        """faces uint8 [N, 112, 112, 3] BGR."""
        blocks = torch.from_numpy(faces).split(16)
        trunk = torch.cat([backbone.model.trunk(to_input(block, backbone.preprocessing)) for block in blocks])
        return Faces(trunk.clone(), person)

    @torch.inference_mode()
    def embed(self, model: nn.Module) -> np.ndarray:
        """Raw embeddings float32 [N, D]."""
        return torch.cat([model.head(block) for block in self.activations.split(256)]).numpy()

    def eer(self, model: nn.Module) -> float:
        """In percent, over all pairs."""
        directions = unit(self.embed(model))
        i, j = np.triu_indices(len(directions), 1)
        rate = eer(*Ranking((directions @ directions.T)[i, j], self.person[i] == self.person[j]).roc())
        return 100 * float(rate or 0)


class HeadTuner(FineTuner):
    """The project's fine-tuning of the head, on activations that were computed once for all rounds."""

    pool: Faces

    def _trunk(self) -> torch.Tensor:
        return HeadTuner.pool.activations[[int(name) for name in self.data.names]]


def tune(backbone: Backbone, pool: Faces, start: np.ndarray, pairs: list[Pair], seed: int, steps: int) -> nn.Module:
    """A model trained for so many steps from the start weights on the answers, except the held-out slice; itself while they are of one kind."""
    model = copy.deepcopy(backbone.model)
    pairs = [pair for pair in pairs if not pair.is_holdout()]
    same = sum(pair.label == 1 for pair in pairs)
    if same in (0, len(pairs)):
        return model
    epochs = max(1, round(steps / np.ceil(2 * max(same, len(pairs) - same) / BATCH)))
    no_face = np.empty((0, 0, 3), np.uint8)  # the cached activations stand for the faces
    data = index_pairs(pairs, {name: no_face for pair in pairs for name in (pair.image1, pair.image2)})
    recipe = Recipe(trainable="head", lr=LEARNING_RATE, epochs=epochs, batch_size=BATCH, seed=seed)
    HeadTuner.pool = pool
    tuner = HeadTuner(model, backbone.preprocessing, data, start[[int(name) for name in data.names]], recipe, CPU)
    for number in range(1, epochs + 1):
        for _ in tuner.epoch(number):
            pass
    return model


def questions(strategy: str, raw: np.ndarray, asked: Asked, count: int, rng: np.random.Generator) -> list[Pair]:
    """`count` pairs chosen as choose_pairs.py does. Only the mix keeps its random slice out of training; "stratified" is
    that slice alone, trained on."""
    share = {strategies.MIXED: Wishes.random_share, "stratified": 1.0}.get(strategy, 0.0)
    wishes = Wishes(count, strategies.MIXED if strategy == "stratified" else strategy, THRESHOLD, share)
    pool = Pool([str(row) for row in range(len(raw))], unit(raw), magnitudes(raw))
    pairs = choose(pool, asked, wishes, rng)
    if strategy == "stratified":
        return [Pair(pair.image1, pair.image2, None, {"batch": pair.extra["batch"]}) for pair in pairs]
    return pairs


def asked_of(pairs: list[Pair]) -> Asked:
    """The answered pairs, whose image names are rows."""
    rows = np.sort(np.array([(int(pair.image1), int(pair.image2)) for pair in pairs], np.int64).reshape(-1, 2), axis=1)
    label = np.array([pair.label for pair in pairs], np.int64)
    rounds = np.array([pair.extra["batch"] for pair in pairs], np.int64)
    return Asked(rows, label, rounds, pairs)


def curve(
    backbone: Backbone, pool: Faces, held_out: Faces, strategy: str, rounds: list[int], steps: int, seed: int
) -> tuple[list[float], list[int]]:
    """(EER in percent, "same" answers so far) after each round's number of answers."""
    rng = np.random.default_rng(seed)
    start = pool.embed(backbone.model)
    model, pairs = backbone.model, []
    rates, same = [], []
    for total in rounds:
        for pair in questions(strategy, pool.embed(model), asked_of(pairs), total - len(pairs), rng):
            truth = int(pool.person[int(pair.image1)] == pool.person[int(pair.image2)])
            pairs.append(Pair(pair.image1, pair.image2, truth, pair.extra))
        model = tune(backbone, pool, start, pairs, seed, steps)
        rates.append(held_out.eer(model))
        same.append(sum(pair.label == 1 for pair in pairs))
    return rates, same


def drawn_people(people: int, images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(faces, person) as the camera cctv sees them."""
    person, _, faces = zip(*draw_people(people, images, seed, "cctv"), strict=True)
    return np.stack(faces), np.array(person)


def real_people(data: Path, work: Path, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(faces, person) of the people to ask about and of those held out, LFW as the bad camera sees it."""
    from real_domain_shift import choose_people, degrade, person_of_photos

    groups = [degrade(people, work / f"faces_{seed}", seed) for people in choose_people(data / "lfw" / "images", seed)]
    return [(read(people), person_of_photos(people)) for people in groups]


def read(people: dict[str, list[Path]]) -> np.ndarray:
    """uint8 [N, 112, 112, 3] BGR: all photos."""
    return np.stack([cv2.imread(str(photo)) for photos in people.values() for photo in photos])


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    parser.add_argument("--data", type=Path, help="folder with lfw/images and weights/, for the run on real faces")
    parser.add_argument("--output_dir", type=Path, default=Path("label_efficiency"), help="folder for table and figure")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES, help="curves to draw")
    parser.add_argument(
        "--rounds", nargs="+", type=numbers.positive_int, default=[25, 50, 100, 200, 400], help="answers"
    )
    parser.add_argument(
        "--steps", type=numbers.positive_int, default=200, help="of training a round, whatever the number of answers"
    )
    parser.add_argument("--seeds", type=numbers.positive_int, default=5, help="repetitions, each with other people")
    parser.add_argument("--people", type=numbers.positive_int, default=150, help="drawn people to ask about")
    parser.add_argument("--held_out", type=numbers.positive_int, default=100, help="drawn people to measure")
    parser.add_argument("--images", type=numbers.positive_int, default=6, help="of each drawn person")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    weights = (
        args.data / "weights" / "mobilefacenet_y1_converted.pth" if args.data else ROOT / "assets" / "demo_magface.pth"
    )
    backbone = load_backbone(weights)
    run.input(weights, backbone.describe())
    results: dict[str, list[list[float]]] = {name: [] for name in args.strategies}
    starts, started = [], time.time()
    for seed in range(args.seeds):
        if args.data:
            groups = real_people(args.data, args.output_dir, seed)
        else:
            groups = [
                drawn_people(args.people, args.images, 500 + seed),
                drawn_people(args.held_out, args.images, 900 + seed),
            ]
        pool, held_out = (Faces.of(faces, person, backbone) for faces, person in groups)
        starts.append(held_out.eer(backbone.model))
        print(f"seed {seed}: {len(pool.person)} images to ask about, start EER {starts[-1]:.2f} %", flush=True)
        for name in args.strategies:
            rates, same = curve(backbone, pool, held_out, name, args.rounds, args.steps, seed)
            results[name].append(rates)
            shown = "  ".join(f"{rate:6.2f}" for rate in rates)
            print(f"  {name:>12}  {shown}   same: {same[-1]:3d}   {time.time() - started:5.0f} s", flush=True)
    changes = {name: np.array(rates) - np.array(starts)[:, None] for name, rates in results.items()}
    print_table(changes, float(np.mean(starts)), args.rounds)
    name = "real" if args.data else "drawn"
    write_json(args.output_dir / f"{name}.json", {"rounds": args.rounds, "start": starts, "eer": results})
    save_figure(efficiency_figure(changes, args.rounds), args.output_dir / f"{name}.png")
    run.output(args.output_dir / f"{name}.png", "the curves")


def efficiency_figure(changes: dict[str, np.ndarray], answers: list[int]) -> Figure:
    """strategy -> change of the EER in points [seeds, rounds], over the number of answers: means, and 95 % intervals as bars."""
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    for k, (name, change) in enumerate(changes.items()):
        mean, low, high = np.array([mean_interval(column) for column in change.T]).T
        at = np.array(answers) * 1.025 ** (k - len(changes) / 2)  # side by side, so that no bar hides another
        width = 2.2 if name == strategies.MIXED else 1.2
        marker = {"marker": "osD^vPX*"[k % 8], "markersize": 5}
        axes.errorbar(
            at, mean, [mean - low, high - mean], label=name, linewidth=width, capsize=2, color=f"C{k}", **marker
        )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks(answers, [str(count) for count in answers])
    axes.minorticks_off()
    axes.set_xlabel("answers")
    axes.set_ylabel("change of the EER, percentage points")
    axes.set_title("people never asked about: lower is better", fontsize=11)
    axes.legend(fontsize=9, ncols=2)
    return figure


def print_table(changes: dict[str, np.ndarray], start: float, rounds: list[int]) -> None:
    """EER change in points against the start, mean over seeds and the half width of its 95 % interval; and the answers
    needed to get where random gets with all of its own."""
    print(
        f"\nstart EER {start:.2f} %; change of the EER in points (95 % interval of the mean over {len(next(iter(changes.values())))} seeds)"
    )
    print(f"| strategy | {' | '.join(map(str, rounds))} | answers to equal random's {rounds[-1]} |")
    print("|---" * (len(rounds) + 2) + "|")
    goal = changes["random"].mean(axis=0)[-1] if "random" in changes else None
    for name, change in changes.items():
        cells = [f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" for mean, low, high in map(mean_interval, change.T)]
        print(f"| {name} | {' | '.join(cells)} | {answers_needed(change.mean(axis=0), rounds, goal)} |")


def answers_needed(change: np.ndarray, rounds: list[int], goal: float | None) -> str:
    """The first round at which the mean is as low as the goal, and stays so."""
    if goal is None:
        return "-"
    low = change <= goal + 1e-9
    steady = [total for k, total in enumerate(rounds) if low[k:].all()]
    return str(steady[0]) if steady else f"> {rounds[-1]}"


if __name__ == "__main__":
    cli.run(build_parser(), main)
