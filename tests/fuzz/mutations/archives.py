"""Damage to checkpoints of PyTorch, which are zip archives of a pickle and of one record a tensor."""

from __future__ import annotations

import functools
import io
import random
import struct
import zipfile
import zlib

from tests.fuzz.mutations.arrays import bad_floats
from tests.fuzz.mutations.pickles import pickle_opcode
from tests.fuzz.mutations.plain import Mutation, flip_bit, overwrite

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_NUMBERS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
BOMB = 3 << 29  # bytes that one record grows to: more than an attempt may ask for
_BLOCK = 1 << 24


def _all(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def _records(data: bytes) -> list[tuple[str, int, int]]:
    """(name, where its bytes begin, how many) of every stored record of a sound archive; none of a broken one, or a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(info.compress_type for info in archive.infolist()):
                return []
            found = []
            for info in archive.infolist():
                name, extra = struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30])
                found.append((info.filename, info.header_offset + 30 + name + extra, info.file_size))
            return found
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, OSError, UnicodeError):
        return []


def damage_record(data: bytes, rng: random.Random) -> bytes:
    """Some bytes of one record change; the directory, with its checksum, stays as it was."""
    records = [record for record in _records(data) if record[2]]
    if not records:
        return flip_bit(data, rng)
    _, start, length = rng.choice(records)
    inner = rng.choice((flip_bit, overwrite))(data[start : start + length], rng)
    return data[:start] + inner + data[start + length :]


def damage_weights(data: bytes, rng: random.Random) -> bytes:
    """One bit of one tensor changes; the directory, with its checksum, stays as it was."""
    records = [record for record in _records(data) if record[2] and "/data/" in record[0]]
    if not records:
        return flip_bit(data, rng)
    _, start, length = rng.choice(records)
    return data[:start] + flip_bit(data[start : start + length], rng) + data[start + length :]


def damage_header(data: bytes, rng: random.Random) -> bytes:
    """A size, an offset, a method or a checksum in the archive's own headers becomes another number."""
    places = [
        (at + offset, size)
        for at in _all(data, LOCAL)
        for offset, size in ((8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))
    ]
    places += [
        (at + offset, size)
        for at in _all(data, CENTRAL)
        for offset, size in ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4))
    ]
    places += [
        (at + offset, size) for at in _all(data, END) for offset, size in ((8, 2), (10, 2), (12, 4), (16, 4), (20, 2))
    ]
    if not places:
        return flip_bit(data, rng)
    at, size = rng.choice(places)
    number = rng.choice((*_NUMBERS, rng.getrandbits(32))) & (1 << 8 * size) - 1
    return data[:at] + number.to_bytes(size, "little") + data[at + size :]


def drop_record(data: bytes, rng: random.Random) -> bytes:
    """One record's name in the directory changes, so that nobody finds it."""
    places = [at for at in _all(data, CENTRAL) if len(data) > at + 46]
    if not places:
        return flip_bit(data, rng)
    at = rng.choice(places)
    length = struct.unpack("<H", data[at + 28 : at + 30])[0]
    place = at + 46 + rng.randrange(max(1, length))
    return data[:place] + b"~" + data[place + 1 :]


def _rewritten(data: bytes, name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """A sound archive in which one record is another."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            try:
                inner = content if info.filename == name else old.read(info)
            except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError):  # damaged before
                inner = b""
            new.writestr(zipfile.ZipInfo(info.filename), inner, method if info.filename == name else zipfile.ZIP_STORED)
    return buffer.getvalue()


def other_record(data: bytes, rng: random.Random) -> bytes:
    """A sound archive, but the pickle says something else, a tensor is too short or long, or of numbers that are none."""
    records = _records(data)
    if not records:
        return flip_bit(data, rng)
    pickles = [record for record in records if record[0].endswith("data.pkl")]
    name, start, length = rng.choice(pickles if pickles and rng.random() < 0.6 else records)
    content = data[start : start + length]
    if name.endswith("data.pkl"):
        content = rng.choice((flip_bit, overwrite, pickle_opcode))(content, rng)
    else:
        content = rng.choice(
            (content[:-4], content + b"\0" * 64, b"", bad_floats(content, rng), bad_floats(content, rng))
        )
    try:
        return _rewritten(data, name, content)
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, zlib.error):
        return flip_bit(data, rng)


@functools.cache
def _zeros() -> tuple[bytes, int]:
    """BOMB zero bytes, deflated, and their checksum, without holding them."""
    packer, check = zlib.compressobj(9, zlib.DEFLATED, -15), 0
    block = bytes(_BLOCK)
    parts = []
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)  # equal blocks deflate to equal bytes
    for _ in range(BOMB // _BLOCK):
        parts.append(packed)
        check = zlib.crc32(block, check)
    return b"".join(parts) + zlib.compressobj(9, zlib.DEFLATED, -15).flush(), check


def bomb(data: bytes, rng: random.Random) -> bytes:
    """A sound archive of a few megabytes, in which one record grows to gigabytes."""
    records = [record for record in _records(data) if record[2]]
    if not records:
        return flip_bit(data, rng)
    name = rng.choice(records)[0]
    packed, check = _zeros()
    try:
        sound = _rewritten(data, name, b"a place for the bomb")
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError, zlib.error):
        return flip_bit(data, rng)
    # Written by hand, because zipfile would have to hold all of it: the record is put last.
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist() if info.filename != name]
    body, central = b"", b""
    sized = [(entry, 0, zlib.crc32(content), content, len(content)) for entry, content in entries]
    for entry, method, crc, content, size in [*sized, (name, 8, check, packed, BOMB)]:
        encoded = entry.encode()
        fields = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0x21, crc, len(content), size, len(encoded), 0)
        central += CENTRAL + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + encoded
        body += LOCAL + fields + encoded + content
    count = len(entries) + 1
    return body + central + END + struct.pack("<HHHHIIH", 0, 0, count, count, len(central), len(body), 0)


ALL: list[Mutation] = [
    damage_weights, damage_header, other_record, damage_record, damage_weights, damage_header, drop_record, other_record,
    damage_weights, other_record, damage_header, other_record, damage_weights, other_record, damage_header,
    other_record, damage_header, bomb,
]  # fmt: skip
HONEST: list[Mutation] = [other_record, bomb]
