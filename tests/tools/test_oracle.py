"""tools/oracle.py answers as somebody would who knows the people."""

from __future__ import annotations

import json

from magface_al.pairs.pair_file import read_pairs


def answer(run_script, ask, feedback, *flags):
    run_script("tools/oracle.py", "--pairs_file", ask, "--feedback_file", feedback, *flags)


def test_an_oracle_errs_as_often_as_told(run_script, tmp_path):
    pairs = [{"image1": f"p{k % 3}/{k}.png", "image2": "p0/x.png", "label": None, "holdout": True} for k in range(400)]
    (tmp_path / "ask.json").write_text(json.dumps({"pairs": pairs, "seed": 1}))
    answer(run_script, "ask.json", "right.json")
    answer(run_script, "ask.json", "noisy.json", "--noise", 0.25)
    right, noisy = read_pairs(tmp_path / "right.json"), read_pairs(tmp_path / "noisy.json")
    assert [pair.label for pair in right.pairs] == [int(k % 3 == 0) for k in range(400)]
    assert right.pairs[1].extra.keys() == {"holdout", "answer", "annotator", "labeled_at"}
    assert right.extra == {"seed": 1}
    assert 70 <= sum(a.label != b.label for a, b in zip(right.pairs, noisy.pairs, strict=True)) <= 130
