"""From files of answers to the parts that are trained on, validated and tested: the answers, their faces, the split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.embedding.embedder import face_batches
from magface_al.evaluation.before_after import TRAINED_ON
from magface_al.faces.image_list import read_image_list
from magface_al.finetuning.recipe import SplitRecipe
from magface_al.pairs.joined import join_files
from magface_al.pairs.pair_file import Pair, PairFile, describe, read_pairs, write_pairs
from magface_al.pairs.people import contradictions, contradictions_note
from magface_al.pairs.splits import Split, split_pairs

PARTS = ("train", "val", "test")
PART_FILES = {part: f"{part}_pairs.json" for part in PARTS}
READ_TOGETHER = 64  # images that a thread decodes before it hands them over


def read_feedback(paths: Sequence[Path], run: Run) -> tuple[PairFile, list[Pair]]:
    """The answered pairs of all files, apart from those that only measure the error (random slices), and those. Says which
    answers cannot all be right."""
    files = [read_pairs(path).labelled() for path in paths]
    for file in files:
        run.input(file.path, describe(file.pairs))
    answered = join_files(files)
    feedback = answered.without_holdout()
    slices = [pair for pair in answered.pairs if pair.is_holdout()]
    if slices:
        are = "pair of random slices (holdout) is", "pairs of random slices (holdout) are"
        run.note(f"{counted(len(slices), *are)} left out of training and validation")
    if wrong := contradictions(feedback.pairs):
        run.note(contradictions_note(wrong))
    return feedback, slices


def read_faces(images: Sequence[tuple[str, Path]], workers: int, size: int, run: Run) -> dict[str, np.ndarray]:
    """name -> face uint8 [size, size, 3] of each (name, path); those that cannot be read are named and left out."""
    faces: dict[str, np.ndarray] = {}
    with tqdm(total=len(images), unit="image", desc="reading") as progress:
        for batch in face_batches(images, READ_TOGETHER, workers, size):
            faces |= zip(batch.names, batch.faces, strict=True)
            for name, reason in batch.failures:
                run.note(f"{dict(images)[name]}: {reason}; it is left out, and so are its pairs")
            progress.update(len(batch.names) + len(batch.failures))
    return faces


def read_replay(path: Path | None, workers: int, size: int, run: Run) -> list[np.ndarray]:
    """The faces uint8 [size, size, 3] of an image list, if one is given."""
    if path is None:
        return []
    images = list(read_image_list(path, allow_spaces=True))
    run.input(path, f"{len(images)} faces on which the model is to stay as it is")
    return list(read_faces(images, workers, size, run).values())


def split_feedback(
    feedback: PairFile, faces: dict[str, np.ndarray], recipe: SplitRecipe, folder: Path, run: Run
) -> list[list[Pair]]:
    """[train, val, test] of the pairs whose images are in `faces`, test perhaps empty.

    Written to the folder, so that others can evaluate on them. Raises UserError unless training and validation have both
    kinds of pairs.
    """
    readable = [pair for pair in feedback.pairs if pair.image1 in faces and pair.image2 in faces]
    if not readable:
        raise UserError(f"{feedback.path}: not one of its pairs has two images that can be read, expected their paths")
    split = split_pairs(readable, recipe.shares(), np.random.default_rng(recipe.seed), recipe.split_by)
    root = str(feedback.path.parent.resolve())
    for name, part in zip(PARTS, split.parts, strict=True):
        if part:
            run.say(f"{name:>5}: {describe(part)}")
            seen = {TRAINED_ON: True} if name == "train" or split.unit == "pair" else {}
            write_pairs(folder / PART_FILES[name], part, root=root, **seen)
    _report(split, run)
    for name, part in zip(("training", "validation"), split.parts[:2], strict=True):
        if len({pair.label for pair in part}) < 2:
            raise UserError(
                f"{feedback.path}: the {name} part has {describe(part) if part else 'no pairs'}, expected both same and "
                "different ones; answer more pairs, of more people, or change --val_split or --seed"
            )
    return split.parts


def _report(split: Split, run: Run) -> None:
    run.facts["split"] = {"by": split.unit, "crossing_pairs_left_out": split.crossing}
    if split.crossing:
        are = "pair that joins people of different parts is", "pairs that join people of different parts are"
        run.note(f"{counted(split.crossing, *are)} left out (split by {split.unit})")
    if split.unit == "pair":
        run.note("split by pair: the same people are trained on and validated, so the validation figures are too good")
