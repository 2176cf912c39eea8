"""Every command that README.md and docs/ show is run, as it stands, by somebody who has nothing but the project.

A command is run in this process where it is one of the scripts (its words go to the script's own `main`), and by bash where
it is not. Weights are small, faces are drawn. What commands write must be out of git's sight: it is biometric data.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import tomllib
from unittest import mock

import cv2
import numpy as np
import pytest
import torch

from magface_al.command import cli
from magface_al.faces.drawn.people import draw_people
from magface_al.faces.recordio import pack
from magface_al.models import checkpoint, ir_nets, layouts
from magface_al.models.backbones import build_backbone
from magface_al.models.checkpoint import load_backbone
from tests.support.documents import blocks, commands
from tests.support.records import write_records
from tests.support.scripts import ROOT, run_here
from tools import write_flags, write_modules

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
DOCUMENTS = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]
DOCUMENTS.remove("docs/extending.md")  # whose commands need its code: test_extending.py
PEOPLE, IMAGES = 6, 3


def script_of(command):
    """(variables, script, flags) of a command that runs one of the scripts; script None for any other command."""
    words = shlex.split(command)
    given = [word for word in words if re.fullmatch(r"[A-Z_]+=\S*", word)]
    words = words[len(given) :]
    place = next((k for k, word in enumerate(words) if word in SCRIPTS), None)
    if place is None or words[0] not in ("python", "torchrun"):
        return {}, None, words
    return dict(word.split("=", 1) for word in given), words[place], words[place + 1 :]


def starts_a_server_or_needs_gpus(command):
    return command.startswith("torchrun ") or ("label_pairs.py" in command and "--export_only" not in command)


def run_command(command, folder):
    """Run one command of a document in a folder, as somebody who pastes it does."""
    variables, script, flags = script_of(command)
    if script is None and command.startswith(("make ", "python -m pip ")):
        return  # test_make_and_pip_know_what_the_documents_ask_of_them
    if script is None:
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    elif starts_a_server_or_needs_gpus(command):
        with contextlib.chdir(folder):
            cli.parse(write_flags.parser_of(ROOT / script), flags)
    else:
        with mock.patch.dict(os.environ, variables):
            run_here(folder, script, *flags)


@pytest.fixture(scope="module")
def belongings(tmp_path_factory):
    """What the documents take for granted: faces, test sets, answers, weights."""
    folder = tmp_path_factory.mktemp("belongings")
    write_people(folder)
    write_weights(folder)
    return folder


@pytest.fixture
def workplace(belongings, tmp_path):
    """A folder with these things and the project's .gitignore, in which git sees nothing but the latter."""
    folder = tmp_path / "workplace"
    shutil.copytree(belongings, folder)
    shutil.copy(ROOT / ".gitignore", folder)
    if shutil.which("git"):
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def seen_by_git(folder):
    """The files that `git add .` would stage."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed, so nothing shows what it would stage")
    command = ["git", "ls-files", "--others", "--exclude-standard"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()


def write_people(folder):
    names, records = [], {}
    for person, image, face in draw_people(PEOPLE, IMAGES, seed=2):
        path = folder / "faces" / f"person_{person}" / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), face)
        names.append(str(path.relative_to(folder)))
        records[len(records)] = pack((float(person),), len(records), cv2.imencode(".jpg", face)[1].tobytes())
    (folder / "faces_webface_112x112").mkdir()
    write_records(folder / "faces_webface_112x112" / "train.rec", records)
    write_sets(folder, names)


def write_sets(folder, names):
    """agedb_30.bin and feedback.json with all same pairs and as many different ones; IJBC/ with a template for each image."""
    owner = [name.split("/")[1] for name in names]
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    same = [(i, j, True) for i, j in pairs if owner[i] == owner[j]]
    different = [(i, j, False) for i, j in pairs if owner[i] != owner[j]]
    mixed = [pair for two in zip(same, different[:: len(different) // len(same)], strict=False) for pair in two]
    data = [(folder / name).read_bytes() for name in names]
    (folder / "agedb_30.bin").write_bytes(
        pickle.dumps(([data[k] for i, j, _ in mixed for k in (i, j)], [label for *_, label in mixed]))
    )
    answers = [{"image1": names[i], "image2": names[j], "label": int(label), "answer": "same" if label else "different",
                "annotator": "Ann"} for i, j, label in mixed]  # fmt: skip
    (folder / "feedback.json").write_text(json.dumps({"pairs": answers}))
    (folder / "IJBC" / "meta").mkdir(parents=True)
    for k, image in enumerate(data):
        (folder / "IJBC" / f"{k}.png").write_bytes(image)
    meta = {
        "face_tid_mid": [f"{k}.png {k} {k}" for k in range(len(names))],
        "template_pair_label": [f"{i} {j} {int(owner[i] == owner[j])}" for i, j in pairs],
    }
    for name, lines in meta.items():
        (folder / "IJBC" / "meta" / f"ijbc_{name}.txt").write_text("\n".join(lines))
    (folder / "ijbc.list").write_text("\n".join(f"IJBC/{k}.png" for k in range(len(names))))


def write_weights(folder):
    """Small networks, each in the layout of the project that a document names; the smallest has learnt drawn people."""
    torch.manual_seed(1)
    tiny = load_backbone(ROOT / "assets" / "demo_magface.pth").model.state_dict()
    write_magface(folder / "magface_epoch_00025.pth", tiny)
    torch.save({**tiny, "features.weight": torch.ones_like(tiny["features.weight"])}, folder / "backbone.pth")
    torch.save({f"net.{key}": value for key, value in tiny.items()}, folder / "model.pt")
    torch.save(build_backbone("mobilefacenet").state_dict(), folder / "mobilefacenet.pth")
    torch.save({"state_dict": adaface(build_backbone("iresnet18").state_dict())}, folder / "adaface_ir18.ckpt")


def write_magface(path, state):
    """MagFace's own layout, with a classifier's shard as in the official file."""
    state = {f"features.module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 25, "state_dict": state | {"module.fc.weight": torch.zeros(10, 512)}}, path)


def adaface(state):
    """An iResNet-18's tensors by the names that AdaFace gives them; those that an IR net lacks are left out."""
    unit = {ours: theirs for theirs, ours in ir_nets.UNIT.items()}
    stem = {ours: f"input_layer.{theirs}" for theirs, ours in ir_nets.STEM.items()}
    tail = {ours: f"output_layer.{theirs}" for theirs, ours in ir_nets.TAIL.items()}
    renamed = {}
    for key, value in state.items():
        layer, _, tensor = key.rpartition(".")
        if match := re.fullmatch(r"layer(\d)\.(\d)\.(\w+)(?:\.(\d))?", layer):
            stage, block, name, shortcut = match.groups()
            place = f"shortcut_layer.{shortcut}" if name == "downsample" else f"res_layer.{unit[name]}"
            layer = f"body.{2 * (int(stage) - 1) + int(block)}.{place}"
        else:
            layer = stem.get(layer) or tail[layer]
        renamed[f"model.{layer}.{tensor}"] = value
    absent = ("model.body.0.shortcut_layer", "model.output_layer.4.weight", "model.output_layer.4.bias")
    return {key: value for key, value in renamed.items() if not key.startswith(absent)}


