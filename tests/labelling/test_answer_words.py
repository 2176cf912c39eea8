"""The answers that can be given have one owner; the pages offer those and no others."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import magface_al.labelling
from magface_al.labelling.answer_words import ANSWER_OF, ANSWERS, BAD_IMAGE, LABEL_OF, UNABLE

FOLDER = Path(magface_al.labelling.__file__).parent
PAGES = FOLDER / "web" / "static"


def words_used(path):
    """The texts in a file that are answers, but for docstrings, the keys of JSON objects and what Label Studio calls them."""
    tree = ast.parse(path.read_text())
    left_out = {key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict.fromkeys":
            left_out |= set(ast.walk(node))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in left_out}
    return texts & set(ANSWERS)


@pytest.mark.parametrize(
    "path", [path for path in FOLDER.rglob("*.py") if path.stem != "answer_words"], ids=lambda path: path.stem
)
def test_no_other_module_spells_an_answer(path):
    assert not words_used(path)


def test_a_second_owner_is_seen(tmp_path):
    (tmp_path / "module.py").write_text('def f(said):\n    """bad_image"""\n    return said == "bad_image"\n')
    assert words_used(tmp_path / "module.py") == {"bad_image"}


def test_the_pages_give_every_answer_and_no_other():
    buttons = set(re.findall(r'data-answer="(\w+)"', (PAGES / "label.html").read_text()))
    assert buttons == {*ANSWERS} - {BAD_IMAGE}  # whose button asks first which image is bad
    given = re.findall(r'\banswer\("(\w+)"', (PAGES / "label.js").read_text())
    assert set(given) == set(ANSWERS)
    choices = re.search(r"const CHOICES = \[(.*)\];", (PAGES / "review.js").read_text())[1]
    assert set(re.findall(r'\["(\w+)"', choices)) == {*LABEL_OF, *UNABLE}


def test_an_answer_gives_its_label_and_the_label_its_answer():
    assert {ANSWER_OF[label]: label for label in (1, 0)} == LABEL_OF == {"same": 1, "different": 0}
