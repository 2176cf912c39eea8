"""Is a .pth file whole, and could its bytes hold what it announces? Answered before PyTorch makes anything of it.

torch.load compares no checksum, and makes what a pickle asks for: 400 bytes for `bytearray(2**33)`, or a megabyte that
inflates to a gigabyte, are enough to fill a machine's memory.
"""

from __future__ import annotations

import io
import math
import mmap
import pickle
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from magface_al.command.pickles import TooLarge, check_program

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # what torch.save wrote first before it wrote zip archives (1.6)
LEGACY_PICKLES = 5  # magic number, protocol, machine, content, names of the storages whose bytes follow


def check_pth(file: io.BufferedReader) -> set[str]:
    """Read a file through once, and return every name (`module.name`) that it asks for; nothing of it is imported.

    A zip archive's checksums are compared (50 ms for 250 MB, once the file is in memory). Records with checksum 0 have
    none: torch.serialization.set_crc32_options(False) writes such. Nor has the format before PyTorch 1.6 any.
    Raises TooLarge, BadZipFile, pickle.UnpicklingError, or ValueError and its like for a file that is broken or none; an
    OSError (EINVAL) where an archive points before its beginning.
    """
    if file.read(4) == b"PK\x03\x04":
        return _check_archive(file)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _check_legacy(content, len(content))


def _check_archive(file: IO[bytes]) -> set[str]:
    length = file.seek(0, io.SEEK_END)
    with ZipFile(file) as archive:
        records = archive.infolist()
        if len({record.filename.lower() for record in records}) < len(records):
            raise BadZipFile("two records have one name")
        if any(record.filename.endswith("/constants.pkl") for record in records):
            raise ValueError("a TorchScript program; save model.state_dict() instead")
        for record in records:
            if record.compress_type != ZIP_STORED or record.file_size != record.compress_size:
                raise BadZipFile(f"{record.filename} is compressed, which PyTorch never does")
        if sum(record.file_size for record in records) > length:
            raise BadZipFile("its records announce more bytes than the file has")
        for record in records:
            if record.CRC == 0:
                del record.CRC  # zipfile compares none where there is none
            with archive.open(record) as stream:  # compares the name, and at the end of the record the checksum
                while stream.read(1 << 20):
                    pass
        data = archive.read(f"{records[0].filename.split('/')[0]}/data.pkl")
    reading = _Budget(length)
    reading.take(io.BytesIO(data), len(data))
    return reading.names


def _check_legacy(content: mmap.mmap, length: int) -> set[str]:
    reading = _Budget(length)
    if reading.take(content, length) == LEGACY_MAGIC:
        for _ in range(LEGACY_PICKLES - 1):
            reading.take(content, length)
    return reading.names


class _Budget:
    """What a pickle would make, in elements, against what its file can hold: no more than one for each byte."""

    def __init__(self, length: int) -> None:
        self.left, self.length = length, length
        self.names: set[str] = set()
        self._storages: set[Any] = set()

    def take(self, file: Any, length: int) -> Any:
        """Run one pickle with stand-ins for everything that it names, and return what it makes."""
        start = file.tell()
        check_program(file, length)
        file.seek(start)
        return _DryRun(file, self).load()

    def spend(self, count: int) -> None:
        """Raises TooLarge once everything together is more than the file can hold."""
        self.left -= abs(count)
        if self.left < 0:
            raise TooLarge(f"asks for more than a file of {self.length} bytes can hold")

    def storage(self, key: Any, count: int) -> _Storage:
        """The storage `key` of so many elements, which is paid for once."""
        if key not in self._storages:
            self.spend(count)
            self._storages.add(key)
        return _Storage(count)

    def view(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        """A tensor of a storage's elements: within it, and of no more elements than the file has bytes."""
        inside = all(count >= 0 for count in (offset, *size, *stride)) and len(size) == len(stride)
        last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=False))
        elements = math.prod(size)
        if not inside or elements > self.length or (elements and last >= storage.count):
            raise TooLarge(f"asks for a tensor of {list(size)} out of {storage.count} stored numbers")

    def call(self, name: str, arguments: tuple[Any, ...]) -> None:
        """What calling a name with these arguments could make at the most."""
        if len(arguments) > 3 and isinstance(arguments[0], _Storage):
            self.view(*arguments[:4])
        elif name == "torch._tensor._rebuild_from_type_v2":
            function, _, own, state = arguments
            self.call(getattr(function, "name", ""), own)
            self.copy(state)
        elif not name.startswith("torch._utils._rebuild_"):  # those pass tensors on, and copy nothing
            shape = arguments[0] if name == "torch.Size" and arguments else arguments
            self.spend(math.prod(max(1, abs(count)) for count in shape if isinstance(count, int)))
            for argument in arguments:
                self.copy(argument)

    def copy(self, value: Any) -> None:
        """A value with all that is in it."""
        if isinstance(value, str | bytes | bytearray):
            self.spend(len(value))
        elif isinstance(value, _StandIn):
            self.spend(value.size)
        elif isinstance(value, list | tuple | set | frozenset | dict):
            for item in value.items() if isinstance(value, dict) else value:
                self.spend(1)
                self.copy(item)


class _Storage:
    """Where a pickle speaks of a storage: of `count` elements."""

    def __init__(self, count: int) -> None:
        self.count = count


class _StandIn:
    """What a call makes, as far as sizes go. A class of its own stands for every name."""

    account: _Budget
    name = ""

    def __new__(cls, *arguments: Any, **_: Any) -> _StandIn:
        before = cls.account.left
        cls.account.call(cls.name, arguments)
        made = super().__new__(cls)
        made.size = before - cls.account.left
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        self.size: int

    def __setstate__(self, state: Any) -> None:
        self.account.call(self.name, state if isinstance(state, tuple) else (state,))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.size += 1

    def append(self, value: Any) -> None:
        """As a list, or add, as a set."""
        self.size += 1

    add = append


class _DryRun(pickle.Unpickler):
    """An unpickler in which every name is a stand-in."""

    def __init__(self, file: Any, account: _Budget) -> None:
        super().__init__(file, encoding="bytes")
        self.account = account
        self._known: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        self.account.names.add(full)
        if full not in self._known:
            self._known[full] = type("Named", (_StandIn,), {"account": self.account, "name": full})
        return self._known[full]

    def persistent_load(self, pid: Any) -> Any:
        kind, _, key, _, count, *_ = pid  # "storage", its type, key, place and number of elements
        if kind not in ("storage", b"storage"):
            raise TooLarge(f"asks for a stored {str(kind)[:20]}")
        return self.account.storage(key, count)
