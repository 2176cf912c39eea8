"""Pairs that show honestly what fine-tuning changed: of people kept out of training, and not chosen by a model's errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from magface_al.choosing.known_pairs import random_pairs
from magface_al.command.outputs import writable
from magface_al.command.run import Run
from magface_al.evaluation.verdict import suggest_asking
from magface_al.faces.identities import identity_images, parent_folder
from magface_al.finetuning.feedback import PART_FILES, PARTS
from magface_al.finetuning.recipe import SplitRecipe
from magface_al.pairs.chosen import mined, random_pairs_file
from magface_al.pairs.pair_file import Pair, PairFile, describe, write_pairs
from magface_al.pairs.people import given_names, image_identities

RANDOM_FILES = [random_pairs_file(Path(PART_FILES[part])).name for part in PARTS[1:]]
RANDOM_PAIRS = 2000  # half of them impostors: enough for TAR @ FAR 0.001


def suggest_evaluation(
    parts: Sequence[Sequence[Pair]],
    feedback: PairFile,
    slices: Sequence[Pair],
    weights: Sequence[object],
    folder: Path,
    split: SplitRecipe,
    run: Run,
) -> None:
    """Suggest the command that shows honestly what changed, and write the file that it needs.

    parts: [train, val, test] of the feedback, as written to the folder; the last one that is not empty is evaluated on, as
    it is where no errors chose its pairs, nor were its people trained on (split by pair). Otherwise random pairs of those
    of its people who were not trained on take its place, where they have names; else the answered pairs of random slices. weights: the flags that name the two models.
    """
    name = "test" if parts[2] else "val"
    part = parts[PARTS.index(name)]
    seen = [pair for other in parts if other is not part for pair in other]
    kept = folder / PART_FILES[name]
    for file in RANDOM_FILES:  # an earlier run's, whose people this one may have trained on
        writable(folder / file).unlink(missing_ok=True)
    if split.split_by == "pair" or mined(part).any():
        drawn = _of_named_people(part, seen, feedback, np.random.default_rng(split.seed))
        drawn = drawn or _of_random_slices(slices, seen, feedback)
        kept = random_pairs_file(kept)
        if not drawn:
            suggest_asking(part, run)
            return
        write_pairs(kept, drawn)
        but = "; the validation people chose the epoch, --test_split keeps others apart" if name == "val" else ""
        run.output(kept, f"{describe(drawn)} drawn at random, of people who were not trained on{but},")
    run.suggest("python", "evaluate_finetuned_model.py", *weights, "--feedback_file", kept)


def _of_named_people(
    part: Sequence[Pair], seen: Sequence[Pair], feedback: PairFile, rng: np.random.Generator
) -> list[Pair]:
    """Random pairs of the people whom a part names and no seen pair shows; [] unless there are both kinds."""
    names_seen, places_seen = set(given_names(seen).values()), set(_places(_images(seen), feedback))
    people: dict[str, dict[Path, str]] = {}
    for image, person in given_names(part).items():
        if person not in names_seen:
            people.setdefault(person, {}).update(_places(_images_beside(image, person, feedback), feedback))
    unseen = {person: sorted(places.values()) for person, places in people.items() if not places_seen & set(places)}
    return _both_kinds(random_pairs(dict(sorted(unseen.items())), RANDOM_PAIRS, rng))


def _images_beside(image: str, person: str, feedback: PairFile) -> list[str]:
    """The image, and all others of its folder where that bears the person's name: errors chose which of a person's images
    stand in pairs."""
    if parent_folder(image) != person:
        return [image]
    place = feedback.locate(image)
    return [image.removesuffix(place.name) + found.name for found in identity_images(place.parent)]


def _of_random_slices(slices: Sequence[Pair], seen: Sequence[Pair], feedback: PairFile) -> list[Pair]:
    """The pairs of random slices with nobody on them whom the answers make one of the people seen; [] unless of both kinds."""
    person = image_identities([*feedback.pairs, *slices])
    people_seen = {person[image] for image in _images(seen)}
    return _both_kinds(
        [
            replace(pair, image1=_absolute(pair.image1, feedback), image2=_absolute(pair.image2, feedback))
            for pair in slices
            if not {person[pair.image1], person[pair.image2]} & people_seen
        ]
    )


def _images(pairs: Sequence[Pair]) -> set[str]:
    return {image for pair in pairs for image in (pair.image1, pair.image2)}


def _absolute(image: str, feedback: PairFile) -> str:
    return str(feedback.locate(image).absolute())


def _places(images: Iterable[str], feedback: PairFile) -> dict[Path, str]:
    """Place on disk, by which two names of one image are one -> the image's absolute name."""
    return {feedback.locate(image).resolve(): _absolute(image, feedback) for image in images}


def _both_kinds(pairs: list[Pair]) -> list[Pair]:
    return pairs if len({pair.label for pair in pairs}) == 2 else []
