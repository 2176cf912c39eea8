"""The image list: one path a line, further columns ignored; read as a stream, because lists can be long.

Columns are those of list_lines. Locks and private files of runs are passed over, as `find` lists them too. A line without a tab that is a file as a whole is one path, whatever spaces it has, so
that `find` can write the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.files import exists, read_lines
from magface_al.command.replacing import is_temporary
from magface_al.faces.list_lines import columns


@dataclass(frozen=True)
class ImageList:
    """An image list whose lines have been counted. Relative paths are resolved against root."""

    path: Path
    root: Path
    count: int

    def __iter__(self) -> Iterator[tuple[str, Path]]:
        """(path as written, place on disk), in list order."""
        for _, name in _names(self.path, self.root):
            yield name, self.root / name


def read_image_list(path: Path, root: Path = Path(), *, allow_spaces: bool) -> ImageList:
    """Count the lines and check them. Raises UserError for an empty list, or for a space in a path unless allowed.

    allow_spaces is for the binary store; the text store separates its columns by white space.
    """
    count = 0
    for number, name in _names(path, root):
        count += 1
        if not allow_spaces and len(name.split()) > 1:
            raise UserError(
                f"{path}: line {number}: the path {name!r} contains a space, which the text store cannot hold; "
                "write a binary store instead (--feat_list NAME.npy)"
            )
    if count == 0:
        raise UserError(f"{path}: no image paths in it, expected one a line")
    return ImageList(path, root, count)


def image_columns(line: str, root: Path = Path()) -> list[str]:
    """The columns of an image list's line: the path, then what nobody reads here."""
    found, whole = columns(line), line.strip()
    if "\t" in whole or len(whole.split()) == 1:
        return found
    # Spaces and no tab between them: one path if that is a file, otherwise columns; a tab at the end says that it is one path,
    # unless only its beginning is a file (other tools leave a tab behind the last column).
    lone = _is_file(root / whole) or ("\t" in line and not _is_file(root / whole.split()[0]))
    return [whole] if lone else whole.split()


def _is_file(path: Path) -> bool:
    return exists(path) and path.is_file()


def _names(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """(line number, path) without blank lines and temporary files."""
    for number, line in read_lines(path, "a text file with one image path a line"):
        name = image_columns(line, root)[0]
        if not is_temporary(name.rpartition("/")[2]):
            yield number, name
