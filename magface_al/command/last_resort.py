"""What nobody foresaw, in one line: what a library could not do, or a bug of this project; the traceback goes to a file."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "failed to allocate",
    "failed to map segment",
    "bad_alloc",
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory was what lacked: Python, PyTorch, OpenCV and onnxruntime each say it in their own words."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)


def explain(error: Exception, script: str, debug: bool) -> str:
    """One line about an exception. Its traceback is kept in a file that the line names; debug=True prints it instead.

    Who raised it decides whose fault it is: the innermost frame in a library is bad input or a machine's limit that no reader
    has foreseen, the innermost frame in this project is a bug.
    """
    if isinstance(error, MemoryError):
        traceback.clear_frames(error.__traceback__)  # what the work held; saying so needs some of it
        try:
            return _explained(error, script, debug)
        except MemoryError:
            return "not enough memory, not even to keep the traceback; a smaller --batch_size or fewer --workers needs less"
    return _explained(error, script, debug)


def _explained(error: Exception, script: str, debug: bool) -> str:
    if debug:
        traceback.print_exception(error)
        where = "the traceback is above"
    else:
        where = _kept(error, script)
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if is_out_of_memory(error):
        return f"not enough memory ({reason}); a smaller --batch_size or fewer --workers needs less; {where}"
    if isinstance(error, ModuleNotFoundError):
        return f"{reason}: {sys.executable} is not the Python that was installed into; {where}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if _is_ours(frame.filename) and not isinstance(error, SystemError):  # that one is C's: memory ends in it too
        return f"a bug in magface_al, please report it: {type(error).__name__}: {reason}; {where}"
    return f"{Path(frame.filename).name} could not go on: {type(error).__name__}: {reason}; {where}"


def _is_ours(file: str) -> bool:
    """Whether a frame's file is this project's, and no library installed inside of its folder."""
    if file.startswith("<"):  # <frozen importlib>, <string>
        return False
    path = Path(file).resolve()
    return path.is_relative_to(_PROJECT) and "site-packages" not in path.relative_to(_PROJECT).parts


def _kept(error: Exception, script: str) -> str:
    try:
        descriptor, name = tempfile.mkstemp(".txt", f"{Path(script).stem}-traceback-")  # 0600
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{' '.join(sys.argv)}\n\n")
            traceback.print_exception(error, file=file)
    except (OSError, MemoryError) as reason:
        why = getattr(reason, "strerror", None) or type(reason).__name__
        return f"the traceback could not be kept ({why}), --debug prints it"
    return f"the traceback is in {name}, --debug prints it"
