"""Similarities and magnitudes of the pairs of a file, from cached features, a checkpoint, or both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from magface_al.errors import UserError
from magface_al.features import FeatureStore, check_origin, magnitudes, read_features, unit
from magface_al.files import sha256
from magface_al.manifest import Run
from magface_al.pairs import Pair, PairFile
from magface_al.preprocess import PRESETS, Preprocessing

if TYPE_CHECKING:
    from magface_al.checkpoint import Backbone


@dataclass(frozen=True)
class PairScores:
    """pair_file holds the N pairs whose images could both be read; similarity and magnitudes are float32 [N]."""

    pair_file: PairFile
    similarity: np.ndarray
    magnitude1: np.ndarray
    magnitude2: np.ndarray


@dataclass(frozen=True)
class ModelChoice:
    """The model flags of a script: where the weights are, how to read images for them, where to compute."""

    checkpoint: Path | None
    arch: str = "auto"
    preprocessing: str = "auto"
    device: str = "auto"
    batch_size: int = 128
    workers: int = 4


def score_pairs(
    pair_file: PairFile,
    choice: ModelChoice,
    run: Run,
    features_list: Path | None = None,
    skip_bad_lines: bool = False,
) -> PairScores:
    """Score every pair. Images in the feature store are not read again; the others are embedded with the checkpoint.

    Torch is imported only if something has to be embedded, or if the checkpoint is not the very file that made the
    store. Raises UserError for a store made by other weights, or for images that are nowhere to be had.
    """
    cached: dict[str, np.ndarray] = {}
    backbone = None
    if features_list is not None:
        store = read_features(features_list, skip_bad_lines=skip_bad_lines)
        run.read(features_list, f"{len(store.names)} embeddings of {store.embeddings.shape[1]} values")
        if store.skipped_lines:
            run.note(f"{features_list}: {store.skipped_lines} malformed lines were left out")
        backbone = _check_store(store, choice, run)
        cached = {image: store.embeddings[row] for image, row in rows_of(store, pair_file).items()}
    absent = [image for image in pair_file.images() if image not in cached]
    if absent:
        if choice.checkpoint is None:
            raise UserError(
                f"{pair_file.path}: {len(absent)} of its {len(pair_file.images())} images have no embedding (first: {absent[0]}); "
                "give --checkpoint to embed them, or --features_list with all of them"
            )
        cached |= _embed(absent, pair_file, backbone, choice, run)
    return _scores(pair_file, cached, run)


def _check_store(store: FeatureStore, choice: ModelChoice, run: Run) -> Backbone | None:
    """Check the store against the checkpoint, reading the weights only if the file's hash does not settle it."""
    if store.manifest is None:
        run.note(f"{store.path} has no manifest beside it, so nothing shows which weights made it")
        return None
    if choice.checkpoint is None:
        return None
    made_by = store.manifest["checkpoint"]
    if choice.checkpoint.is_file() and sha256(choice.checkpoint) == made_by["file_sha256"]:
        own = Preprocessing(**store.manifest["checkpoint_preprocessing"])
        wanted = own if choice.preprocessing == "auto" else PRESETS[choice.preprocessing]
        check_origin(store, made_by["weights_sha256"], wanted, choice.checkpoint)
        return None
    backbone = _load(choice, run)
    check_origin(store, backbone.weights_sha256, backbone.preprocessing, choice.checkpoint)
    return backbone


def _load(choice: ModelChoice, run: Run) -> Backbone:
    from magface_al.checkpoint import load_backbone

    assert choice.checkpoint is not None
    backbone = load_backbone(choice.checkpoint, choice.arch, choice.preprocessing)
    run.read(choice.checkpoint, backbone.describe())
    return backbone


def rows_of(store: FeatureStore, pair_file: PairFile) -> dict[str, int]:
    """image -> its row in the store, matched by the name as written, otherwise by the place on disk; absent ones are left out."""
    row_of = {name: row for row, name in enumerate(store.names)}
    root = Path(store.root())
    missing = [image for image in pair_file.images() if image not in row_of]
    if missing:
        places = {(root / name).resolve(): row for name, row in row_of.items()}
        found = ((image, places.get(pair_file.locate(image).resolve())) for image in missing)
        row_of |= {image: row for image, row in found if row is not None}
    return {image: row_of[image] for image in pair_file.images() if image in row_of}


def _embed(
    images: list[str], pair_file: PairFile, backbone: Backbone | None, choice: ModelChoice, run: Run
) -> dict[str, np.ndarray]:
    from tqdm import tqdm

    from magface_al.embed import Embedder, face_batches
    from magface_al.runtime import device_name, pick_device

    device = pick_device(choice.device)
    backbone = backbone or _load(choice, run)
    embedder = Embedder(backbone.model, backbone.preprocessing, device)
    run.facts["device"] = device_name(device)
    places = [(image, pair_file.locate(image)) for image in images]
    embedded: dict[str, np.ndarray] = {}
    with tqdm(total=len(images), unit="image", desc="embedding") as progress:
        for batch in face_batches(places, choice.batch_size, choice.workers, embedder.preprocessing.size):
            embedded |= zip(batch.names, embedder(batch.faces), strict=True)
            for image, reason in batch.failures:
                run.note(f"{pair_file.locate(image)}: {reason}; its pairs are left out")
            progress.update(len(batch.names) + len(batch.failures))
    return embedded


def _scores(pair_file: PairFile, embeddings: dict[str, np.ndarray], run: Run) -> PairScores:
    kept: list[Pair] = [pair for pair in pair_file.pairs if pair.image1 in embeddings and pair.image2 in embeddings]
    left_out = len(pair_file.pairs) - len(kept)
    run.facts["pairs_left_out"] = left_out
    if left_out:
        run.note(f"{left_out} of {len(pair_file.pairs)} pairs are left out because an image could not be read")
    if not kept:
        raise UserError(
            f"{pair_file.path}: no pair is left whose two images can be read; paths are relative to its folder or to the working directory"
        )
    side1 = np.stack([embeddings[pair.image1] for pair in kept])
    side2 = np.stack([embeddings[pair.image2] for pair in kept])
    similarity = np.einsum("nd,nd->n", unit(side1), unit(side2))
    return PairScores(replace(pair_file, pairs=kept), similarity, magnitudes(side1), magnitudes(side2))
