"""build_hard_pairs.py on drawn faces."""

from __future__ import annotations

import resource

import numpy as np
import pytest

from magface_al.embedding.store import read_features
from magface_al.metrics.cosine import unit
from magface_al.pairs.pair_file import read_pairs


def test_hard_pairs_are_the_hardest_and_say_so(run_script, tmp_path, features):
    flags = [
        "--features_list",
        features,
        "--pos_target",
        6000,
        "--neg_target",
        50,
        "--max_per_image",
        0,
        "--output_file",
    ]
    done = run_script("build_hard_pairs.py", *flags, "pairs.json")
    assert "only 120 of the 6000 same pairs wanted exist" in done.stderr  # 12 people x 10 pairs of 5 images
    assert "different pairs: cosine min" in done.stdout
    found = read_pairs(tmp_path / "pairs.json").pairs
    store = read_features(features)
    directions, row = unit(store.embeddings), {name: k for k, name in enumerate(store.names)}
    cosine = directions @ directions.T
    person = np.array([name.split("/")[-2] for name in store.names])
    different = np.triu(person[:, None] != person[None, :])
    assert min(p.extra["similarity"] for p in found if p.label == 0) == pytest.approx(
        np.sort(cosine[different])[-50], abs=1e-5
    )
    for pair in found:
        assert pair.extra["similarity"] == pytest.approx(cosine[row[pair.image1], row[pair.image2]], abs=1e-5)
    run_script("build_hard_pairs.py", *flags, "again.json")
    assert read_pairs(tmp_path / "again.json").pairs == found


@pytest.mark.parametrize("strategy", ["sampled", "balanced"])
def test_random_strategies_follow_the_seed(run_script, tmp_path, features, strategy):
    flags = [
        "--features_list",
        features,
        "--pos_target",
        30,
        "--neg_target",
        30,
        "--strategy",
        strategy,
        "--output_file",
    ]
    run_script("build_hard_pairs.py", *flags, "a.json", "--seed", 1)
    run_script("build_hard_pairs.py", *flags, "b.json", "--seed", 1)
    run_script("build_hard_pairs.py", *flags, "c.json", "--seed", 2)
    a, b, c = (read_pairs(tmp_path / f"{name}.json").pairs for name in "abc")
    assert a == b != c
    assert len({pair.key() for pair in a}) == 60


def test_identities_may_come_from_a_list(run_script, tmp_path):
    (tmp_path / "f.list").write_text("a.jpg 1 0\nb.jpg 0.9 0.1\nc.jpg 0 1\n")
    one = run_script("build_hard_pairs.py", "--features_list", "f.list", "--output_file", "p.json", code=2)
    assert "all 3 images show one identity" in one.stderr
    (tmp_path / "who.list").write_text("a.jpg 0 7 0\nb.jpg 0 7 0\nc.jpg ann\n")
    run_script(
        "build_hard_pairs.py",
        "--features_list",
        "f.list",
        "--output_file",
        "p.json",
        "--identity_from",
        "list",
        "--identity_list",
        "who.list",
    )
    found = {pair.key(): pair.label for pair in read_pairs(tmp_path / "p.json").pairs}
    assert found == {("a.jpg", "b.jpg"): 1, ("a.jpg", "c.jpg"): 0, ("b.jpg", "c.jpg"): 0}


def test_a_full_disk_leaves_the_old_pairs(run_process, tmp_path, features, pairs):
    before = pairs.read_bytes()
    done = run_process("build_hard_pairs.py", "--features_list", features, "--output_file", pairs, "--seed", 1, code=1,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)))  # fmt: skip
    assert "File too large" in done.stderr
    assert pairs.read_bytes() == before


def test_flags_are_refused_before_the_store_is_read(run_script):
    done = run_script("build_hard_pairs.py", "--features_list", "absent.npy", "--output_file", "p.json", "--identity_from", "list", code=2)  # fmt: skip
    assert "--identity_from list and --identity_list belong together" in done.stderr
