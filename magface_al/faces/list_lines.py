"""The lines of lists (images, identities, training, pairs): how columns are told apart, for all lists alike.

Columns are separated by tabs where the line has a tab, otherwise by white space. So a path with spaces can stand in any
list, in a line whose columns are separated by tabs (a lone path is followed by one). Lines are written that way only where
a column has white space: MagFace's own tools split at spaces. A tab or a line break cannot be in a path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.replacing import replacing
from magface_al.faces.formats import no_picture


def columns(line: str, counts: Collection[int] = ()) -> list[str]:
    """The columns of a line, without white space around them, and without empty ones at its end.

    counts: how many columns such a list has, where that is known. Where its tabs do not part a line into one of these,
    white space does: other tools leave a tab at the end of a line, or between two columns of several.
    """
    if "\t" not in line:
        return line.split()
    found = [column.strip() for column in line.split("\t")]
    while found and not found[-1]:
        found.pop()
    return found if not counts or len(found) in counts else line.split()


def line_of(*values: object) -> str:
    """The line with these columns, without its end. Raises UserError for a value that `columns` would not give back."""
    texts = [listable(value) for value in values]
    if all(text.split() == [text] for text in texts):
        return " ".join(texts)
    return "\t".join(texts) + ("\t" if len(texts) == 1 else "")


def listable(value: object) -> str:
    """A path (or another column) as text. Raises UserError if no list can hold it."""
    text = str(value)
    if text != text.strip() or not text or any(mark in text for mark in "\t\r\n"):
        raise UserError(
            f"{text!r} cannot stand in a list, whose columns end at tabs, line breaks and white space around them; rename it"
        )
    return text


@contextmanager
def list_file(path: Path) -> Iterator[Callable[[str], None]]:
    """A function that writes a line, to a list that is written whole or not at all, and over no picture.

    File names that are not UTF-8 get the bytes back that reading has left in them.
    """
    with replacing(no_picture(path), "wb") as file:

        def write(line: str) -> None:
            file.write(line.encode("utf-8", "surrogateescape") + b"\n")

        yield write
