"""Writing a RecordIO file record by record, so that a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import open_input, read_json, sha256
from magface_al.command.numbers import whole
from magface_al.command.outputs import writable, writable_itself
from magface_al.command.replacing import growing, replacing, settle, write_json
from magface_al.faces.formats import no_picture
from magface_al.faces.preprocess import decode_picture, read_picture
from magface_al.faces.recordio import EXACT_FLOAT32, frame, pack
from magface_al.faces.train_list import Counts, count_entries, read_train_list


class RecordWriter:
    """Append images to `path` (.rec) and its .idx, keys from 0, as MXNet's im2rec does. Use it as a context manager.

    Both files grow as `.part` and appear whole when the block ends without an error. count is the number of records
    that an interrupted run has left; made_from identifies its work, and parts of other work are thrown away. Whoever uses
    it has claimed `path` or its folder, as every run claims its outputs. Raises UserError for a link and for a picture.
    """

    def __init__(self, path: Path, made_from: dict[str, str]) -> None:
        self.path = path
        for final in self._finals():
            no_picture(writable_itself(final))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._parts = [final.with_name(final.name + ".part") for final in self._finals()]
        self._state = path.with_name(path.name + ".part.json")
        resuming = self._state.exists() and read_json(self._state) == made_from
        if not resuming:
            for part in self._parts:
                part.unlink(missing_ok=True)
        write_json(self._state, made_from)
        self.count, *lengths = self._whole()
        self._records, self._index = (growing(part, path) for part in self._parts)
        for file, length in zip((self._records, self._index), lengths, strict=True):
            file.truncate(length)
            file.seek(length)  # tell() would otherwise still count what was cut off

    def _finals(self) -> tuple[Path, Path]:
        return self.path, self.path.with_suffix(".idx")

    def _whole(self) -> tuple[int, int, int]:
        """The number of records that are certainly whole, all before the last that the index names; the lengths of both files."""
        records, index = self._parts
        if not (records.exists() and index.exists()):
            return 0, 0, 0
        with open_input(index, "the index of an interrupted run") as file:
            data = file.read()
        lines = data.decode("ascii", "replace").split("\n")[:-1]  # without what has no end
        try:
            offsets = [whole(line.removeprefix(f"{number}\t")) for number, line in enumerate(lines)]
        except ValueError as error:
            raise UserError(
                f"{index}: {error}, expected the offsets of an interrupted run; remove the file to begin anew"
            ) from None
        size = records.stat().st_size
        while offsets and offsets[-1] > size:
            offsets.pop()  # the index got to the disk before the records
        end = offsets.pop() if offsets else 0
        return len(offsets), end, sum(len(line) + 1 for line in lines[: len(offsets)])

    def append(self, label: int, image: bytes) -> None:
        """Add one image. Raises UserError for a label that a float32 cannot hold exactly."""
        if not 0 <= label < EXACT_FLOAT32:
            raise UserError(
                f"{self.path}: label {label}, expected 0 to {EXACT_FLOAT32 - 1}, because a record keeps it as float32"
            )
        self._index.write(f"{self.count}\t{self._records.tell()}\n".encode())
        self._records.write(frame(pack((float(label),), self.count, image)))
        self.count += 1

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            for file in (self._records, self._index):
                with suppress(OSError):  # a full disk, which has been told already
                    file.close()

    def _finish(self) -> None:
        for file in (self._records, self._index):
            settle(file, self.path)
        for part, final in zip(self._parts, self._finals(), strict=True):
            part.replace(final)
        self._state.unlink()


def list_to_rec(train_list: Path, folder: Path, progress: Callable[[], object]) -> tuple[Counts, int]:
    """Pack a training list's images, byte for byte, as train.rec, train.idx and property (`classes,height,width`).

    Returns the counts and how many records were there already. progress is called once an image. Raises UserError for
    an image that is not there.
    """
    counts = count_entries(train_list, read_train_list(train_list))
    writable(folder / "property")
    with RecordWriter(folder / "train.rec", {"list_sha256": sha256(train_list)}) as writer:
        kept = writer.count
        for image, label in islice(read_train_list(train_list), kept, None):
            writer.append(label, _bytes(train_list, image))
            progress()
    height, width = _decoded(train_list, next(read_train_list(train_list))[0]).shape[:2]
    with replacing(folder / "property") as file:
        file.write(f"{counts.last_label + 1},{height},{width}\n")
    return counts, kept


def _bytes(train_list: Path, image: str) -> bytes:
    """An image's file. Raises UserError, also for an empty one: a record without an image is InsightFace's bookkeeping."""
    try:
        if data := read_picture(image):
            return data
    except ValueError as error:
        raise UserError(f"{train_list}: {image}: {error}, expected an image; what came before is kept") from None
    raise UserError(f"{train_list}: {image}: the file is empty, expected an image; what came before is kept")


def _decoded(train_list: Path, image: str) -> np.ndarray:
    try:
        return decode_picture(image)
    except ValueError as error:
        raise UserError(f"{train_list}: {image}: {error}, expected an image") from None
