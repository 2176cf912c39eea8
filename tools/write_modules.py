"""Write the list of modules in docs/architecture.md: a line for each, from the module's own first sentence.

writes   docs/architecture.md, between its two marks
example  python tools/write_modules.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- written by make docs from the modules' own first lines -->\n", "<!-- end -->"


def main() -> None:
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")


def renewed(page: str) -> str:
    """The page with the list as the package has it now."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n".join(_folders()) + "\n" + END + rest.partition(END)[2]


def _folders() -> Iterator[str]:
    package = ROOT / "magface_al"
    for face in sorted(package.rglob("__init__.py")):
        folder = face.parent
        modules = [path for path in sorted(folder.glob("*.py")) if path != face]
        yield from ("", f"**{folder.relative_to(ROOT)}/** {first_sentence(face)}", "")
        yield from (f"- `{path.stem}` {first_sentence(path)}" for path in modules)


def first_sentence(path: Path) -> str:
    """Of a module's docstring, up to its full stop, colon or end."""
    doc = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=\.)\s+(?=[A-Z])", doc)[0].rstrip(":")
    return sentence if sentence.endswith(".") else sentence + "."


if __name__ == "__main__":
    main()
