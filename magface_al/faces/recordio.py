"""MXNet's indexed RecordIO as InsightFace distributes face sets (train.rec, train.idx), read without mxnet.

A record is the magic number, a word with 3 bits of flag and 29 of length, the payload, and zeros up to a multiple of 4
(dmlc-core include/dmlc/recordio.h @5295de94). Where a payload contains the magic at a multiple of 4, the writer cuts it
there and drops those bytes, so a reader joins the parts (flags 1, 2, 3) with the magic between them.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines

_MAGIC = struct.pack("<I", 0xCED7230A)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
EXACT_FLOAT32 = 1 << 24  # whole numbers up to here
_HEADER = struct.Struct("<IfQQ")  # flag, label, id, id2: apache/mxnet 1.9.1 python/mxnet/recordio.py


@dataclass(frozen=True)
class Record:
    """One record: its labels, and the bytes of an image (empty for InsightFace's bookkeeping records)."""

    labels: tuple[float, ...]
    image: bytes


class RecordFile:
    """Random access to a .rec by key, from any thread; use it as a context manager. offsets: key -> byte offset.

    Without an .idx the .rec is scanned once and keys are the ids inside the records. Raises UserError for an .idx that
    points past the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"{path}: no such file, expected a RecordIO file such as train.rec")
        index = path.with_suffix(".idx")
        known = _read_index(index) if index.exists() else None
        if known:
            last, size = max(known, key=known.__getitem__), path.stat().st_size
            if known[last] >= size:
                raise UserError(
                    f"{index}: record {last} starts at offset {known[last]}, but {path.name} has {size} bytes, so the file is "
                    "truncated or the .idx is of another file; copy both again"
                )
        self._lock = threading.Lock()
        self._file = path.open("rb")
        self.offsets = self._scan() if known is None else known

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, key: int) -> Record:
        """The record of a key. Raises UserError where the file is not what the index says."""
        with self._lock:
            self._file.seek(self.offsets[key])
            payload = self._payload()
        assert payload is not None, key
        return unpack(payload, f"{self.path}: record {key}")

    def _payload(self) -> bytes | None:
        """The next record's bytes; None at the end of the file. Raises UserError for a broken or cut-off record."""
        parts: list[bytes] = []
        while True:
            start = self._file.tell()
            head = self._file.read(8)
            if not head and not parts:
                return None
            if len(head) < 8 or head[:4] != _MAGIC:
                raise UserError(
                    f"{self.path}: offset {start}: no record starts here, so the file is truncated or its .idx is of another file; copy both again"
                )
            word = struct.unpack("<I", head[4:])[0]
            flag, length = word >> 29, word & (1 << 29) - 1
            part = self._file.read(length)
            self._file.seek(-length % 4, 1)
            if len(part) < length:
                raise UserError(
                    f"{self.path}: offset {start}: the record has {len(part)} of its {length} bytes, so the file is truncated; copy it again"
                )
            parts.append(part)
            if flag in (_WHOLE, _LAST):
                return _MAGIC.join(parts)

    def _scan(self) -> dict[int, int]:
        offsets: dict[int, int] = {}
        start = 0
        while (payload := self._payload()) is not None:
            offsets[_HEADER.unpack_from(payload)[2]] = start
            start = self._file.tell()
        return offsets


def unpack(payload: bytes, where: str) -> Record:
    """Split a record's payload into labels and image. `where` begins the error message."""
    if len(payload) < _HEADER.size:
        raise UserError(f"{where}: {len(payload)} bytes, expected an image record of at least {_HEADER.size}")
    count, label, _, _ = _HEADER.unpack_from(payload)
    if count == 0:
        return Record((label,), payload[_HEADER.size :])
    end = _HEADER.size + 4 * count
    if len(payload) < end:
        raise UserError(f"{where}: {count} labels announced in {len(payload)} bytes, so it is no image record")
    return Record(struct.unpack_from(f"<{count}f", payload, _HEADER.size), payload[end:])


def pack(labels: tuple[float, ...], key: int, image: bytes) -> bytes:
    """A payload: one label goes into the header, several follow it."""
    if len(labels) == 1:
        return _HEADER.pack(0, labels[0], key, 0) + image
    return _HEADER.pack(len(labels), 0.0, key, 0) + struct.pack(f"<{len(labels)}f", *labels) + image


def frame(payload: bytes) -> bytes:
    """A payload as it stands in the file, cut at the magic as dmlc does."""
    parts = _cut(payload)
    flags = [_WHOLE] if len(parts) == 1 else [_FIRST, *[_MIDDLE] * (len(parts) - 2), _LAST]
    return b"".join(
        _MAGIC + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4)
        for flag, part in zip(flags, parts, strict=True)
    )


def _cut(payload: bytes) -> list[bytes]:
    parts, start = [], 0
    for at in range(0, len(payload) - 3, 4):
        if payload[at : at + 4] == _MAGIC:
            parts.append(payload[start:at])
            start = at + 4
    return [*parts, payload[start:]]


def _read_index(path: Path) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for number, line in read_lines(path, "lines of a key and a byte offset"):
        try:
            key, offset = line.split()
            offsets[int(key)] = int(offset)
        except ValueError:
            raise UserError(f"{path}: line {number}: {line!r}, expected a key and a byte offset") from None
    return offsets


def images_by_label(records: RecordFile) -> dict[int, list[int]]:
    """Class label -> keys of its images.

    InsightFace's files begin with a header record, key 0, whose label is (first identity record, one past the last);
    each identity record holds the key range of one person's images. Other files are read through once for their labels,
    and so are those with so many images that the ranges, which are float32, are no longer exact.
    """
    offsets = records.offsets
    header = records.read(0) if 0 in offsets else None
    if header is not None and len(header.labels) == 2 and not header.image and header.labels[1] < EXACT_FLOAT32:
        first, last = (int(value) for value in header.labels)
        ranges = [records.read(key).labels for key in range(first, last) if key in offsets]
        if ranges and all(len(limits) == 2 for limits in ranges):
            return {
                label: [key for key in range(int(a), int(b)) if key in offsets] for label, (a, b) in enumerate(ranges)
            }
    found: dict[int, list[int]] = {}
    for key, label, _ in image_records(records):
        found.setdefault(label, []).append(key)
    return found


def image_records(records: RecordFile) -> Iterator[tuple[int, int, bytes]]:
    """(key, class label, image) of every record with an image, read once from front to back. Raises UserError.

    InsightFace's bookkeeping records have no image. Its images may carry a second label (whether the face is aligned),
    as bookkeeping records do, so the number of labels tells nothing.
    """
    for key in sorted(records.offsets, key=records.offsets.__getitem__):
        record = records.read(key)
        if not record.image:
            continue
        label = record.labels[0]
        if len(record.labels) > 2 or label < 0 or label != int(label):
            raise UserError(
                f"{records.path}: record {key}: labels {', '.join(f'{value:g}' for value in record.labels[:4])}, expected the "
                "number of a class (and whether the face is aligned), so it is no face set"
            )
        yield key, int(label), record.image
