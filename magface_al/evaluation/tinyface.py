"""TinyFace: its probes are searched among their mates and the distractors (closed set)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.numbers import is_whole
from magface_al.embedding.store import FeatureStore
from magface_al.evaluation.galleries import of_search
from magface_al.metrics.cosine import unit
from magface_al.metrics.identification import search

DISTRACTOR = -100  # AdaFace validation_lq/tinyface_helper.py gives it to the faces of nobody


def tinyface(store: FeatureStore) -> dict[str, Any]:
    """The figures for results.json. Raises UserError for a store that does not hold TinyFace's Testing_Set."""
    try:
        probe, gallery, subject = tinyface_roles(store.names)
    except UserError as error:
        raise UserError(f"{store.path}: {error}") from None
    done = search(unit(store.embeddings[probe]), subject[probe], unit(store.embeddings[gallery]), subject[gallery])
    return {"identification": {"TinyFace": of_search(done)}}


def tinyface_roles(names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probe rows, gallery rows, subject int64 [N]) of the images of TinyFace's Testing_Set.

    The folder says what an image is for (Probe, Gallery_Match, Gallery_Distractor), the whole number before the first
    underscore of its name who it shows; images of other folders are left aside. Raises UserError.
    """
    roles: dict[str, list[int]] = {"Probe": [], "Gallery_Match": [], "Gallery_Distractor": []}
    subject = np.full(len(names), DISTRACTOR, np.int64)
    for row, name in enumerate(names):
        path = Path(name)
        role = next((part for part in reversed(path.parts[:-1]) if part in roles), None)
        if role is None:
            continue
        roles[role].append(row)
        number = path.name.split("_")[0]
        if role != "Gallery_Distractor":
            if not is_whole(number):
                raise UserError(f"{name}: expected a file name that begins with the person's number and an underscore")
            subject[row] = int(number)
    if not roles["Probe"] or not roles["Gallery_Match"]:
        raise UserError(
            "no images of TinyFace's folders Probe and Gallery_Match in the feature store, expected its Testing_Set"
        )
    return np.array(roles["Probe"]), np.array(roles["Gallery_Match"] + roles["Gallery_Distractor"]), subject