@pytest.fixture
def small_iresnet100(monkeypatch):
    """iresnet100 is as small as iresnet_tiny: a hundred layers would take minutes."""

    def build(arch):
        return build_backbone("iresnet_tiny" if arch == "iresnet100" else arch)

    for module in (layouts, checkpoint):
        monkeypatch.setattr(module, "build_backbone", build)
    layouts.backbone_shapes.cache_clear()
    yield
    layouts.backbone_shapes.cache_clear()


@pytest.mark.slow(62)
@pytest.mark.parametrize("document", [document for document in DOCUMENTS if document != "docs/training.md"])
def test_what_a_document_shows_runs_as_it_stands(document, workplace):
    for command in commands(document):
        run_command(command, workplace)
    for block in blocks(document, "python"):
        with contextlib.chdir(workplace), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, document, "exec"), {})
    assert seen_by_git(workplace) == [".gitignore"]


def test_every_script_is_shown_with_a_command_that_runs():
    shown = {script_of(command)[1] for document in DOCUMENTS for command in commands(document)}
    assert shown >= set(SCRIPTS)


# The recipe that this project was asked to keep running: its flags and file names, text features, nothing else.
OWNERS_RECIPE = """
python gen_features.py --arch iresnet100 --inf_list faces.list --feat_list megaface/feature_out/facescrub_features.list \
  --resume magface_epoch_00025.pth --batch_size 128 --workers 8
python build_hard_pairs.py --features_list megaface/feature_out/facescrub_features.list \
  --output_file megaface/pairs_data/hard_pairs_12k.json --pos_target 6000 --neg_target 6000 --candidate_mult 6 --seed 42
CUDA_VISIBLE_DEVICES=0 python visualize_errors.py --model magface_epoch_00025.pth \
  --feedback_file megaface/pairs_data/hard_pairs_12k.json --threshold 0.4 --output_dir megaface/error_vis_hard_12k \
  --features_list megaface/feature_out/facescrub_features.list --max_fp 500 --max_fn 500
CUDA_VISIBLE_DEVICES=0 python finetune_on_feedback.py --checkpoint magface_epoch_00025.pth \
  --feedback_file megaface/pairs_data/hard_pairs_12k.json --output_dir checkpoints_feedback_hard_12k \
  --epochs 5 --batch_size 32 --lr 0.00001 --margin 0.4 --val_split 0.2 --seed 42
"""


