"""What the labeller says is saved, and what it refuses."""

from __future__ import annotations

import os
import threading

import pytest

from magface_al.command.errors import WorkError
from magface_al.labelling.answer_store import AnswerStore, NotSaved
from magface_al.labelling.assignment import Settings
from magface_al.labelling.events import pair_id
from magface_al.labelling.labeller import Labeller
from magface_al.pairs.pair_file import Pair, PairFile, read_pairs
from tests.support.answers import an_event, an_undo, as_sent
from tests.support.labeller_process import wait_until

PAIRS = [Pair("a", f"{number}", None) for number in range(4)]
P, Q = pair_id(PAIRS[0]), pair_id(PAIRS[1])


@pytest.fixture
def labeller(tmp_path):
    store = AnswerStore(tmp_path / "f.sqlite")
    opened = Labeller(PairFile(tmp_path / "pairs.json", PAIRS), tmp_path / "f.json", store, Settings(overlap=3))
    yield opened
    opened.close()


def said(labeller, *entries):
    """What record returns, as (ids saved, reasons)."""
    result = labeller.record(list(entries))
    return result["saved"], [refused["reason"] for refused in result["refused"]]


def label(labeller, number=0):
    return labeller.export()[number].label


@pytest.mark.parametrize("in_one_batch", [True, False])
@pytest.mark.parametrize(
    ("who", "pair", "reason"),
    [("eve", P, "another person's answer"), ("ann", Q, "about another pair"), ("eve", Q, "about another pair")],
)
def test_an_undo_of_what_is_not_its_own_is_refused(labeller, in_one_batch, who, pair, reason):
    answer = an_event(pair=P)
    undo = an_undo(answer, who, pair)
    if in_one_batch:
        saved, reasons = said(labeller, as_sent(answer), as_sent(undo))
    else:
        assert said(labeller, as_sent(answer)) == ([answer.event_id], [])
        saved, reasons = said(labeller, as_sent(undo))
    assert undo.event_id not in saved
    assert len(reasons) == 1
    assert reason in reasons[0]
    assert label(labeller) == 1


def test_an_undo_that_comes_first_is_kept_and_checked_when_its_answer_comes(labeller):
    answer, other = an_event(pair=P), an_event("different", pair=Q)
    undos = [an_undo(answer), an_undo(other, "eve")]
    assert said(labeller, *map(as_sent, undos)) == ([undo.event_id for undo in undos], [])
    assert said(labeller, as_sent(answer), as_sent(other)) == ([answer.event_id, other.event_id], [])
    assert (label(labeller, 0), label(labeller, 1)) == (None, 0)


@pytest.mark.parametrize("in_one_batch", [True, False])
@pytest.mark.parametrize(
    "changes",
    [{"answer": "different"}, {"annotator": "eve"}, {"pair_id": Q}, {"kind": "ruling"}, {"seconds": 2.0}, {"left": "image1"},
     {"kind": "undo", "undoes": "01234567-89ab-4def-8123-456789abcdef"}, {"answered_at": "2026-01-02T03:04:06Z"}],
)  # fmt: skip
def test_an_id_that_comes_again_with_something_else_is_not_called_saved(labeller, changes, in_one_batch):
    answer = an_event(pair=P)
    again = as_sent(answer, **changes)
    if not in_one_batch:
        said(labeller, as_sent(answer))
    saved, reasons = said(labeller, *([as_sent(answer)] if in_one_batch else []), again)
    assert saved == [answer.event_id] * in_one_batch
    assert reasons == ["this event_id belongs to something else that was answered before"]
    assert [event.answer for event in labeller._store.events()] == ["same"]


def test_the_same_event_again_is_confirmed_also_after_a_restart_and_without_a_time(labeller, tmp_path):
    timed, timeless = as_sent(an_event(pair=P, seconds=1.23456)), as_sent(an_event(pair=Q))
    del timeless["answered_at"]
    ids = [timed["event_id"], timeless["event_id"]]
    assert said(labeller, timed, timeless, timed) == ([*ids, ids[0]], [])
    assert said(labeller, timeless, timed) == (ids[::-1], [])
    labeller.close()
    again = Labeller(PairFile(tmp_path / "pairs.json", PAIRS), tmp_path / "f.json", AnswerStore(tmp_path / "f.sqlite"))
    assert said(again, timed, timeless) == (ids, [])
    again.close()


