"""What answers imply."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from magface_al.choosing import asked as asked_module
from magface_al.choosing.asked import OPEN, Known, read_asked
from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.embedding.store import read_features


@pytest.mark.parametrize("block", [1, 10, 1000])
def test_what_answers_imply_is_what_closing_them_step_by_step_gives(monkeypatch, block):
    rng = np.random.default_rng(0)
    person = rng.integers(0, 5, 24)
    pairs = np.array([p for p in itertools.combinations(range(24), 2) if rng.random() < 0.12])
    label = (person[pairs[:, 0]] == person[pairs[:, 1]]).astype(int)
    label[rng.random(len(label)) < 0.1] = OPEN
    table = {frozenset(p): y for p, y in zip(pairs.tolist(), label, strict=True) if y != OPEN}
    for _ in range(6):
        for a, b, c in itertools.permutations(range(24), 3):
            if table.get(frozenset((a, b))) == 1 and frozenset((b, c)) in table:
                table.setdefault(frozenset((a, c)), table[frozenset((b, c))])
    monkeypatch.setattr(asked_module, "BLOCK", block)
    known = Known(24, pairs, label)
    implied, same = map(np.concatenate, zip(*known.implied(), strict=True))
    assert len(implied) == known.count_implied() == len(table)
    assert (implied[:, 0] < implied[:, 1]).all()
    assert {frozenset(p): int(y) for p, y in zip(implied.tolist(), same, strict=True)} == table
    everything = np.array(list(itertools.permutations(range(24), 2)))
    asked = {frozenset(p) for p in pairs.tolist()}
    assert known.covers(everything).tolist() == [frozenset(p) in table.keys() | asked for p in everything.tolist()]


def asked(folder, entries):
    """What read_asked makes of a pairs file, for a store of three images."""
    (folder / "asked.json").write_text(json.dumps(entries))
    (folder / "f.list").write_text("a 1 2\nb 2 1\nc 1 1\n")
    return read_asked([folder / "asked.json"], read_features(folder / "f.list"), Run("test", {}))


@pytest.mark.parametrize("key", ["batch", "stratum_pairs", "similarity"])
@pytest.mark.parametrize("value", ["1", [1], {}, 1.5, -1, True, 10**400])
def test_a_key_that_holds_another_kind_of_value_is_refused(tmp_path, key, value):
    if key == "similarity" and value in (1.5, -1):
        return
    entries = [{"image1": "a", "image2": "b", "label": 1}, {"image1": "a", "image2": "c", "label": 0, key: value}]
    with pytest.raises(UserError, match=f'asked.json: pair 1: key "{key}" is '):
        asked(tmp_path, entries)


def test_of_a_pair_with_both_labels_the_last_counts_and_that_is_said(tmp_path, capsys):
    entries = [
        {"image1": x, "image2": y, "label": label} for x, y, label in (("a", "b", 1), ("b", "c", 1), ("b", "a", 0))
    ]
    found = asked(tmp_path, entries)
    assert (found.pairs.tolist(), found.label.tolist()) == ([[0, 1], [1, 2]], [0, 1])
    assert (
        "asked.json: 1 pair has both labels (first: pairs 0 and 2); the last answer counts" in capsys.readouterr().err
    )
