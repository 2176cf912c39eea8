"""MXNet's indexed RecordIO as InsightFace distributes face sets (train.rec, train.idx), read without mxnet.

A record is the magic number, a word with 3 bits of flag and 29 of length, the payload, and zeros up to a multiple of 4
(dmlc-core include/dmlc/recordio.h @5295de94). Where a payload contains the magic at a multiple of 4, the writer cuts it
there and drops those bytes, so a reader joins the parts (flags 1, 2, 3) with the magic between them.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import open_input, read_lines
from magface_al.command.numbers import whole
from magface_al.command.words import counted

_MAGIC = struct.pack("<I", 0xCED7230A)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
EXACT_FLOAT32 = 1 << 24  # whole numbers up to here
_HEADER = struct.Struct("<IfQQ")  # flag, label, id, id2: apache/mxnet 1.9.1 python/mxnet/recordio.py
_TOO_SHORT = f"{{}} bytes, expected an image record of at least {_HEADER.size}"


@dataclass(frozen=True)
class Record:
    """One record: its labels, and the bytes of an image (empty for InsightFace's bookkeeping records)."""

    labels: tuple[float, ...]
    image: bytes


class RecordFile:
    """Random access to a .rec by key, from any thread; use it as a context manager. offsets: key -> byte offset.

    Without an .idx the .rec is scanned once and keys are the ids inside the records. Raises UserError for an .idx that
    points past the end, or that ends before the .rec does: of either file a part is missing then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index = path.with_suffix(".idx")
        known = _read_index(index) if index.exists() else None
        self._lock = threading.Lock()
        self._file = open_input(path, "a RecordIO file such as train.rec")
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            if known is not None:
                self._check_end(index, known)
            self.offsets = self._scan() if known is None else known
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _check_end(self, index: Path, known: dict[int, int]) -> None:
        """The last record of the .idx ends where the .rec does."""
        last = max(known, key=known.__getitem__) if known else None
        if last is not None and known[last] >= self._size:
            raise UserError(
                f"{index}: record {last} starts at offset {known[last]}, but {self.path.name} has {self._size} bytes, so the "
                "file is truncated or the .idx is of another file; copy both again"
            )
        end = 0
        if last is not None:
            self._file.seek(known[last])
            self._payload()
            end = self._file.tell()
        if end < self._size:
            raise UserError(
                f"{index}: its {counted(len(known), 'record')} end at offset {end}, but {self.path.name} has {self._size} bytes, "
                "so the .idx is cut off or of another file; copy both again, or remove the .idx to have the .rec scanned"
            )

    def read(self, key: int) -> Record:
        """The record of a key. Raises UserError where the file is not what the index says."""
        return self.read_on(key)[0]

    def read_on(self, key: int) -> tuple[Record, int]:
        """The record of a key, and the offset behind it."""
        with self._lock:
            self._file.seek(self.offsets[key])
            payload = self._payload()
            end = self._file.tell()
        assert payload is not None, key
        return unpack(payload, f"{self.path}: record {key}"), end

    def _payload(self) -> bytes | None:
        """The next record's bytes; None at the end of the file. Raises UserError for a broken or cut-off record."""
        parts: list[bytes] = []
        while True:
            start = self._file.tell()
            head = self._file.read(8)
            if not head and not parts:
                return None
            word = struct.unpack("<I", head[4:])[0] if len(head) == 8 else 0
            flag, length = word >> 29, word & (1 << 29) - 1
            expected = (_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)
            if len(head) < 8 or head[:4] != _MAGIC or flag not in expected:
                raise UserError(
                    f"{self.path}: offset {start}: no record starts here, so the file is truncated or its .idx is of another file; copy both again"
                )
            # what is not there is not asked for: reading would make room for it
            part = self._file.read(min(length, self._size - start - 8))
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
            if len(payload) < _HEADER.size:
                raise UserError(f"{self.path}: offset {start}: {_TOO_SHORT.format(len(payload))}")
            key = _HEADER.unpack_from(payload)[2]
            if key >= 1 << 63:
                raise UserError(f"{self.path}: offset {start}: a record with id {key}, expected one below 2**63")
            if key in offsets:
                raise UserError(
                    f"{self.path}: offset {start}: a second record with id {key}, expected each once; without its .idx nothing "
                    "else tells them apart"
                )
            offsets[key] = start
            start = self._file.tell()
        return offsets


def unpack(payload: bytes, where: str) -> Record:
    """Split a record's payload into labels and image. `where` begins the error message."""
    if len(payload) < _HEADER.size:
        raise UserError(f"{where}: {_TOO_SHORT.format(len(payload))}")
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
    """Key -> offset. Raises UserError for a line that is none, and for a key or an offset that stands there twice."""
    offsets: dict[int, int] = {}
    for number, line in read_lines(path, "lines of a key and a byte offset"):
        try:
            key, offset = map(whole, line.split())
        except ValueError:
            raise UserError(f"{path}: line {number}: {line!r}, expected a key and a byte offset") from None
        if key in offsets:
            raise UserError(f"{path}: line {number}: key {key} stands there twice, expected each once")
        offsets[key] = offset
    if len(np.unique(np.fromiter(offsets.values(), np.int64, len(offsets)))) < len(offsets):
        raise UserError(f"{path}: two keys have the same offset, expected a record each; copy it again")
    return offsets


def images_by_label(records: RecordFile) -> dict[int, list[int]]:
    """Class label -> keys of its images. Raises UserError.

    InsightFace's files begin with a header record, key 0, whose label is (first identity record, one past the last);
    each identity record holds the key range of one person's images. Other files are read through once for their labels,
    and so are those with so many images that the ranges, which are float32, are no longer exact.
    """
    header = records.read(0) if 0 in records.offsets else None
    if header is not None and not header.image and (limits := _key_range(header)):
        people = [records.read(key) for key in _present(records, limits, "its header")]
        ranges = [_key_range(person) for person in people]
        if people and all(found is not None for found in ranges):
            return _images_of_ranges(records, [found for found in ranges if found is not None])
    found: dict[int, list[int]] = {}
    for key, label, _ in image_records(records):
        found.setdefault(label, []).append(key)
    return found


def _images_of_ranges(records: RecordFile, ranges: list[range]) -> dict[int, list[int]]:
    if sum(map(len, ranges)) > len(records.offsets):
        raise UserError(
            f"{records.path}: its people have {sum(map(len, ranges))} images and its .idx {len(records.offsets)} records, so one "
            "of the two files is of another set; copy both again"
        )
    return {label: _present(records, keys, f"person {label}") for label, keys in enumerate(ranges)}


def _key_range(record: Record) -> range | None:
    """The keys that a record of two labels names; None if it does not, or if float32 cannot hold them exactly."""
    if len(record.labels) != 2 or not all(0 <= label < EXACT_FLOAT32 and label.is_integer() for label in record.labels):
        return None
    first, last = map(int, record.labels)
    return range(first, last) if first <= last else None


def _present(records: RecordFile, keys: range, who: str) -> list[int]:
    """The keys as a list. Raises UserError for one without a record."""
    absent = next((key for key in keys if key not in records.offsets), None)
    if absent is not None:
        raise UserError(
            f"{records.path}: record {absent}, which {who} names, is not in the .idx, so that is cut or of another file; copy "
            "both again, or remove the .idx to have the .rec scanned"
        )
    return list(keys)


def image_records(records: RecordFile) -> Iterator[tuple[int, int, bytes]]:
    """(key, class label, image) of every record with an image, read once from front to back. Raises UserError.

    InsightFace's bookkeeping records have no image. Its images may carry a second label (whether the face is aligned),
    as bookkeeping records do, so the number of labels tells nothing. A record between two others that has no key is a
    line that the .idx has lost.
    """
    behind = 0
    for key in sorted(records.offsets, key=records.offsets.__getitem__):
        start = records.offsets[key]
        if start != behind:
            raise UserError(
                f"{records.path}: the .idx has no record at offset {behind} and the next at {start}, so that is cut or of another "
                "file; copy both again, or remove the .idx to have the .rec scanned"
            )
        record, behind = records.read_on(key)
        if not record.image:
            continue
        label = record.labels[0]
        if len(record.labels) > 2 or not (0 <= label < EXACT_FLOAT32 and label.is_integer()):
            raise UserError(
                f"{records.path}: record {key}: labels {', '.join(f'{value:g}' for value in record.labels[:4])}, expected the "
                "number of a class (and whether the face is aligned), so it is no face set"
            )
        yield key, int(label), record.image
