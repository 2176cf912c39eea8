"""Feature stores that are none, or not whole, or not of this world: refused in one line, before anything is allocated."""

from __future__ import annotations

import io
import json
import tracemalloc
import warnings

import numpy as np
import pytest

from magface_al.command.errors import UserError, WorkError
from magface_al.embedding.embedder import Embedder
from magface_al.embedding.origin import Origin
from magface_al.embedding.store import read_features
from magface_al.embedding.store_writer import FeatureWriter
from magface_al.metrics.cosine import LARGEST, magnitudes, unit

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def store(path, data, names=("a", "b", "c"), manifest=None):
    path.write_bytes(data)
    path.with_suffix(".paths.txt").write_text("".join(f"{name}\n" for name in names))
    path.with_suffix(".json").write_text(json.dumps(manifest or {}))
    return path


def saved(array, save=np.save):
    buffer = io.BytesIO()
    save(buffer, array)
    return buffer.getvalue()


def with_header(text):
    header = text.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + ROWS.tobytes()


WHOLE = saved(ROWS)
SHAPE = "{{'descr': '<f4', 'fortran_order': False, 'shape': {}, }}"
ODD = {
    "nothing": b"",
    "a few bytes": b"\x93NUM",
    "an npz": saved(ROWS, np.savez),
    "text": saved(np.array([["a", "b"]] * 3)),
    "objects": saved(np.array([[None] * 4] * 3, object)),
    "a table": saved(np.zeros(3, [("x", "<f4"), ("y", "<f4")])),
    "whole numbers": saved(ROWS.astype(np.int32)),
    "doubles": saved(ROWS.astype(np.float64)),
    "the other byte order": saved(ROWS.astype(">f4")),
    "columns": saved(np.asfortranarray(ROWS)),
    "one number": saved(np.float32(1)),
    "one row": saved(ROWS[0]),
    "three dimensions": saved(ROWS[None]),
    "no rows": saved(ROWS[:0]),
    "no values": saved(ROWS[:, :0]),
    "a row less": WHOLE[:-16],
    "a byte more": WHOLE + b"\0",
    "fewer values than there are": with_header(SHAPE.format("(3, 2)")),
    "exabytes": with_header(SHAPE.format("(3, 1152921504606846976)")),
    "more than a pointer": with_header(SHAPE.format("(3, 99999999999999999999999)")),
    "less than nothing": with_header(SHAPE.format("(-3, -4)")),
    "a shape of words": with_header(SHAPE.format("('a', 'b')")),
    "no header": with_header("1"),
    "an open bracket": with_header("{'descr': (("),
    "nested": with_header("(" * 110),
    "another version": WHOLE[:6] + b"\x09\x00" + WHOLE[8:],
    "the second version": WHOLE[:6] + b"\x02\x00" + WHOLE[8:],
}


