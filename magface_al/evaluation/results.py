"""What an evaluation leaves behind: tables in Markdown that are also straight columns on a screen, and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from magface_al.command.errors import UserError
from magface_al.command.replacing import replacing, write_json


def write_results(folder: Path, name: str, text: str, content: Mapping[str, Any]) -> None:
    """NAME.md with the text that the screen shows, and NAME.json with every figure."""
    with replacing(folder / f"{name}.md") as file:
        file.write(text)
    write_json(folder / f"{name}.json", content)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """The first `left` columns are names, set to the left; the others are figures, set to the right."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in [header, *rows]]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(parts)} |"

    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])]) + "\n"


def distinct_names(paths: Sequence[str]) -> list[str]:
    """The shortest end of each path, in whole parts, that no other path has. Raises UserError for a path given twice."""
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise UserError(f"{twice[0]}: given twice, expected a different file for every row of the table")
    parts = [path.replace("\\", "/").split("/") for path in paths]
    lengths = range(1, max(map(len, parts)) + 1)
    candidates = (["/".join(part[-length:]) for part in parts] for length in lengths)
    return next(names for names in candidates if len(set(names)) == len(names))
