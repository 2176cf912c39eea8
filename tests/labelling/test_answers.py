"""What answers amount to: majority, undo, rulings."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from magface_al.labelling.answers import Answers
from magface_al.labelling.events import Event

numbers = itertools.count()
P, Q = "0" * 16, "1" * 16


def event(answer, who="ann", pair=P, kind="answer", **more):
    return Event(f"event {next(numbers)}", kind, pair, who, "2026-01-02T03:04:05+00:00", answer, **more)


def undo(undone):
    return event(None, undone.annotator, undone.pair_id, "undo", undoes=undone.event_id)


@pytest.mark.parametrize(
    ("said", "answer", "label"),
    [
        (["same"], "same", 1),
        (["different"], "different", 0),
        (["unsure"], "unsure", None),
        (["bad_image"], "bad_image", None),
        (["same", "different"], "disagreement", None),
        (["same", "different", "same"], "same", 1),
        (["unsure", "same"], "same", 1),  # the second person decides
        (["unsure", "same", "unsure"], "unsure", None),
        (["bad_image", "different", "bad_image"], "bad_image", None),
        (["unsure", "same", "different"], "disagreement", None),
        (["skip"], None, None),
        (["skip", "different"], "different", 0),
    ],
)
def test_the_label_is_the_majority_and_abstentions_stay_out(said, answer, label):
    verdict = Answers(event(word, who=f"person {k}") for k, word in enumerate(said)).verdict(P)
    assert (verdict and verdict.answer, verdict and verdict.label) == (answer, label)


def test_the_latest_answer_of_a_person_counts_and_undo_goes_back_step_by_step():
    first, second = event("same"), event("different")
    answers = Answers([first, second])
    assert answers.verdict(P).answer == "different"
    answers.add(undo(second))
    assert answers.verdict(P).answer == "same"
    answers.add(undo(first))
    assert answers.verdict(P) is None
    assert list(answers.history("ann")) == []


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("changes", "withdraws"),
    [
        ({}, True),
        ({"annotator": "eve"}, False),  # another person's answer
        ({"pair_id": Q}, False),  # an answer to another pair
        ({"annotator": "eve", "pair_id": Q}, False),
    ],
)
def test_an_undo_withdraws_nothing_but_its_own_answer_in_whichever_order_they_arrive(order, changes, withdraws):
    answer = event("same")
    events = [answer, dataclasses.replace(undo(answer), **changes)][::order]
    assert (Answers(events).verdict(P) is None) == withdraws


def test_a_ruling_is_withdrawn_by_anybody_and_an_undo_by_nobody():
    ruling = event("different", "lead", kind="ruling")
    withdrawn = dataclasses.replace(undo(ruling), annotator="ann")
    answers = Answers([ruling, withdrawn, undo(withdrawn)])
    assert answers.verdict(P) is None


def test_an_undo_that_arrives_before_its_answer_withdraws_it_all_the_same():
    first = event("same")
    assert Answers([undo(first), first]).verdict(P) is None


def test_an_event_that_is_sent_twice_counts_once():
    first = event("same")
    answers = Answers([first, first])
    assert len(list(answers.history("ann"))) == 1


def test_a_ruling_beats_any_majority_until_it_is_withdrawn():
    ruling = event("different", "lead", kind="ruling")
    answers = Answers([event("same", "a"), event("same", "b"), ruling, event("same", "c")])
    assert (answers.verdict(P).label, len(answers.verdict(P).votes)) == (0, 3)
    answers.add(undo(ruling))
    assert answers.verdict(P).label == 1
