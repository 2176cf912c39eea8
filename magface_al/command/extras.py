"""Packages that only some commands need, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from magface_al.command.errors import UserError


def require(module: str, purpose: str, extra: str = "export") -> Any:
    """Import a module that the extra of that name brings. Raises UserError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = error.name.split(".")[0] if error.name else module
        raise UserError(
            f"{package} is not installed and is needed {purpose}: pip install {package}, or pip install -e '.[{extra}]'"
        ) from None
