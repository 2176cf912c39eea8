"""A few rounds of the kill harness; make kill runs many."""

from __future__ import annotations

import pytest

from tests.kill.harness import kill
from tests.support.stages import comparable, differences, halves

pytestmark = pytest.mark.process


@pytest.mark.slow(15)
def test_nothing_is_lost_by_kills(tmp_path):
    """Of each kind of writer one: rows that are taken up, records, a folder replaced whole, a training, a database."""
    for seed, stage in enumerate(("gen_features binary", "list2rec", "create_test_feedback", "train", "label_pairs")):
        folder = tmp_path / stage
        folder.mkdir()
        (count,) = kill(2 if stage == "label_pairs" else 1, seed, folder, stage, say=lambda _: None).values()
        assert not count.losses
        assert count.kills >= 1, "every run had ended before it could be killed"


def test_the_harness_sees_what_it_looks_for():
    whole = {"a.json": b'{"a": 1, "seconds": 2}', "t.list": b"a\nb\n", "x.png": b"png"}
    assert not halves(whole, [whole])
    assert halves({"a.json": b'{"a": 1'}, [whole]) == [
        "a.json is half: Expecting ',' delimiter: line 1 column 8 (char 7)"
    ]
    assert halves({"t.list": b"a\n"}, [whole]) == ["t.list is neither the old nor the new one"]
    assert halves({"x.png": b"p"}, [whole])
    assert not halves({"t.list.part": b"a", ".magface_al-x.part/t.list": b""}, [whole])
    assert differences({"t.list": b"a\nc\n", "u": b""}, {"t.list": b"a\nb\n", "v": b""}) == [
        "v is missing",
        "u is left over",
        "t.list differs from the undisturbed run's",
    ]
    assert comparable("manifest.json", b'{"a": 1, "seconds": 2}') == {"a": 1}
