"""Events as they arrive."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from magface_al.labelling.events import LONGEST_ANSWER, pair_id, parse_event
from magface_al.pairs.pair_file import Pair

P = "0" * 16


def test_a_pair_keeps_its_id_whichever_way_round_it_stands():
    assert pair_id(Pair("a", "b", None)) == pair_id(Pair("b", "a", 1)) != pair_id(Pair("a", "c", None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "maybe"}, "answer is 'maybe'"),
        ({"event_id": "1"}, "event_id is '1'"),
        ({"pair_id": "../../etc"}, "pair_id is '../../etc'"),
        ({"annotator": " "}, "annotator is ' '"),
        ({"annotator": "x" * 61}, "expected a name of 1 to 60"),
        ({"annotator": "a\nb"}, "printable"),
        ({"seconds": float("nan")}, "seconds is 'nan'"),
        ({"seconds": True}, "seconds is 'True'"),
        ({"answered_at": "yesterday"}, "answered_at is 'yesterday'"),
        ({"kind": "undo", "undoes": "x"}, "undoes is 'x'"),
        ({"kind": "delete"}, "kind is 'delete'"),
        ({"bad": "nose", "answer": "bad_image"}, "bad is 'nose'"),
        ({"left": ["image1"]}, "left is 'a list'"),
        ({"mode": {}}, "mode is 'a dict'"),
        ({"kind": []}, "kind is 'a list'"),
        ({"annotator": "\ud800"}, "annotator is '\\ud800'"),
        ({"seconds": float("inf")}, "seconds is 'inf'"),
        ({"seconds": -1}, "seconds is '-1'"),
        ({"answered_at": "0001-01-01T00:00:00+14:00"}, "answered_at is '0001-01-01T00:00:00+14:00'"),
        ({"answered_at": "2026-01-02T03:04:05"}, "expected a time zone"),
        ({"answered_at": 5}, "answered_at is '5'"),
    ],
)
def test_a_bad_event_is_refused_with_a_reason(change, message):
    good = {"event_id": "01234567-89ab-4def-8123-456789abcdef", "pair_id": P, "annotator": "ann", "answer": "same"}
    assert parse_event(good).answer == "same"
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_event({**good, **change})


JUNK = [
    None,
    True,
    0,
    -1,
    10**400,
    1.7e308,
    float("nan"),
    float("-inf"),
    "",
    "\ud800",
    "\x00",
    "x" * 100_000,
    [],
    [[]],
    {},
    {"a": []},
]


@pytest.mark.parametrize("value", JUNK, ids=lambda value: repr(value)[:12])
def test_whatever_a_browser_sends_is_an_event_that_can_be_kept_or_a_reason_that_can_be_sent(value):
    good = {"event_id": "01234567-89ab-4def-8123-456789abcdef", "pair_id": P, "annotator": "ann", "answer": "same"}
    for key in ("event_id", "kind", "pair_id", "annotator", "answered_at", "answer", "undoes", "seconds", "left", "bad", "mode", "opinion_shown"):  # fmt: skip
        for more in ({}, {"kind": "undo", "undoes": good["event_id"]}):
            try:
                event = parse_event({**good, **more, key: value})
            except ValueError as error:
                assert len(str(error).encode()) < 400
            else:
                json.dumps(dataclasses.asdict(event), allow_nan=False).encode()
                assert event.seconds is None or event.seconds <= LONGEST_ANSWER


def test_a_page_that_stood_open_for_days_says_nothing_of_how_long_the_answer_took():
    good = {"event_id": "01234567-89ab-4def-8123-456789abcdef", "pair_id": P, "annotator": "ann", "answer": "same"}
    assert [parse_event({**good, "seconds": value}).seconds for value in (1.23456, 86_400, 86_401, 1.7e308)] == [
        1.235, 86_400.0, None, None]  # fmt: skip