def owners_commands():
    return [" ".join(line.split()) for line in OWNERS_RECIPE.replace("\\\n", " ").strip().splitlines()]


def check_the_owners_recipe(folder, images):
    """What the recipe promises is there under the names that it promises, and its counts are right."""
    errors = folder / "megaface" / "error_vis_hard_12k"
    summary = json.loads((errors / "error_summary.json").read_text())
    counts = [summary[f"{truth}_{kind}"] for truth in ("true", "false") for kind in ("positives", "negatives")]
    pairs = images * (images - 1) // 2  # all of them: each image is in fewer than --max_per_image
    assert sum(counts) == summary["pairs"] == pairs
    assert summary["accuracy"] == pytest.approx(sum(counts[:2]) / pairs)
    assert (errors / "false_positives").is_dir()
    assert (errors / "false_negatives").is_dir()
    epochs = sorted(path.name for path in (folder / "checkpoints_feedback_hard_12k").glob("*.pth"))
    assert epochs == [
        "magface_feedback_best.pth",
        *(f"magface_feedback_epoch{k}.pth" for k in range(1, 6)),
        "training_state.pth",
    ]


@pytest.mark.slow(32)
def test_what_training_shows_runs_as_it_stands_and_the_owners_recipe_among_it(workplace, small_iresnet100):
    shown = commands("docs/training.md")
    (config,) = (word for command in shown for word in command.split() if word.endswith(".yaml"))
    (workplace / config).write_text(*blocks("docs/training.md", "yaml"))
    for command in shown:
        run_command(command, workplace)
    (workplace / config).unlink()
    assert seen_by_git(workplace) == [".gitignore"]
    recipe = owners_commands()
    assert [command for command in shown if command in recipe] == recipe
    check_the_owners_recipe(workplace, PEOPLE * IMAGES)
    best = load_backbone(workplace / "checkpoints_feedback" / "magface_feedback_best.pth")
    assert best.loaded == len(build_backbone("iresnet_tiny").state_dict())
    assert np.load(workplace / "features.npy").shape == (PEOPLE * IMAGES, 128)


