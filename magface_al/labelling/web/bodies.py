"""What comes and goes as JSON: requests are checked at the door, and an answer is text that every browser takes."""

from __future__ import annotations

import json
import math
from typing import Any

LARGEST_BODY = 1 << 20  # bytes of a request
LARGEST_NUMBER = 2**53  # up to here JavaScript counts exactly, SQLite stores, and int() and float() agree
DEEPEST = 8  # lists and objects inside each other; an event needs three

Body = dict[str, Any]


def parse_body(data: bytes) -> Body:
    """The JSON object in a request. Raises ValueError with a reason, also for what JSON has but no page sends."""
    try:
        body = json.loads(data, parse_int=_whole, parse_float=_number, parse_constant=_number)
    except RecursionError:
        raise ValueError("not JSON of a few levels") from None
    except ValueError as error:  # a syntax error, bytes that are no UTF-8, or of _number
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(body, dict):
        raise ValueError("expected a JSON object")
    if _is_deeper(body, DEEPEST):
        raise ValueError(f"lists and objects are more than {DEEPEST} deep")
    return body


def _whole(text: str) -> int:
    _number(text)
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not abs(value) <= LARGEST_NUMBER:  # NaN, too
        raise ValueError(f"number {text[:40]} is beyond {LARGEST_NUMBER}")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inside is not None and (levels == 0 or any(_is_deeper(item, levels - 1) for item in inside))


def to_json(content: Any) -> bytes:
    """JSON in ASCII: file names that are not UTF-8 are surrogates, which go as \\udcff and come back the same.

    What is no number in JSON (from a database of an earlier version) is null.
    """
    try:
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_with_nulls(content), allow_nan=False, separators=(",", ":"))
    return text.encode("ascii")


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
