"""Flags from a YAML file: every key is a flag's name, every value what would stand behind it on the command line."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import Any

import yaml

from magface_al.command.errors import UserError


def apply_config(parser: argparse.ArgumentParser, path: Path) -> None:
    """Make the file's values the parser's defaults. Raises UserError naming line and key, and for an unknown key the nearest."""
    actions = _flags(parser)
    for key, value, line in _entries(path):
        where = f"{path}: line {line}: "
        if key not in actions:
            nearest = difflib.get_close_matches(key, actions, 1, 0.0)[0]
            raise UserError(
                f"{where}unknown key {key!r}, nearest is {nearest!r}; keys are the flags of --help without the dashes"
            )
        action = actions[key]
        parser.set_defaults(**{action.dest: _converted(action, value, f"{where}{key}: ")})
        action.required = False


def _flags(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Flag without its dashes -> what the parser does with it; an alias is a flag too."""
    actions = [action for action in parser._actions if action.dest not in ("help", "config")]
    options = [(option, action) for action in actions for option in action.option_strings]
    return {option.removeprefix("--"): action for option, action in options if option.startswith("--")}


def _entries(path: Path) -> list[tuple[str, Any, int]]:
    """(key, value, line) of a file that is one mapping without repeated keys."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{path}: {error.strerror}, expected a YAML file of flags") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: expected lines of `flag: value`")
    if len(root.value) > len(values):
        names = [node.value for node, _ in root.value]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: {twice!r} is given twice, expected once")
    lines = [node.start_mark.line + 1 for node, _ in root.value]
    return [(str(key), value, line) for (key, value), line in zip(values.items(), lines, strict=True)]


def _converted(action: argparse.Action, value: Any, where: str) -> Any:
    """The value as the command line would give it. YAML's own types are undone first: 1e-4 is a text to YAML 1.1."""
    if isinstance(action.const, bool):
        if not isinstance(value, bool):
            raise UserError(f"{where}{value!r}, expected yes or no")
        return value
    several = action.nargs not in (None, "?")
    items = value if isinstance(value, list) else [value]
    wrong = any(isinstance(item, list | dict | bool) or item is None for item in items)
    if wrong or (len(items) != 1 and not several):
        raise UserError(f"{where}{value!r}, expected {'a list of values' if several else 'one value'}")
    converted = [_one(action, str(item), where) for item in items]
    return converted if several else converted[0]


def _one(action: argparse.Action, text: str, where: str) -> Any:
    try:
        value = action.type(text) if callable(action.type) else text
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{where}{error}") from None
    except (TypeError, ValueError):
        raise UserError(f"{where}{text!r} is no {getattr(action.type, '__name__', 'value')}") from None
    if action.choices is not None and value not in action.choices:
        raise UserError(f"{where}{text!r}, expected one of {', '.join(map(str, action.choices))}")
    return value