@pytest.mark.full
def test_the_owners_recipe_runs_at_full_size(workplace):
    torch.manual_seed(1)
    write_magface(workplace / "magface_epoch_00025.pth", build_backbone("iresnet100").state_dict())
    few = [f"faces/person_{person}/{image}.png\n" for person in range(4) for image in range(2)]
    (workplace / "faces.list").write_text("".join(few))  # a step of 32 pairs takes half a minute on a CPU
    for command in owners_commands():
        run_command(command, workplace)
    check_the_owners_recipe(workplace, len(few))


def test_make_and_pip_know_what_the_documents_ask_of_them():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = [command for document in DOCUMENTS for command in commands(document)]
    assert {word for command in asked if command.startswith("make ") for word in command.split()[1:]} <= set(targets)
    texts = "".join((ROOT / document).read_text() for document in DOCUMENTS)
    assert {
        name for names in re.findall(r"pip install (?:-e )?'\.\[([\w,]+)\]'", texts) for name in names.split(",")
    } <= set(extras)


def test_the_page_of_flags_is_what_the_parsers_say():
    assert (ROOT / "docs" / "flags.md").read_text() == write_flags.flags_page(), "stale: make docs"


def test_the_list_of_modules_is_what_they_say_of_themselves():
    page = write_modules.PAGE.read_text()
    assert page == write_modules.renewed(page), "stale: make docs"


def test_the_page_of_flags_has_every_flag_with_its_default():
    page = (ROOT / "docs" / "flags.md").read_text()
    parsers = [write_flags.parser_of(ROOT / script) for script in SCRIPTS]
    parsers += [command for parser in parsers for command in write_flags.subcommands(parser).values()]
    rows = re.findall(r"^\| `(\S+?)[ `].*$", page, re.MULTILINE)
    for parser in parsers:
        flags = {flag for action in parser._actions for flag in action.option_strings if flag not in ("-h", "--help")}
        assert not {flag for flag in flags if f"`{flag}`" not in page and flag not in rows}
    assert "| `--threshold` | 0.4 |" in page
    assert "| `--channels_last yes\\|no` | yes |" in page


def headings(path):
    """The anchors that GitHub gives a page's headings."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", sorted(str(path.relative_to(ROOT)) for folder in (".", "docs", "benchmarks") for path in (ROOT / folder).glob("*.md")))  # fmt: skip
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in headings(target), f"{page}: {link} names no heading"


def said_by_the_code():
    """Every text in the scripts and the package (a text with values in it counts as the pieces between them)."""
    for path in [*ROOT.glob("*.py"), *(ROOT / "magface_al").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_message_that_troubleshooting_explains_is_one_that_the_code_says():
    said = "\n".join(said_by_the_code())
    text = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## Weights and preprocessing")[2]
    cells = re.findall(r"^\| (`.*?) \| ", text, re.MULTILINE)
    assert len(cells) > 40
    assert not [message for cell in cells for message in re.findall(r"`([^`]+)`", cell) if message not in said and not message.endswith(".py")]  # fmt: skip


def test_git_sees_no_folder_that_a_script_writes_by_default(workplace):
    for script in SCRIPTS:
        folder = write_flags.parser_of(ROOT / script).get_default("output_dir")
        if folder is not None:
            (workplace / folder).mkdir(exist_ok=True)
            (workplace / folder / "somebody.json").write_text("{}")
    assert seen_by_git(workplace) == [".gitignore"]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_git_ignores_nothing_of_the_project():
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout == ""


def test_both_environments_name_the_same_packages():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    listed = re.findall(r"^ +- ([\w-]+>=.*)$", (ROOT / "environment.yml").read_text(), re.MULTILINE)
    assert set(listed) >= set(packages)


def test_the_modules_that_the_documents_name_are_there():
    for document in [*DOCUMENTS, "CONTENT.md", "CONTRIBUTING.md"]:
        named = re.findall(r"`(magface_al/[\w/]+\.py)`", (ROOT / document).read_text())
        assert not [name for name in named if not (ROOT / name).exists()], document


def test_the_two_places_of_the_version_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'"{version}"' in (ROOT / "magface_al" / "__init__.py").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
