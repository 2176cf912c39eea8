"""What a pickle announces, looked at before anything is made of it."""

from __future__ import annotations

import pickle
import pickletools
import warnings
from typing import IO, Any

OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}


class TooLarge(pickle.UnpicklingError):
    """A pickle that announces what its file cannot hold; the text goes on where "it" was said."""


def check_program(file: IO[bytes], length: int) -> None:
    """Read one pickle from where `file` stands to its end, for what a file of `length` bytes cannot hold.

    Python's unpickler makes room for whatever is announced before it looks whether it is there: for all numbers of
    remembered objects up to the largest (LONG_BINPUT: five bytes, 34 GB), and for a bytearray (BYTEARRAY8: nine bytes).
    Raises TooLarge for such numbers, ValueError for what is cut off or no pickle. file.read must not make
    room for more than is left: a BytesIO or an mmap, not a file.
    """
    while True:
        code = file.read(1)
        if not code:
            raise ValueError("the pickle ends before its end mark")
        opcode = OPCODES.get(code.decode("latin-1"))
        if opcode is None:
            raise ValueError(f"there is no pickle instruction {code!r}")
        if opcode.name == "STRING":
            file.readline()  # of Python 2: any bytes, which pickletools takes for ASCII
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of escapes that no Python has written
            argument: Any = opcode.arg.reader(file) if opcode.arg else None
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > length:
            raise TooLarge(f"numbers an object {argument}, and has {length} bytes in all")
        if opcode.name == "STOP":
            return
