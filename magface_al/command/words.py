"""Numbers and the words that go with them, for messages."""

from __future__ import annotations

import reprlib
from typing import Any

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80


def counted(count: int, one: str, many: str | None = None) -> str:
    """The count with what it counts: "1 image", "2 images"; `many` is for words whose plural is no added s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def shown(value: Any) -> str:
    """What a file holds, as a line for a message: its repr, cut where it is long or deep."""
    return _BRIEF.repr(value)
