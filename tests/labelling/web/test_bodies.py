"""Requests at the door, answers on their way."""

from __future__ import annotations

import json

import pytest

from magface_al.labelling.web.bodies import DEEPEST, LARGEST_NUMBER, parse_body, to_json


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1e400}', "number 1e400 is beyond"),
        ('{"a": -1e17}', "number -1e17 is beyond"),
        ('{"a": NaN}', "number NaN is beyond"),
        ('{"a": -Infinity}', "number -Infinity is beyond"),
        ('{"a": ' + "9" * 5000 + "}", "number 9999"),
        (f'{{"a": {LARGEST_NUMBER + 2}}}', "is beyond"),
        ('{"a": ' * DEEPEST + '{"a": 1}' + "}" * DEEPEST, "more than 8 deep"),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "more than 8 deep"),
        ("[" * 100_000, "not JSON of a few levels"),
        ("{", "not JSON (Expecting property name"),
        ("[1]", "expected a JSON object"),
        ("\N{DIGIT ONE}", "expected a JSON object"),
        ("", "not JSON (Expecting value"),
    ],
)
def test_what_no_page_sends_is_refused_with_a_reason(text, reason):
    with pytest.raises(ValueError, match=r".") as refused:
        parse_body(text.encode())
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 200


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(ValueError, match="not JSON"):
        parse_body(b'{"a": "\xff"}')


def test_what_pages_send_comes_through():
    body = {"events": [{"seconds": 1.25, "bad": None, "shown": True}], "count": 24, "n": -LARGEST_NUMBER, "x": 1e-300}
    parsed = parse_body(json.dumps(body).encode())
    assert parsed == body
    assert (type(parsed["count"]), type(parsed["x"])) == (int, float)


def test_names_that_are_no_text_come_back_as_they_went():
    name = "caf\udce9/\ud800 é \u2028"  # a byte of Latin-1 in a name, half a character, a line separator
    text = to_json({"names": [name]})
    assert text.isascii()
    assert parse_body(text) == {"names": [name]}


def test_what_is_no_number_is_null():
    assert to_json({"a": [float("nan"), 1.5], "b": (float("inf"),)}) == b'{"a":[null,1.5],"b":[null]}'
