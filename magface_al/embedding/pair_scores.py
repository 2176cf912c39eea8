"""Similarities and magnitudes of the pairs of a file, from cached features, a checkpoint, or both."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import sha256
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.embedding.model_flags import ModelChoice
from magface_al.embedding.store import FeatureStore, open_store
from magface_al.faces.preprocess import PRESETS
from magface_al.metrics.cosine import magnitudes, unit
from magface_al.metrics.sides import Sides, sides_of
from magface_al.pairs.pair_file import PairFile

if TYPE_CHECKING:
    from magface_al.embedding.embedder import Embedder
    from magface_al.models.backbone import Backbone


@dataclass(frozen=True)
class PairScores:
    """pair_file holds the N pairs whose images could both be read; similarity and magnitudes are float32 [N].

    left_out: how many pairs could not be scored, because an image could not be read.
    """

    pair_file: PairFile
    similarity: np.ndarray
    magnitude1: np.ndarray
    magnitude2: np.ndarray
    left_out: int = 0


@dataclass(frozen=True)
class PairEmbeddings:
    """sides has the raw embeddings of the N pairs whose images could both be read.

    rows [N] int says where those pairs stand in the file as it was read; pair_file holds only them; left_out is the
    number of the others.
    """

    pair_file: PairFile
    sides: Sides
    rows: np.ndarray
    left_out: int = 0

    def scores(self) -> PairScores:
        """Cosines and magnitudes."""
        directions = replace(self.sides, embeddings=unit(self.sides.embeddings))
        similarity = directions.measured(lambda a, b: np.einsum("nd,nd->n", a, b)).astype(np.float32)
        length = magnitudes(self.sides.embeddings)
        return PairScores(self.pair_file, similarity, length[self.sides.side1], length[self.sides.side2], self.left_out)


def score_pairs(
    pair_file: PairFile,
    choice: ModelChoice,
    run: Run,
    features_list: Path | None = None,
    skip_bad_lines: bool = False,
) -> PairScores:
    """Score every pair of one file; see PairEmbedder."""
    return PairEmbedder(choice, run, features_list, skip_bad_lines)(pair_file).scores()


class PairEmbedder:
    """The embeddings of one model for pairs files. Images in the feature store are not read again; others are embedded.

    The store is read and the weights are loaded once, and an image is embedded once, however many files name it. Torch
    is imported only if something has to be embedded, or if the checkpoint is not the very file that made the store.
    Raises UserError for a store made by other weights, or for images that are nowhere to be had.
    """

    def __init__(
        self, choice: ModelChoice, run: Run, features_list: Path | None = None, skip_bad_lines: bool = False
    ) -> None:
        self.choice, self.run = choice, run
        self._opened: tuple[Backbone, Embedder] | None = None
        self._store: FeatureStore | None = None
        self._done: dict[Path | bytes, np.ndarray] = {}  # by place on disk, or by content
        if features_list is not None:
            self._store = open_store(features_list, run, skip_bad_lines=skip_bad_lines)
            self._check_store(self._store)

    def __call__(self, pair_file: PairFile) -> PairEmbeddings:
        """Embed both sides of every pair."""
        store = self._store
        known = {image: store.embeddings[row] for image, row in rows_of(store, pair_file).items()} if store else {}
        absent = [image for image in pair_file.images() if image not in known]
        if absent and self.choice.checkpoint is None:
            raise UserError(
                f"{pair_file.path}: {len(absent)} of its {counted(len(pair_file.images()), 'image')} have no embedding (first: {absent[0]}); "
                "give --checkpoint to embed them, or --features_list with all of them"
            )
        new = self._embed(absent, pair_file)
        if store and new and len(next(iter(new.values()))) != store.embeddings.shape[1]:
            raise UserError(
                f"{store.path}: {counted(store.embeddings.shape[1], 'value')} a row, expected {len(next(iter(new.values())))} as "
                f"{self.choice.checkpoint} gives for the images that it lacks; run gen_features.py with this checkpoint"
            )
        return _both_sides(pair_file, known | new, self.run)

    def _check_store(self, store: FeatureStore) -> None:
        """Check the store against the checkpoint, reading the weights only if the file's hash does not settle it."""
        checkpoint, run = self.choice.checkpoint, self.run
        origin = store.origin
        if origin is None:
            run.note(f"{store.path} has no manifest beside it, so nothing shows which weights made it")
            return
        if self.choice.flip == "auto":
            self.choice = replace(self.choice, flip=store.flip())
        if store.flip() != self.choice.flip:
            raise UserError(
                f"{store.path}: made with --flip {store.flip()}, expected {self.choice.flip} as in this run; "
                "run gen_features.py again with that --flip"
            )
        if checkpoint is None:
            return
        if checkpoint.is_file() and sha256(checkpoint) == origin.file_sha256():
            own = origin.own_convention()
            wanted = own if self.choice.preprocessing == "auto" else PRESETS[self.choice.preprocessing]
            origin.check(store.path, origin.weights_sha256(), wanted, checkpoint)
        else:
            backbone, _ = self._model()
            origin.check(store.path, backbone.weights_sha256, backbone.preprocessing, checkpoint)

    def _model(self) -> tuple[Backbone, Embedder]:
        from magface_al.embedding.embedder import open_embedder  # torch: not where a feature store has everything
        from magface_al.models.device import device_name

        if self._opened is None:
            backbone, embedder = self._opened = open_embedder(self.choice)
            self.run.input(backbone.path, backbone.describe(), backbone.file_sha256)
            self.run.facts["device"] = device_name(embedder.device)
        return self._opened

    def _embed(self, images: list[str], pair_file: PairFile) -> dict[str, np.ndarray]:
        sources = {image: pair_file.source(image) for image in images}
        new = {source: image for image, source in sources.items() if source not in self._done}
        if new:
            self._embed_new([(image, source) for source, image in new.items()])
        return {image: self._done[source] for image, source in sources.items() if source in self._done}

    def _embed_new(self, images: list[tuple[str, Path | bytes]]) -> None:
        from tqdm import tqdm

        from magface_al.embedding.embedder import embed_images  # torch, as in _model

        (_, embedder), source_of = self._model(), dict(images)
        with tqdm(total=len(images), unit="image", desc="embedding") as progress:
            embeddings, failures = embed_images(
                embedder, images, self.choice.batch_size, self.choice.workers, progress.update
            )
        self._done |= {source_of[name]: embedding for name, embedding in embeddings.items()}
        for name, reason in failures:
            source = source_of[name]
            place = name if isinstance(source, bytes) else source
            self.run.note(f"{place}: {reason}; its pairs are left out")


