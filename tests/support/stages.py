"""Every batch stage as a command on small drawn data, and whether two runs of it wrote the same."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from magface_al.command.replacing import is_temporary
from magface_al.faces.preprocess import PRESETS
from magface_al.models.backbones import build_backbone
from magface_al.models.checkpoint import save_backbone
from magface_al.pairs.pair_file import read_pairs
from tests.support.forked import Forked

VOLATILE = {"started", "seconds", "command", "arguments", "kept_from_an_earlier_run", "history"}  # of manifests
RESUMABLE = (".part", ".part.json", ".magnitudes.part", ".lock")  # what a killed run may leave for the next one
PASSING = {"log.out", "log.err"}


@dataclass(frozen=True)
class Stage:
    """A command in a folder of its own. data/ is beside it; old() makes the outputs of an earlier run, None: there are none."""

    name: str
    command: list[object]
    old: list[object] | None = None
    resume: str = ""  # the flag that takes up a killed run, where the script wants one
    state: str = ""  # there once a killed run can be taken up with it


def pairs_of(*numbers: int) -> list[object]:
    return ["--num_identities", 8, "--images_per_identity", 4, "--num_pairs", 60, "--seed", *numbers]


STAGES = [
    Stage("gen_features text", ["gen_features.py", "--inf_list", "../data/images.list", "--root", "..", "--feat_list", "f.list",
                                "--resume", "../data/m.pth", "--batch_size", 1, "--force_cpu"]),
    Stage("gen_features binary", ["gen_features.py", "--inf_list", "../data/images.list", "--root", "..", "--feat_list", "f.npy",
                                  "--resume", "../data/m.pth", "--batch_size", 1, "--force_cpu"],
          ["gen_features.py", "--inf_list", "../data/few.list", "--root", "..", "--feat_list", "f.npy",
           "--resume", "../data/m.pth", "--force_cpu"]),
    Stage("build_hard_pairs", ["build_hard_pairs.py", "--features_list", "../data/f.npy", "--output_file", "h.json", "--force_cpu"],
          ["build_hard_pairs.py", "--features_list", "../data/f.npy", "--output_file", "h.json", "--pos_target", 5, "--force_cpu"]),
    Stage("choose_pairs", ["choose_pairs.py", "--features_list", "../data/f.npy", "--output_file", "a.json", "--budget", 40, "--force_cpu"],
          ["choose_pairs.py", "--features_list", "../data/f.npy", "--output_file", "a.json", "--budget", 9, "--force_cpu"]),
    Stage("prepare_data folder2list", ["prepare_data.py", "folder2list", "--dataset", "../data/images", "--output_list", "t.list"]),
    Stage("prepare_data list2rec", ["prepare_data.py", "list2rec", "--train_list", "../data/t.list", "--output_dir", "rec"]),
    Stage("prepare_data rec2folder", ["prepare_data.py", "rec2folder", "--rec", "../data/rec/train.rec", "--output_dir", "web"]),
    Stage("prepare_data bin2folder", ["prepare_data.py", "bin2folder", "--bin", "../data/set.bin", "--output_dir", "bin"]),
    Stage("create_test_feedback", ["create_test_feedback.py", *pairs_of(7), "--output_dir", "set"],
          ["create_test_feedback.py", *pairs_of(8), "--output_dir", "set"]),
    Stage("visualize_errors", ["visualize_errors.py", "--features_list", "../data/f.npy", "--model", "../data/m.pth",
                               "--feedback_file", "../data/feedback_pairs_test.json", "--output_dir", "errors", "--max_fp", 3,
                               "--max_fn", 3, "--force_cpu"],
          ["visualize_errors.py", "--features_list", "../data/f.npy", "--model", "../data/m.pth", "--feedback_file",
           "../data/feedback_pairs_test.json", "--output_dir", "errors", "--max_fp", 1, "--max_fn", 1, "--force_cpu"]),
    Stage("finetune_on_feedback", ["finetune_on_feedback.py", "--checkpoint", "../data/m.pth", "--feedback_file",
                                   "../data/feedback_pairs_test.json", "--output_dir", "tuned", "--epochs", 2, "--batch_size", 16,
                                   "--val_split", 0.4, "--force_cpu"], resume="--resume_training", state="tuned/training_state.pth"),
    Stage("train", ["train.py", "--data", "../data/images", "--output_dir", "trained", "--arch", "iresnet_tiny", "--epochs", 2,
                    "--batch_size", 8, "--lr", 0.01, "--save_steps", 2, "--val_set", "s=../data/set.bin", "--force_cpu"],
          resume="--resume_training", state="trained/training_state.pth"),
    Stage("export_model", ["export_model.py", "--checkpoint", "../data/m.pth", "--output_file", "out.safetensors"]),
    Stage("export_model pth", ["export_model.py", "--checkpoint", "../data/m.pth", "--output_file", "out.pth", "--layout", "insightface"]),
    Stage("evaluate_recognition", ["evaluate_recognition.py", "--checkpoint", "../data/m.pth", "--set", "s=../data/set.bin",
                                   "--output_dir", "table", "--force_cpu"]),
    Stage("evaluate_finetuned_model", ["evaluate_finetuned_model.py", "--checkpoint", "../data/m.pth", "--finetuned", "../data/n.pth",
                                       "--feedback_file", "../data/feedback_pairs_test.json", "--output_dir", "eval",
                                       "--resamples", 20, "--force_cpu"]),
]  # fmt: skip


def prepare(folder: Path) -> None:
    """Make data/: drawn people, their list, RecordIO and .bin, two networks, a feature store."""
    data = folder / "data"
    ran(folder, ["create_test_feedback.py", *pairs_of(5), "--output_dir", "data"])
    for seed, name in ((3, "m.pth"), (4, "n.pth")):
        torch.manual_seed(seed)
        save_backbone(
            data / name, build_backbone("iresnet_tiny").eval(), arch="iresnet_tiny", preprocessing=PRESETS["magface"]
        )
    lines = (data / "images.list").read_text().splitlines(keepends=True)
    (data / "few.list").write_text("".join(lines[:7]))
    pairs = read_pairs(data / "feedback_pairs_test.json").pairs[:20]
    content = json.loads((data / "feedback_pairs_test.json").read_text())
    (data / "feedback_pairs_test.json").write_text(
        json.dumps({**content, "root": str(data.resolve())})
    )  # wherever it is read
    payload = [(data / name).read_bytes() for pair in pairs for name in (pair.image1, pair.image2)]
    (data / "set.bin").write_bytes(pickle.dumps((payload, [pair.label == 1 for pair in pairs])))
    ran(data, ["prepare_data.py", "folder2list", "--dataset", "images", "--output_list", "t.list"])
    (data / "t.list").write_text((data / "t.list").read_text().replace("images/", "../data/images/"))
    ran(data, ["prepare_data.py", "list2rec", "--train_list", "t.list", "--output_dir", "rec"])
    listed = ["gen_features.py", "--inf_list", "images.list", "--root", "..", "--resume", "m.pth", "--force_cpu"]
    for name in ("f.npy", "f.list"):
        ran(data, [*listed, "--feat_list", name])


def ran(folder: Path, command: list[object]) -> float:
    """Run a command to its end; returns its seconds."""
    process = Forked(folder, *command)
    done = process.wait()
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return process.seconds


def files_of(folder: Path) -> dict[str, bytes]:
    """Name -> content of everything in a folder but the logs."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in PASSING)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def is_half(name: str) -> bool:
    """Whether a file's name says that it is not finished."""
    return any(map(is_temporary, Path(name).parts)) or name.endswith(RESUMABLE)


