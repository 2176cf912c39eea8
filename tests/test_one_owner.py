"""One owner for each fact: a second one, wherever it appears, fails here. The tables' own tests add a line and look for it."""

from __future__ import annotations

import ast
import re

import pytest

from magface_al.choosing.hard_pairs import HardWishes
from magface_al.choosing.wishes import Wishes
from magface_al.embedding.model_flags import ModelChoice
from magface_al.evaluation import recognition
from magface_al.faces.formats import IMAGE_SUFFIXES
from magface_al.faces.label_map import LABELS
from magface_al.finetuning.recipe import Recipe, SplitRecipe
from magface_al.labelling.assignment import Settings
from magface_al.labelling.web.serving import Door
from magface_al.metrics.cosine import THRESHOLD
from magface_al.models.architectures import ARCHITECTURES
from magface_al.training.recipe import Augmentation, TrainingRecipe
from tests.support.scripts import ROOT

PACKAGE = ROOT / "magface_al"
CODE = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in [*ROOT.glob("*.py"), *PACKAGE.rglob("*.py")]
}


def docstrings(tree):
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr):
            yield node.body[0].value


def constants(tree):
    """Every literal of a file that is no docstring, with the node it stands in."""
    left_out = set(map(id, docstrings(tree)))
    for parent in ast.walk(tree):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.Constant) and id(node) not in left_out:
                yield parent, node.value


def files_with(wanted):
    """The files that hold a literal for which wanted(value, the node it stands in) is true."""
    return {name for name, tree in CODE.items() if any(wanted(value, parent) for parent, value in constants(tree))}


def calls(tree, name):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name)]


def test_the_threshold():
    """As a value that a name with "threshold" in it gets, or as a flag's or an argument's default."""

    def names_it(value, parent):
        return value == THRESHOLD and not isinstance(value, bool) and "threshold" in ast.unparse(parent).lower()

    assert files_with(names_it) == {"magface_al/metrics/cosine.py"}
    for name, tree in CODE.items():
        for call in calls(tree, "add_argument"):
            if "threshold" in ast.unparse(call.args[0]):
                literals = [
                    word for word in call.keywords if word.arg == "default" and isinstance(word.value, ast.Constant)
                ]
                assert not literals, f"{name}: {ast.unparse(call)}"


def test_the_architectures():
    """Which of them AdaFace's trainer makes is a fact of its own."""
    assert files_with(lambda value, _: value in ARCHITECTURES and value != "mobilefacenet") == {
        "magface_al/models/architectures.py"
    }


def test_the_endings_of_pictures():
    """An encoder is told its format by an ending too (cv2.imencode); that is no list of what is read."""

    def lists_it(value, parent):
        return value in IMAGE_SUFFIXES and "imencode" not in ast.unparse(parent)

    assert files_with(lists_it) == {"magface_al/faces/formats.py"}


def test_the_map_of_labels():
    assert files_with(lambda value, _: value == LABELS) == {"magface_al/faces/label_map.py"}


def test_what_an_identity_is():
    found = {name for name, tree in CODE.items() if re.search(r"\.parent\.name\b", ast.unparse(tree))}
    assert found == {"magface_al/faces/identities.py"}


def test_a_missing_package():
    def catches(tree):
        handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.type is not None]
        return any(re.search("ImportError|ModuleNotFoundError", ast.unparse(node.type)) for node in handlers)

    assert {name for name, tree in CODE.items() if catches(tree)} == {"magface_al/command/extras.py"}


def test_lines_of_lists():
    """The text feature store has a reader of its own, for speed; everything else takes lines from one place."""
    found = {
        name for name, tree in CODE.items() if re.search(r"enumerate\((file|text|\w+\.read_text)", ast.unparse(tree))
    }
    assert found == {"magface_al/command/files.py", "magface_al/embedding/store.py"}


def test_numbers_and_their_ranges():
    found = {name for name, tree in CODE.items() if calls(tree, "ArgumentTypeError")}
    assert found == {"magface_al/command/numbers.py", "magface_al/command/cli.py"}  # cli: NAME=PATH, yes|no


def test_images_of_pairs_are_embedded_in_one_place():
    found = {name for name, tree in CODE.items() if calls(tree, "face_batches")}
    assert found == {
        "magface_al/embedding/embedder.py",  # embed_images: pairs, validation
        "magface_al/embedding/extraction.py",  # a list into a store, batch by batch
        "magface_al/finetuning/feedback.py",  # faces kept as pictures, not embedded
    }


@pytest.mark.parametrize(
    ("files", "recipes"),
    [
        (("magface_al/finetuning/flags.py", "finetune_on_feedback.py"), (Recipe, SplitRecipe)),
        (("magface_al/training/flags.py", "train.py"), (TrainingRecipe, Augmentation)),
        (("choose_pairs.py",), (Wishes,)),
        (("build_hard_pairs.py",), (HardWishes,)),
        (("label_pairs.py",), (Settings, Door)),
        (("evaluate_recognition.py", "magface_al/evaluation/flags.py"), (recognition.Settings,)),
        (("magface_al/embedding/model_flags.py", "gen_features.py"), (ModelChoice,)),
    ],
    ids=lambda value: getattr(value[0], "__name__", value[0]),
)
def test_defaults_of_flags(files, recipes):
    """Whatever a recipe has a default for, its flag takes from there: no literal stands beside it."""
    fields = {name for recipe in recipes for name in recipe.__dataclass_fields__}
    for file in files:
        for call in calls(CODE[file], "add_argument"):
            flags = [word.value for word in call.args if isinstance(word, ast.Constant)]
            default = next((word.value for word in call.keywords if word.arg == "default"), None)
            if any(str(flag).removeprefix("--") in fields for flag in flags) and default is not None:
                literal = isinstance(default, ast.Constant | ast.List | ast.Tuple | ast.UnaryOp)
                assert not literal or ast.unparse(default) in ("'auto'", "[]"), f"{file}: {ast.unparse(call)}"
