"""Writing a RecordIO file record by record, so that a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import read_json, sha256
from magface_al.command.outputs import growing, replacing, writable, write_json
from magface_al.faces.recordio import EXACT_FLOAT32, frame, pack
from magface_al.faces.train_list import Counts, count_entries, read_train_list


class RecordWriter:
    """Append images to `path` (.rec) and its .idx, keys from 0, as MXNet's im2rec does. Use it as a context manager.

    Both files grow as `.part` and appear whole when the block ends without an error. count is the number of records
    that an interrupted run has left; made_from identifies its work, and parts of other work are thrown away.
    """

    def __init__(self, path: Path, made_from: dict[str, str]) -> None:
        self.path = path
        for final in self._finals():
            writable(final)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._parts = [final.with_name(final.name + ".part") for final in self._finals()]
        self._state = path.with_name(path.name + ".part.json")
        resuming = self._state.exists() and read_json(self._state) == made_from
        if not resuming:
            for part in self._parts:
                part.unlink(missing_ok=True)
        write_json(self._state, made_from)
        self._records, self._index = (growing(part) for part in self._parts)
        self.count = self._cut_back()

    def _finals(self) -> tuple[Path, Path]:
        return self.path, self.path.with_suffix(".idx")

    def _cut_back(self) -> int:
        """Keep the records that are certainly whole: all before the last that the index names."""
        lines = self._parts[1].read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        while whole and int(whole[-1].split()[1]) > self._parts[0].stat().st_size:
            whole.pop()  # the index got to the disk before the records
        offset = int(whole.pop().split()[1]) if whole else 0
        for file, length in ((self._records, offset), (self._index, sum(map(len, whole)))):
            file.truncate(length)
            file.seek(length)  # tell() would otherwise still count what was cut off
        return len(whole)

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
        self._records.close()
        self._index.close()
        if error is None:
            for part, final in zip(self._parts, self._finals(), strict=True):
                part.replace(final)
            self._state.unlink()


def list_to_rec(train_list: Path, folder: Path, progress: Callable[[], object]) -> tuple[Counts, int]:
    """Pack a training list's images, byte for byte, as train.rec, train.idx and property (`classes,height,width`).

    Returns the counts and how many records were there already. progress is called once an image. Raises UserError for
    an image that is not there.
    """
    counts = count_entries(train_list, read_train_list(train_list))
    with RecordWriter(folder / "train.rec", {"list_sha256": sha256(train_list)}) as writer:
        kept = writer.count
        for image, label in islice(read_train_list(train_list), kept, None):
            writer.append(label, _bytes(train_list, image))
            progress()
    height, width = _size(next(read_train_list(train_list))[0])
    with replacing(folder / "property") as file:
        file.write(f"{counts.last_label + 1},{height},{width}\n")
    return counts, kept


def _bytes(train_list: Path, image: str) -> bytes:
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise UserError(
            f"{train_list}: {image}: {error.strerror}, expected an image; what came before is kept"
        ) from None


def _size(image: str) -> tuple[int, int]:
    """(height, width) in pixels. Raises UserError."""
    import cv2

    face = cv2.imdecode(np.fromfile(image, np.uint8), cv2.IMREAD_COLOR)
    if face is None:
        raise UserError(f"{image}: not an image that OpenCV can decode")
    height, width = face.shape[:2]
    return int(height), int(width)
