"""Events as they arrive."""

from __future__ import annotations

import re

import pytest

from magface_al.labelling.events import pair_id, parse_event
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
    ],
)
def test_a_bad_event_is_refused_with_a_reason(change, message):
    good = {"event_id": "01234567-89ab-4def-8123-456789abcdef", "pair_id": P, "annotator": "ann", "answer": "same"}
    assert parse_event(good).answer == "same"
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_event({**good, **change})
