"""Flags from a YAML file: every key is a flag's name, every value what would stand behind it on the command line."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import Any

import yaml

from magface_al.command.errors import UserError
from magface_al.command.files import is_path, open_input


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


def _entries(path: Path) -> list[tuple[str, yaml.Node, int]]:
    """(key, what stands behind it, line) of a file that is one mapping without repeated keys."""
    with open_input(path, "a YAML file of flags") as file:
        data = file.read()
    try:
        root = yaml.compose(data.decode("utf-8-sig"), yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # not UTF-8, or an escape of no character
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise UserError(f"{path}: lists inside lists without end, expected lines of `flag: value`") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: expected lines of `flag: value`")
    entries: dict[str, tuple[str, yaml.Node, int]] = {}
    for key, value in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"{path}: line {line}: expected `flag: value`")
        if key.value in entries:
            raise UserError(f"{path}: line {line}: {key.value!r} is given twice, expected once")
        entries[key.value] = key.value, value, line
    return list(entries.values())


def _converted(action: argparse.Action, value: yaml.Node, where: str) -> Any:
    """The value as the command line would give it: the words themselves, whatever type YAML 1.1 takes them for (to it 1e-4
    is a text, 010 is eight, and 2026-13-40 a date that does not exist)."""
    if isinstance(action.const, bool):
        if not _is(value, "bool") or value.value.lower() not in yaml.SafeLoader.bool_values:
            raise UserError(f"{where}{_words(value)}, expected yes or no")
        return yaml.SafeLoader.bool_values[value.value.lower()]
    several = action.nargs not in (None, "?")
    items = value.value if isinstance(value, yaml.SequenceNode) else [value]
    wrong = any(not isinstance(item, yaml.ScalarNode) or _is(item, "bool") or _is(item, "null") for item in items)
    if wrong or (len(items) != 1 and not several):
        raise UserError(f"{where}{_words(value)}, expected {'a list of values' if several else 'one value'}")
    converted = [_one(action, item.value, where) for item in items]
    return converted if several else converted[0]


def _is(node: yaml.Node, kind: str) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"tag:yaml.org,2002:{kind}"


def _words(node: yaml.Node) -> str:
    """A value for a message of one line."""
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if _is(node, "null") else node.value[:80]
    if isinstance(node, yaml.SequenceNode):
        items = [_words(item) if isinstance(item, yaml.ScalarNode) else "..." for item in node.value]
        return f"[{', '.join(items)}]"[:80]
    return "a mapping"


def _one(action: argparse.Action, text: str, where: str) -> Any:
    if not is_path(text):
        raise UserError(f"{where}{text[:60]!r} is too long, or has characters that no command line has")
    try:
        value = action.type(text) if callable(action.type) else text
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{where}{error}") from None
    except (TypeError, ValueError):
        raise UserError(f"{where}{text!r} is no {getattr(action.type, '__name__', 'value')}") from None
    if action.choices is not None and value not in action.choices:
        raise UserError(f"{where}{text!r}, expected one of {', '.join(map(str, action.choices))}")
    return value
