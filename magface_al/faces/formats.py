"""The picture formats that the project reads: by the ending of a name, and by a file's first bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from magface_al.command.errors import UserError
from magface_al.command.files import open_input, status_of


@dataclass(frozen=True)
class Format:
    """suffixes: of file names, the usual one first. start: the first bytes of every such file; inner: those from byte 8 on."""

    media_type: str
    suffixes: tuple[str, ...]
    start: bytes
    inner: bytes = b""


FORMATS = (
    Format("image/jpeg", (".jpg", ".jpeg"), b"\xff\xd8\xff"),
    Format("image/png", (".png",), b"\x89PNG"),
    Format("image/bmp", (".bmp",), b"BM"),
    Format("image/webp", (".webp",), b"RIFF", b"WEBP"),
    Format("image/gif", (), b"GIF8"),  # can be shown; not every OpenCV reads it, so no folder is searched for it
)
IMAGE_SUFFIXES = tuple(suffix for kind in FORMATS for suffix in kind.suffixes)


def format_of(data: bytes) -> Format | None:
    """The format of a file by its first bytes, whatever its name says; None for anything else."""
    return next((kind for kind in FORMATS if data.startswith(kind.start) and data[8:].startswith(kind.inner)), None)


def is_image(name: str) -> bool:
    """Whether a file's name says that it is a picture: the one place that decides which files of a folder are read."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def no_picture(path: Path) -> Path:
    """The path itself, of a file to write. Raises UserError where a picture stands: lists name pictures, flags do not."""
    if status_of(path) is not None:
        with open_input(path, "the name of a file to write") as file:
            if kind := format_of(file.read(16)):
                raise UserError(
                    f"{path}: a picture ({kind.media_type}) that would be written over; choose another name"
                )
    return path


def suffix_of(data: bytes) -> str:
    """The ending that a file of these bytes gets; ".jpg" where they are of no format that has one."""
    kind = format_of(data)
    return kind.suffixes[0] if kind and kind.suffixes else IMAGE_SUFFIXES[0]