def rows_of(store: FeatureStore, pair_file: PairFile) -> dict[str, int]:
    """image -> its row in the store, matched by the name as written, otherwise by the place on disk; absent ones are left out."""
    row_of = {name: row for row, name in enumerate(store.names)}
    root = Path(store.root())
    missing = [image for image in pair_file.images() if image not in row_of]
    if missing:
        places = {os.path.realpath(root / name): row for name, row in row_of.items()}
        found = ((image, places.get(os.path.realpath(pair_file.locate(image)))) for image in missing)
        row_of |= {image: row for image, row in found if row is not None}
    return {image: row_of[image] for image in pair_file.images() if image in row_of}


def _both_sides(pair_file: PairFile, embeddings: dict[str, np.ndarray], run: Run) -> PairEmbeddings:
    kept = [row for row, pair in enumerate(pair_file.pairs) if pair.image1 in embeddings and pair.image2 in embeddings]
    left_out = len(pair_file.pairs) - len(kept)
    if left_out:
        total = counted(len(pair_file.pairs), "pair")
        are = counted(left_out, f"of {total} is", f"of {total} are")
        run.note(f"{pair_file.path}: {are} left out because an image could not be read")
    if not kept:
        raise UserError(
            f"{pair_file.path}: no pair is left whose two images can be read; paths are relative to its folder or to the working directory"
        )
    pairs = [pair_file.pairs[row] for row in kept]
    sides = sides_of(embeddings, [(pair.image1, pair.image2) for pair in pairs])
    return PairEmbeddings(replace(pair_file, pairs=pairs), sides, np.array(kept), left_out)