def test_an_id_of_a_damaged_row_is_not_called_saved(labeller, tmp_path):
    answer = an_event(pair=P)
    said(labeller, as_sent(answer))
    labeller._store._connection.execute("UPDATE events SET answer = 'samd'")
    labeller.close()
    again = Labeller(PairFile(tmp_path / "pairs.json", PAIRS), tmp_path / "f.json", AnswerStore(tmp_path / "f.sqlite"))
    assert said(again, as_sent(answer)) == ([], ["this event_id stands in a damaged row of the database"])
    again.close()


def test_refusals_name_ids_that_can_be_sent(labeller):
    result = labeller.record([{"event_id": value} for value in (3, [], {}, None, float("nan"))] + [7, None])
    assert {refused["event_id"] for refused in result["refused"]} == {None}


def test_once_the_database_is_gone_nothing_is_called_saved_and_the_export_has_the_rest(labeller, tmp_path):
    said(labeller, as_sent(an_event(pair=P)))
    labeller.next("ann", "window", [], [], 2)
    (tmp_path / "f.sqlite").unlink()
    assert labeller.look()  # although nobody answers
    assert not labeller.look()
    with pytest.raises(NotSaved, match="was deleted, moved or replaced"):
        labeller.record([as_sent(an_event(pair=Q))])
    labeller.next("ann", "window", [], [], 2)
    assert label(labeller) == 1
    assert label(labeller, 1) is None
    assert labeller.export_error == labeller.lost
    labeller.close()
    assert [pair.label for pair in read_pairs(tmp_path / "f.json").pairs] == [1, None, None, None]


def nested():
    """Lists inside lists, more than can be written."""
    value = []
    for _ in range(10_000):
        value = [value]
    return value


@pytest.mark.parametrize("make", [object, nested, lambda: float("nan"), lambda: {("a",): 1}, lambda: b"x"])
def test_an_export_that_fails_in_whatever_way_is_told_and_the_next_one_works(labeller, make):
    said(labeller, as_sent(an_event(pair=P)))
    labeller.catalogue.pair_file.extra["bad"] = make()
    for _ in range(2):
        with pytest.raises(WorkError, match=r"f\.json could not be written .* the answers are safe in .*f\.sqlite"):
            labeller.export()
        assert "f.json could not be written" in labeller.export_error
        assert labeller.look()  # it is tried again
    del labeller.catalogue.pair_file.extra["bad"]
    assert label(labeller) == 1
    assert labeller.export_error is None
    assert not labeller.look()


@pytest.mark.parametrize(("make", "why"), [(os.mkdir, "Is a directory"), (os.mkfifo, "Is a device, pipe or socket")])
def test_what_is_no_file_in_the_feedback_files_place_is_told_and_left(labeller, tmp_path, make, why):
    make(tmp_path / "f.json")
    with pytest.raises(WorkError, match=rf"f\.json: {why}"):
        labeller.export()
    assert not (tmp_path / "f.json").is_file()


def test_what_is_called_saved_while_an_export_ends_is_on_the_disk(labeller, tmp_path):
    """Exports and answers share one connection: neither may write inside the other's transaction."""
    stop = threading.Event()

    def export():
        while not stop.is_set():
            labeller.export()

    exporting = [threading.Thread(target=export) for _ in range(2)]
    for thread in exporting:
        thread.start()
    saved = []
    for _ in range(300):
        saved += said(labeller, as_sent(an_event(pair=P)))[0]
    stop.set()
    for thread in exporting:
        thread.join()
    labeller.close()
    store = AnswerStore(tmp_path / "f.sqlite")
    assert [event.event_id for event in store.events()] == saved
    store.close()


def test_ending_twice_and_while_others_are_at_work(labeller):
    stop, failures = threading.Event(), []

    def work():
        while not stop.is_set():
            try:
                labeller.record([as_sent(an_event(pair=P))])
                labeller.export()
            except NotSaved:
                return
            except Exception as error:
                failures.append(error)
                raise

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert wait_until(lambda: label(labeller) is not None)
        labeller.close()
        labeller.close()
        for thread in threads:
            thread.join()
    finally:
        stop.set()
    assert not failures
    with pytest.raises(NotSaved, match="the labeller has ended"):
        labeller.record([as_sent(an_event(pair=Q))])
    assert label(labeller) == 1  # an export after the end writes what is known
