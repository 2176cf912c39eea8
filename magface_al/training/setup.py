"""Before the first step of training: what there is to train on, what it starts from, and what does not fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.embedding.embedder import Embedder
from magface_al.faces.training_set import TrainingSet
from magface_al.metrics.cosine import magnitudes
from magface_al.models import architectures
from magface_al.models.backbone import Backbone
from magface_al.models.checkpoint import load_backbone, new_backbone
from magface_al.pairs.pair_file import PairFile, describe
from magface_al.pairs.verification_sets import read_verification_set
from magface_al.training import distributed
from magface_al.training.batches import FaceReader
from magface_al.training.heads import MagFace, build_head
from magface_al.training.progress import STATE, TRAINING, Progress, plain, what_counts
from magface_al.training.recipe import HEADS, TrainingRecipe
from magface_al.training.trainer import Trainer

DEFAULT = TrainingRecipe()
MEASURED_FACES = 2000  # by with_measured_range
LAMBDA_OVER_BOUND = 1.55  # of the official lambda_g over its bound


def refuse_to_overwrite(folder: Path) -> None:
    """Raises UserError where the folder holds a run already. Every process looks before any of them writes."""
    held = (folder / STATE).exists()
    distributed.barrier()
    if held:
        raise UserError(f"{folder}: holds a run already; --resume_training goes on with it, --overwrite begins anew")


def names_written(epochs: int, keep_every: int) -> list[str]:
    """What a training writes in its folder; see Progress for keep_every."""
    kept = range(keep_every, epochs + 1, keep_every) if keep_every else ()
    return [*TRAINING.names(kept), "classes.tsv", "samples.png"]


def describe_data(data: TrainingSet, paths: Sequence[Path], run: Run) -> dict[str, Any]:
    """Say what the sources at the paths hold and what is odd about them; returns what tells these data from others."""
    for source, path in zip(data.sources, paths, strict=True):
        run.say(f"found {source.description}")
        for note in source.notes:
            run.note(f"{path}: {note}")
    return {"images": len(data), "classes": data.num_classes, "fingerprint": data.fingerprint()}


def read_validation(sets: Sequence[tuple[str, Path]], root: Path, run: Run) -> dict[str, PairFile]:
    """Name -> pairs of every (name, path) of a verification set, whose relative image paths may start from root."""
    found = {name: read_verification_set(path, [root]) for name, path in sets}
    for name, pair_file in found.items():
        run.input(pair_file.path, f"{name}: {describe(pair_file.pairs)}")
    if not sets:
        run.note("no --val_set: best.pth is the last epoch, because nothing measures which was best")
    return found


def starting_point(init: Path | None, arch: str, preprocessing: str, seed: int, run: Run) -> Backbone:
    """The network of the weights `init`, or without any a new one drawn from the seed. "auto" as in load_backbone."""
    if init is None:
        arch = architectures.DEFAULT if arch == "auto" else arch
        run.say(f"{arch} from scratch, seed {seed}")
        return new_backbone(arch, preprocessing, seed)
    start = load_backbone(init, arch, preprocessing, trainable=True)
    run.input(init, start.describe(), start.file_sha256)
    return start


def with_measured_range(
    recipe: TrainingRecipe, start: Backbone, reader: FaceReader, device: torch.device, run: Run
) -> TrainingRecipe:
    """The recipe with l_a, u_a and lambda_g from the magnitudes that the start gives to faces; numbers already given stay.

    Raises UserError for an untrained network and for a head without a range.
    """
    if not start.loaded:
        raise UserError(
            "--magnitude_range auto: an untrained network has no magnitudes to measure; give --init, or l_a and u_a"
        )
    if "l_a" not in HEADS[recipe.head].numbers:
        ranged = [name for name, kind in HEADS.items() if "l_a" in kind.numbers]
        raise UserError(
            f"--magnitude_range auto: the head {recipe.head} has no magnitude range, expected {' or '.join(ranged)}"
        )
    chosen = np.random.default_rng(recipe.seed).permutation(len(reader.data))[:MEASURED_FACES]
    embedder = Embedder(start.model, start.preprocessing, device)
    measured = magnitudes(np.concatenate([embedder(faces) for faces in reader.plain_faces(chosen)]))
    found = magnitude_range(measured, recipe)
    run.say(
        f"magnitudes of {len(measured)} faces: {measured.min():.2f} .. {np.median(measured):.2f} .. {measured.max():.2f}; "
        + ", ".join(f"--{name} {value:g}" for name, value in found.items())
    )
    return replace(recipe, head_options=found | recipe.head_options)


def magnitude_range(measured: np.ndarray, recipe: TrainingRecipe) -> dict[str, float]:
    """l_a, u_a and lambda_g for a backbone whose embeddings have these magnitudes, float [N].

    The official [10, 110] stands for magnitudes of 20 to 36: half of the lowest, three times the highest. lambda_g keeps
    the official distance from its bound (MagFace.lambda_bound).
    """
    low, high = np.percentile(measured, [1, 99])
    found = {"l_a": round(0.5 * float(low), 4), "u_a": round(3 * float(high), 4)}
    head = build_head(replace(recipe, head_options=recipe.head_options | found))
    assert isinstance(head, MagFace)
    return found | {"lambda_g": round(LAMBDA_OVER_BOUND * head.lambda_bound(), 4)}


def check_recipe(recipe: TrainingRecipe, run: Run) -> None:
    """Note what does not fit together. Raises UserError for a magnitude range that is none."""
    head = build_head(recipe)
    if isinstance(head, MagFace):
        if not (0 < head.l_a < head.u_a and head.l_m <= head.u_m):
            raise UserError(
                f"--l_a {head.l_a:g} --u_a {head.u_a:g} --l_m {head.l_m:g} --u_m {head.u_m:g}: expected 0 < l_a < u_a and l_m <= u_m"
            )
        if head.lambda_g < head.lambda_bound():
            run.note(
                f"--lambda_g {head.lambda_g:g} is below {head.lambda_bound():.3f}, so larger magnitudes need not pay off, and quality may not emerge"
            )
    as_given = (recipe.lr, recipe.optimizer) == (DEFAULT.lr, DEFAULT.optimizer)
    if as_given and recipe.batch_size != DEFAULT.batch_size:
        usual = recipe.lr * recipe.batch_size / DEFAULT.batch_size
        run.note(
            f"--lr {recipe.lr:g} is for {DEFAULT.batch_size} images a step; for {recipe.batch_size} the usual rule gives {usual:.3g}"
        )


def begin_progress(
    folder: Path, trainer: Trainer, start: Backbone, data: dict[str, Any], run: Run, keep_every: int
) -> Progress:
    """Where the trainer's progress is kept, which follows from recipe, data (see describe_data) and start."""
    origin = {
        "data": data,
        "preprocessing": start.preprocessing.to_dict(),
        "arch": start.arch,
        "init": start.weights_sha256,
    }
    run.facts |= {"recipe": asdict(trainer.recipe), **origin}
    made_with = plain({"recipe": what_counts(trainer.recipe), **origin})
    return Progress(folder, trainer, start, TRAINING, made_with, lambda: run.as_dict() | made_with, keep_every)