def comparable(name: str, content: bytes) -> object:
    """A file's content without what differs from run to run. Raises ValueError, EOFError, KeyError or RuntimeError if it is not whole."""
    if name.endswith("manifest.json") or name.endswith(
        ("history.json", ".list.json", "f.json", ".pth.json", ".safetensors.json")
    ):
        return without_times(json.loads(content))
    if name.endswith(".json"):
        return json.loads(content)
    if name.endswith(".pth"):
        loaded = torch.load(io.BytesIO(content), weights_only=True)
        return without_times(loaded)
    if name.endswith(".png"):
        image = cv2.imdecode(torch.frombuffer(bytearray(content), dtype=torch.uint8).numpy(), cv2.IMREAD_COLOR)
        if image is None or content[-8:-4] != b"IEND":
            raise ValueError("not a whole picture")
    return content


def without_times(value: object) -> object:
    """Tensors become bytes, so that == compares them."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list | tuple):
        return [without_times(item) for item in value]
    return value.cpu().numpy().tobytes() if isinstance(value, torch.Tensor) else value


def halves(found: dict[str, bytes], accepted: list[dict[str, bytes]]) -> list[str]:
    """Final files that are neither as in one of the accepted states nor readable."""
    wrong = []
    for name, content in found.items():
        if is_half(name) or any(state.get(name) == content for state in accepted):
            continue
        try:
            same = any(
                name in state and comparable(name, state[name]) == comparable(name, content) for state in accepted
            )
        except (ValueError, EOFError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
            wrong.append(f"{name} is half: {error}")
            continue
        if not same and not name.endswith(
            (".json", ".pth", ".png")
        ):  # those of a training under way are whole, and of it alone
            wrong.append(f"{name} is neither the old nor the new one")
    return wrong


def differences(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """How a rerun's files differ from the undisturbed run's."""
    wrong = [f"{name} is missing" for name in expected.keys() - found.keys()]
    wrong += [f"{name} is left over" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        if found[name] != expected[name] and comparable(name, found[name]) != comparable(name, expected[name]):
            wrong.append(f"{name} differs from the undisturbed run's")
    return wrong
