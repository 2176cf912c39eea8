"""What a person did, as one record: an answer, a ruling (an answer that overrules all others), or an undo.

Every event names the pair that was on the screen and carries an id made where the key was pressed. The server therefore
keeps no "current pair", and sending an event twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from magface_al.labelling.answer_words import ANSWERS, BAD_IMAGE
from magface_al.pairs.pair_file import Pair

KINDS = ("answer", "ruling", "undo")
LONGEST_NAME = 60  # characters of an annotator's name

_EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PAIR_ID = re.compile(r"[0-9a-f]{16}")
_CHOICES = {"image": ("image1", "image2"), "bad": ("image1", "image2", "both"), "mode": ("pair", "grid", "review")}


def pair_id(pair: Pair) -> str:
    """16 hexadecimal digits that depend on the two image names only, in whichever order they stand."""
    return _digest(json.dumps(pair.key()))


def image_id(name: str) -> str:
    """16 hexadecimal digits for an image name: what the browser asks for, so that it never names a path."""
    return _digest(json.dumps(name))


def draw(text: str) -> float:
    """A number in [0, 1) that looks random but depends on the text alone, so that a restart asks the same questions."""
    return int(_digest(text), 16) / 16**16


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Event:
    """One thing that a person did. `answered_at` is UTC ISO 8601, `seconds` is from the pair's display to the key."""

    event_id: str
    kind: str
    pair_id: str
    annotator: str
    answered_at: str
    answer: str | None = None  # of ANSWERS; None for an undo
    undoes: str | None = None  # the event_id that an undo withdraws
    seconds: float | None = None
    details: dict[str, Any] = field(default_factory=dict)  # left, bad, mode, opinion_shown, source


def utc_now() -> str:
    """The time now as UTC ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def parse_event(entry: Any) -> Event:
    """An event as the browser sends it. Raises ValueError saying what is wrong with it."""
    if not isinstance(entry, dict):
        raise ValueError("an event is not an object")
    kind = entry.get("kind", "answer")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    answer = entry.get("answer")
    if kind == "undo":
        answer = None
    elif answer not in ANSWERS:
        raise ValueError(f"answer is {answer!r}, expected one of {', '.join(ANSWERS)}")
    details = {
        "left": _choice(entry, "left", "image"),
        "bad": _choice(entry, "bad", "bad") if answer == BAD_IMAGE else None,
        "mode": _choice(entry, "mode", "mode"),
        "opinion_shown": True if entry.get("opinion_shown") is True else None,
    }
    return Event(
        event_id=_matching(entry, "event_id", _EVENT_ID),
        kind=kind,
        pair_id=_matching(entry, "pair_id", _PAIR_ID),
        annotator=annotator_name(entry.get("annotator")),
        answered_at=_time(entry.get("answered_at")),
        answer=answer,
        undoes=_matching(entry, "undoes", _EVENT_ID) if kind == "undo" else None,
        seconds=_seconds(entry.get("seconds")),
        details={key: value for key, value in details.items() if value is not None},
    )


def annotator_name(value: Any) -> str:
    """The name, without surrounding blanks. Raises ValueError."""
    name = value.strip() if isinstance(value, str) else ""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"annotator is {str(value)[:80]!r}, expected a name of 1 to {LONGEST_NAME} printable characters"
        )
    return name


def _matching(entry: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{key} is {str(value)[:80]!r}, expected {pattern.pattern}")
    return value


def _choice(entry: dict[str, Any], key: str, kind: str) -> str | None:
    value = entry.get(key)
    if value is not None and value not in _CHOICES[kind]:
        raise ValueError(f"{key} is {str(value)[:80]!r}, expected one of {', '.join(_CHOICES[kind])}")
    return value


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"seconds is {str(value)[:80]!r}, expected a number of at least 0")
    return round(float(value), 3)


def _time(value: Any) -> str:
    """The browser's time of the answer (it may be sent much later); the server's where there is none."""
    if value is None:
        return utc_now()
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"answered_at is {str(value)[:80]!r}, expected a time in ISO 8601") from None
    if time.tzinfo is None:
        raise ValueError(f"answered_at is {value!r}, expected a time zone (UTC)")
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
