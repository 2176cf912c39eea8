"""Feature stores: read back exactly, and refusals that name the line."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.command.errors import UserError
from magface_al.embedding.store import read_features
from magface_al.embedding.store_writer import FeatureWriter
from magface_al.metrics.cosine import LARGEST


def any_float32(count, seed=0):
    bits = np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32)
    values = bits.view(np.float32)
    return values[np.isfinite(values)]


@pytest.mark.parametrize("name", ["f.list", "f.npy"])
def test_a_store_is_read_back_exactly(tmp_path, name):
    embeddings = any_float32(40_000)[: 150 * 128].reshape(150, 128)
    embeddings = np.clip(embeddings, -LARGEST, LARGEST)
    names = [f"person/{k}.jpg" for k in range(150)]
    writer = FeatureWriter(tmp_path / name, {"run": 1})
    for start in range(0, 150, 40):
        writer.append(names[start : start + 40], embeddings[start : start + 40], [])
    writer.finish({"manifest": True})
    store = read_features(tmp_path / name)
    assert store.names == names
    assert np.array_equal(store.embeddings, embeddings)
    assert store.origin.entries == {"manifest": True}
    assert not list(tmp_path.glob("*.part*"))


def test_official_magface_features_are_read(shared_data):
    toy = shared_data / "magface_toy" / "toy_imgs" / "feat.list"
    store = read_features(toy)
    expected = [21.78, 22.16, 24.09, 24.40, 25.90, 27.11, 27.41, 28.22, 28.73, 30.25]
    assert np.linalg.norm(store.embeddings, axis=1) == pytest.approx(expected, abs=0.01)
    reference = [list(map(float, line.split()[1:])) for line in toy.read_text().splitlines()]
    assert np.array_equal(store.embeddings, np.array(reference, np.float32))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a 1 2\nb 1 2 3\n", "line 2: 3 values, expected 2"),
        ("a 1 2\n\nb 1 nan\n", "line 3: a value that is inf, nan or beyond 1,000,000"),
        ("a 1 x\n", "line 1: a value is not a number"),
        ("a\n", "line 1: no values"),
        ("\n", "no embeddings in it"),
    ],
)
def test_bad_text_is_refused_with_its_line(tmp_path, lines, message):
    (tmp_path / "f.list").write_text(lines)
    with pytest.raises(UserError, match=message):
        read_features(tmp_path / "f.list")


def test_bad_lines_are_counted_when_asked_to(tmp_path):
    (tmp_path / "f.list").write_text("a 1 2 \nb 1 2 3\nc 4 5\n")
    store = read_features(tmp_path / "f.list", skip_bad_lines=True)
    assert (store.names, store.skipped_lines) == (["a", "c"], 1)


def test_half_a_binary_store_is_refused(tmp_path):
    np.save(tmp_path / "f.npy", np.ones((3, 2), np.float32))
    with pytest.raises(UserError, match="f.json is missing beside it"):
        read_features(tmp_path / "f.npy")
