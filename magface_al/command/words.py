"""Numbers and the words that go with them, for messages."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """The count with what it counts: "1 image", "2 images"; `many` is for words whose plural is no added s."""
    return f"{count} {one if count == 1 else many or one + 's'}"
