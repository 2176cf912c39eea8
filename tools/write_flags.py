"""Write docs/flags.md: every script of the project and every flag of it, as its own parser describes them.

writes   docs/flags.md
example  python tools/write_flags.py
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "flags.md"
HEAD = """# Flags

Every script and every flag of it. This page is written by `make docs` from the scripts' own parsers; `--help` of a script
says the same. Exit codes are the same everywhere: 0 done, 1 the work failed, 2 bad arguments or input, 130 Ctrl-C.
"""


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(flags_page(), encoding="utf-8")
    print(f"wrote {PAGE}")


def flags_page() -> str:
    """The whole page. Needs no torch: a script's parser imports nothing heavy."""
    paths = sorted(ROOT.glob("*.py"))
    contents = [f"[{path.name}](#{path.stem}py)" for path in paths]
    return "\n".join([HEAD, ", ".join(contents) + ".", *(line for path in paths for line in _script(path))]) + "\n"


def parser_of(path: Path) -> argparse.ArgumentParser:
    """The parser of a script, as `python NAME` would make it."""
    spec = importlib.util.spec_from_file_location(f"flags_of_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT))
    parser: argparse.ArgumentParser = module.build_parser()
    parser.prog = path.name
    return parser


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Name -> parser of each sub-command; empty for a script without any."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: command for action in actions for name, command in action.choices.items()}


def _script(path: Path) -> Iterator[str]:
    parser = parser_of(path)
    sentence, files, notes = _parts(parser.description or "")
    yield from ("", f"## {path.name}", "", sentence)
    if files:
        yield from ("", "```text", files, "```")
    if notes:
        yield from ("", notes)
    yield from _tables(parser)
    for name, command in subcommands(parser).items():
        yield from ("", f"### {path.name} {name}", "", (command.description or "").rstrip(".") + ".")
        yield from _tables(command)


def _parts(doc: str) -> tuple[str, str, str]:
    """(first sentence, the lines of what is read and written, the rest) of a script's docstring."""
    paragraphs = doc.strip().split("\n\n")
    files = paragraphs[1].partition("\nexample")[0] if len(paragraphs) > 1 else ""
    return " ".join(paragraphs[0].split()), files, "\n\n".join(paragraphs[2:])


def _tables(parser: argparse.ArgumentParser) -> Iterator[str]:
    """One table for each group of flags that has any."""
    for group in parser._action_groups:
        rows = [_row(parser, action) for action in group._group_actions if _is_flag(action)]
        if not rows:
            continue
        title = {"positional arguments": "arguments", "options": "general"}.get(group.title or "", group.title)
        yield from ("", f"| {title} | default | choices | meaning |", "|---|---|---|---|", *rows)


def _is_flag(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    meaning = (action.help or "") % {**vars(action), "prog": parser.prog}
    if _takes_yes_or_no(action):
        meaning = meaning.rpartition(" [")[0]
    cells = (_name(action), _default(action), ", ".join(map(str, action.choices or ())), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _name(action: argparse.Action) -> str:
    """The flag, what stands behind it, and its other names."""
    value = f" {action.metavar}" if isinstance(action.metavar, str) and action.option_strings else ""
    more = " ..." if action.nargs in ("+", "*") else ""
    first, *aliases = action.option_strings or [str(action.metavar or action.dest)]
    return f"`{first}{value}{more}`" + "".join(f", `{alias}`" for alias in aliases)


def _default(action: argparse.Action) -> str:
    if action.required:
        return "required"
    if _takes_yes_or_no(action) or action.nargs == 0:
        return "yes" if action.default else "no"
    return _plain(action.default)


def _plain(value: Any) -> str:
    """A default as one would type it."""
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value))
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _takes_yes_or_no(action: argparse.Action) -> bool:
    return action.metavar == "yes|no"


if __name__ == "__main__":
    main()
