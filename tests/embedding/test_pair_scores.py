"""Pairs whose images cannot be read are counted where the result is; a model is opened as its choice says."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.embedding.embedder import open_embedder
from magface_al.embedding.model_flags import ModelChoice
from magface_al.embedding.pair_scores import PairEmbedder
from magface_al.faces.preprocess import PRESETS
from magface_al.pairs.pair_file import Pair, PairFile


def test_what_is_left_out_is_returned(tmp_path, faces, tiny_checkpoint, capsys):
    a, b, c = (faces / "images.list").read_text().split()[:3]
    (tmp_path / "broken.png").write_bytes(b"no image")
    broken = str(tmp_path / "broken.png")
    pairs = [Pair(a, b, 1), Pair(a, broken, 0), Pair(b, c, 0), Pair(broken, c, 0)]
    run = Run("test", {})
    embedded = PairEmbedder(ModelChoice(tiny_checkpoint, device="cpu"), run)(PairFile(tmp_path / "p.json", pairs, {}))
    assert (embedded.left_out, embedded.rows.tolist()) == (2, [0, 2])
    scores = embedded.scores()
    assert scores.left_out == 2
    assert "pairs_left_out" not in run.facts
    assert run.facts["device"].startswith("cpu")
    assert "2 of 4 pairs are left out because an image could not be read" in capsys.readouterr().err
    _, embedder = open_embedder(ModelChoice(tiny_checkpoint, device="cpu"))
    assert np.allclose(np.linalg.norm(embedded.sides.embeddings[embedded.sides.side1], axis=1), scores.magnitude1)
    assert embedder.preprocessing == PRESETS["magface"]


@pytest.mark.parametrize(("flip", "dimensions"), [("none", 128), ("sum", 128), ("concat", 256), ("auto", 128)])
def test_a_model_is_opened_with_its_flip_and_convention(tiny_checkpoint, flip, dimensions):
    choice = ModelChoice(tiny_checkpoint, preprocessing="arcface", device="cpu", flip=flip)
    backbone, embedder = open_embedder(choice)
    assert embedder.flip == backbone.flip_for(flip)
    assert embedder.preprocessing == PRESETS["arcface"]
    assert embedder(np.zeros((1, 112, 112, 3), np.uint8)).shape == (1, dimensions)


def test_a_store_of_another_width_than_the_weights_is_refused(tmp_path, faces, tiny_checkpoint):
    a, b = (faces / "images.list").read_text().split()[:2]
    (tmp_path / "f.list").write_text(f"{a} 1 2 3\n")  # of another tool: without a manifest nothing else tells
    embed = PairEmbedder(ModelChoice(tiny_checkpoint, device="cpu"), Run("test", {}), tmp_path / "f.list")
    with pytest.raises(UserError, match="f.list: 3 values a row, expected 128 as .*tiny.pth gives"):
        embed(PairFile(tmp_path / "p.json", [Pair(a, b, 1)], {}))