@pytest.mark.parametrize("name", ODD)
def test_an_array_that_is_no_store_is_refused(tmp_path, name):
    tracemalloc.start()
    with warnings.catch_warnings(), pytest.raises(UserError, match=r"f\.npy: "):
        warnings.simplefilter("error")
        read_features(store(tmp_path / "f.npy", ODD[name]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


def test_the_whole_store_is_read(tmp_path):
    assert np.array_equal(read_features(store(tmp_path / "f.npy", WHOLE)).embeddings, ROWS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e37, -3e19, LARGEST * 1.01])
def test_values_whose_length_would_overflow_are_refused_by_every_reader_and_writer(tmp_path, value):
    rows = ROWS.copy()
    rows[1, 2] = value
    with pytest.raises(UserError, match="row 1: a value that is inf, nan or beyond 1,000,000"):
        read_features(store(tmp_path / "f.npy", saved(rows)))
    (tmp_path / "f.list").write_text(
        "".join(f"{k} {' '.join(map(repr, row.tolist()))}\n" for k, row in enumerate(rows))
    )
    with pytest.raises(UserError, match="line 2: a value that is inf, nan or beyond 1,000,000"):
        read_features(tmp_path / "f.list")
    assert read_features(tmp_path / "f.list", skip_bad_lines=True).names == ["0", "2"]
    for name in ("g.npy", "g.list"):
        with (
            FeatureWriter(tmp_path / name, {}) as writer,
            pytest.raises(WorkError, match="^b: its embedding has a value that is inf"),
        ):
            writer.append(["a", "b", "c"], rows, [])
        assert writer.rows == 0


def test_the_largest_values_make_no_figure_overflow():
    rows = np.full((1000, 512), LARGEST, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lengths = magnitudes(rows)
        squared = rows * lengths[:, None]  # the heaviest weight that a pooling gives
        assert np.isfinite(unit(squared.sum(axis=0, keepdims=True))).all()
        assert magnitudes(unit(rows)) == pytest.approx(1)


@pytest.mark.parametrize("number", ["1e39", "9" * 5000, "-1e400", "nan", "0x10", "²", ""])
def test_a_number_in_a_text_store_that_is_none(tmp_path, number):
    (tmp_path / "f.list").write_text(f"a 1 2\nb 1 {number}\n")
    with warnings.catch_warnings(), pytest.raises(UserError, match="line 2: "):
        warnings.simplefilter("error")
        read_features(tmp_path / "f.list")


def written(folder, name):
    with FeatureWriter(folder / name, {}) as writer:
        writer.append(["a", "b", "c"], ROWS, [])
        writer.finish({"rows": 3})
    return folder / name


@pytest.mark.parametrize("kept", range(1, 12))
def test_a_text_store_that_was_cut_is_refused(tmp_path, kept):
    """Even where the last number is still a number, and the last line still a line."""
    path = written(tmp_path, "f.list")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * kept // 12])
    with pytest.raises(UserError, match=r"f\.list: "):
        read_features(path)
    path.write_bytes(data[:-2])
    with pytest.raises(UserError, match="line 3: has no end, so the file is cut off"):
        read_features(path)


def test_a_store_of_fewer_rows_than_its_manifest_is_refused(tmp_path):
    path = written(tmp_path, "f.list")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(UserError, match="2 embeddings, expected 3 as its manifest f.list.json says"):
        read_features(path)
    (tmp_path / "f.list.json").unlink()
    assert read_features(path).names == ["a", "b"]


CONVENTION = {"channel_order": "BGR", "mean": 0.0, "std": 1.0, "size": 112}
MANIFEST = {
    "arguments": {"root": "."},
    "checkpoint": {"file": "m.pth", "file_sha256": "0" * 64, "weights_sha256": "1" * 64},
    "preprocessing": CONVENTION,
    "checkpoint_preprocessing": CONVENTION,
    "flip": "none",
    "rows": 3,
}


@pytest.mark.parametrize("manifest", [[], "x", 3, None])
def test_a_manifest_is_an_object(tmp_path, manifest):
    path = store(tmp_path / "f.npy", WHOLE)
    (tmp_path / "f.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"f\.json: a \w+, expected a JSON object as gen_features.py writes it"):
        read_features(path)


@pytest.mark.parametrize("wrong", [None, [], {}, 3, "", True, {"std": 0}])
@pytest.mark.parametrize(
    "key", ["arguments", "checkpoint", "preprocessing", "checkpoint_preprocessing", "flip", "missing"]
)
def test_what_a_manifest_lacks_is_said_where_it_is_needed(run_script, tmp_path, tiny_checkpoint, key, wrong):
    """Never a traceback, whatever a key holds; a key that nobody needs may hold anything."""
    path = store(tmp_path / "f.npy", WHOLE, manifest=MANIFEST | {key: wrong})
    (tmp_path / "p.json").write_text(json.dumps([{"image1": "a", "image2": "x/../b", "label": 1}]))
    flags = ["--features_list", path, "--feedback_file", "p.json", "--model", tiny_checkpoint, "--force_cpu"]
    done = run_script("visualize_errors.py", *flags, code=2).stderr
    expected = "made with other weights" if key in ("missing", "checkpoint_preprocessing") else ""
    assert expected in done
    assert done.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 10**9},
        {"size": 112.0},
        {"std": 0},
        {"std": "1"},
        {"mean": 1e400},
        {"channel_order": "GBR"},
        {"x": 1},
    ],
)
def test_an_input_convention_that_is_none(tmp_path, change):
    (tmp_path / "f.json").write_text(json.dumps(MANIFEST | {"checkpoint_preprocessing": CONVENTION | change}))
    with pytest.raises(UserError, match=r"f\.json: "):
        Origin(tmp_path / "f.json").own_convention()


def test_weights_that_give_no_numbers_are_named(monkeypatch, run_script, tmp_path, faces, tiny_checkpoint):
    """Diverged ones, say: their infinite outputs end in one line, and nothing that could be read later is written."""
    monkeypatch.setattr(Embedder, "_forward", lambda self, batch: np.full((len(batch), 4), np.nan, np.float32))
    flags = ["--inf_list", faces / "images.list", "--feat_list", "f.npy", "--resume", tiny_checkpoint]
    assert "weights are damaged, or their training diverged" in run_script("gen_features.py", *flags, code=1).stderr
    images = (faces / "images.list").read_text().split()[:2]
    done = run_script("compare_faces.py", "--model", tiny_checkpoint, *images, code=1).stderr
    assert "weights are damaged, or their training diverged" in done
