"""What a person did, as one record: an answer, a ruling (an answer that overrules all others), or an undo.

Every event names the pair that was on the screen and carries an id made where the key was pressed. The server therefore
keeps no "current pair", and sending an event twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from magface_al.labelling.answer_words import ANSWERS, BAD_IMAGE
from magface_al.pairs.pair_file import Pair

KINDS = ("answer", "ruling", "undo")
LONGEST_ANNOTATOR = 60  # characters of an annotator's name
# seconds; of a page that stood open for more than a day nobody knows how long the answer took
LONGEST_ANSWER = 86_400.0

_EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PAIR_ID = re.compile(r"[0-9a-f]{16}")
_CHOICES = {"left": ("image1", "image2"), "bad": ("image1", "image2", "both"), "mode": ("pair", "grid", "review")}


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


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a person did. `answered_at` is UTC ISO 8601, `seconds` is from the pair's display to the key.

    Wherever events come from (a browser, a file, a database), they are made by the functions below, which check all of it.
    """

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
        raise ValueError(f"kind is {_shown(kind)}, expected one of {', '.join(KINDS)}")
    answer = entry.get("answer")
    if kind == "undo":
        answer = None
    elif answer not in ANSWERS:
        raise ValueError(f"answer is {_shown(answer)}, expected one of {', '.join(ANSWERS)}")
    for key, choices in _CHOICES.items():
        if entry.get(key) is not None and entry[key] not in choices:
            raise ValueError(f"{key} is {_shown(entry[key])}, expected one of {', '.join(choices)}")
    when = entry.get("answered_at")
    return Event(
        event_id=_matching(entry, "event_id", _EVENT_ID),
        kind=kind,
        pair_id=_matching(entry, "pair_id", _PAIR_ID),
        annotator=annotator_name(entry.get("annotator")),
        answered_at=utc_now() if when is None else utc_time(when),
        answer=answer,
        undoes=_matching(entry, "undoes", _EVENT_ID) if kind == "undo" else None,
        seconds=_seconds(entry.get("seconds")),
        details=known_details(entry, answer),
    )


def restored_event(columns: Sequence[Any], received_at: str) -> Event | None:
    """The event that a row of the database holds (its columns in the order of Event's fields); None if it holds none.

    Earlier versions took in what parse_event refuses today. What can be told is kept: a time or a duration that is none
    becomes received_at or None, and details that are none are left out.
    """
    event_id, kind, pair, annotator, answered_at, answer, undoes, seconds, text = columns
    if not isinstance(event_id, str) or not isinstance(pair, str) or kind not in KINDS:
        return None
    if (not isinstance(undoes, str) or answer is not None) if kind == "undo" else answer not in ANSWERS:
        return None
    try:
        annotator = annotator_name(annotator)
    except ValueError:
        return None
    return Event(
        event_id, kind, pair, annotator, time_or(answered_at, received_at), answer, undoes, seconds_or_none(seconds),
        _restored_details(text, answer),
    )  # fmt: skip


def _restored_details(text: Any, answer: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    source = {"source": found["source"]} if isinstance(found.get("source"), str) else {}
    return known_details(found, answer) | source


def known_details(entry: Mapping[str, Any], answer: str | None) -> dict[str, Any]:
    """What an entry says besides, as far as it is what we ask for; all the rest is left out."""
    details = {key: entry[key] for key, choices in _CHOICES.items() if entry.get(key) in choices}
    if answer != BAD_IMAGE:
        details.pop("bad", None)
    if entry.get("opinion_shown") is True:
        details["opinion_shown"] = True
    return details


def annotator_name(value: Any) -> str:
    """The name, without surrounding blanks. Raises ValueError."""
    name = value.strip() if isinstance(value, str) else ""
    if not 0 < len(name) <= LONGEST_ANNOTATOR or not name.isprintable():
        raise ValueError(
            f"annotator is {_shown(value)}, expected a name of 1 to {LONGEST_ANNOTATOR} printable characters"
        )
    return name


def utc_time(value: Any, assumed: tzinfo | None = None) -> str:
    """A time in ISO 8601, as utc_now writes it. Raises ValueError, also where it has no time zone and none is assumed."""
    try:
        time = datetime.fromisoformat(value)
        zone = time.tzinfo or assumed
        utc = time.replace(tzinfo=zone).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):  # OverflowError: not between the years 1 and 9999, once it is UTC
        raise ValueError(f"answered_at is {_shown(value)}, expected a time in ISO 8601") from None
    if zone is None:
        raise ValueError(f"answered_at is {_shown(value)}, expected a time zone (UTC)")
    return utc.isoformat(timespec="milliseconds")


def time_or(value: Any, otherwise: str) -> str:
    """The time that a file or a database gives (UTC if it does not say), or the one to take where it gives none."""
    try:
        return utc_time(value, UTC)
    except ValueError:
        return otherwise


def seconds_or_none(value: Any) -> float | None:
    """The duration that a file or a database gives; None where it gives none that is one."""
    try:
        return _seconds(value)
    except ValueError:
        return None


def _seconds(value: Any) -> float | None:
    """Raises ValueError for what is no duration; one of more than a day says nothing and becomes None."""
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError(f"seconds is {_shown(value)}, expected a number of at least 0")
    return round(float(value), 3) if value <= LONGEST_ANSWER else None


def _matching(entry: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{key} is {_shown(value)}, expected {pattern.pattern}")
    return value


def _shown(value: Any) -> str:
    """A value of any type for a message: short, and without characters that cannot be sent."""
    text = f"a {type(value).__name__}" if isinstance(value, list | dict) else str(value)
    return repr(text[:80])
