"""The labeller's lock: what a view reads stands still, and a pair given to nobody is never in between."""

from __future__ import annotations

import json
import threading

import pytest

from magface_al.labelling import views
from magface_al.labelling.answer_store import AnswerStore
from magface_al.labelling.labeller import Labeller
from magface_al.pairs.pair_file import read_pairs


@pytest.fixture
def labeller(tmp_path):
    pairs = [{"image1": "a.png", "image2": f"{k}.png", "label": None} for k in range(4)]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    made = Labeller(read_pairs(tmp_path / "pairs.json"), tmp_path / "f.json", AnswerStore(tmp_path / "f.sqlite"))
    yield made
    made.close()


def entry(number, pair, **more):
    event_id = f"01234567-89ab-4def-8123-{number:012d}"
    return {"event_id": event_id, "pair_id": pair, "annotator": "ann", "answer": "same", **more}


def test_answers_wait_for_whoever_reads(labeller):
    pair = labeller.next("ann", "window", [], [], 1)["pairs"][0]["pair"]
    writer = threading.Thread(target=labeller.record, args=([entry(1, pair)],))
    with labeller.reading() as state:
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert views.progress(state, "ann")["answers"] == 0
    writer.join(10)
    with labeller.reading() as state:
        assert views.progress(state, "ann")["answers"] == 1


def test_an_error_in_a_view_lets_go_of_the_lock(labeller):
    with pytest.raises(KeyError), labeller.reading() as state:
        views.question(state, "f" * 16, "ann")
    other = threading.Thread(target=labeller.release, args=("ann", "window", []))
    other.start()
    other.join(10)
    assert not other.is_alive()


def test_an_undone_pair_goes_back_to_the_window_that_undid_it(labeller):
    pairs = [question["pair"] for question in labeller.next("ann", "window", [], [], 4)["pairs"]]
    labeller.record([entry(1, pairs[0])], "window")
    labeller.record([entry(2, pairs[0], kind="undo", undoes=entry(1, pairs[0])["event_id"])], "window")
    assert labeller.next("bob", "other", [], [], 4)["pairs"] == []
    with labeller.reading() as state:
        assert set(state.available("ann", "window")) == set(pairs)


def test_views_change_nothing(labeller):
    with labeller.reading() as state:
        keys = list(state.available("ann"))
        grid = views.grid(state, keys)
        assert [candidate["pair"] for candidate in grid["candidates"]] == keys
        assert list(state.available("bob")) == keys
        assert not state.assignment.leases
