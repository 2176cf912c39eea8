"""Packages that only some commands need, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from magface_al.command.errors import UserError


def require(module: str, purpose: str) -> Any:
    """Import a module of the `export` extra. Raises UserError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        package = module.split(".")[0]
        raise UserError(
            f"{package} is not installed and is needed {purpose}: pip install {package}, or pip install -e '.[export]'"
        ) from None
