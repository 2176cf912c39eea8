"""What training keeps on disk: the last and the best checkpoint, the history, and the state to resume from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from magface_al.command.errors import UserError
from magface_al.command.files import replacing, write_json
from magface_al.models.checkpoint import save_backbone
from magface_al.models.weight_files import read_checkpoint
from magface_al.pictures.canvas import save_figure
from magface_al.pictures.history import training_figure
from magface_al.training.trainer import Trainer

LAST, BEST, STATE, HISTORY = "last.pth", "best.pth", "training_state.pth", "history.json"


class TrainingProgress:
    """The epochs done so far; each entry of history has "epoch", the means of the steps' figures, and validation figures.

    sums and steps: of the epoch under way. made_with: what a run must have in common with this one to be resumed.
    model_facts: arch, preprocessing and family, as checkpoint.save_backbone takes them.
    """

    def __init__(self, folder: Path, trainer: Trainer, made_with: dict[str, Any], model_facts: dict[str, Any]) -> None:
        self.folder, self.trainer, self.model_facts = folder, trainer, model_facts
        recipe = asdict(trainer.recipe)
        if trainer.recipe.schedule == "multistep":
            del recipe["epochs"]  # no step's rate depends on it, so a finished run can be given more
        self.made_with = plain({"recipe": recipe, **made_with})
        self.history: list[dict[str, Any]] = []
        self.best_epoch = 0
        self.steps, self.sums = 0, {}

    def count(self, figures: dict[str, float]) -> None:
        """Add a step of the epoch under way."""
        self.steps += 1
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + (value if not figures["skipped"] or name in ("lr", "skipped") else 0.0)  # fmt: skip

    def end_epoch(self, validation: dict[str, float], seconds: float) -> bool:
        """Close the epoch, and say whether it is the best yet: by the mean accuracy, or without any the latest."""
        taken = max(1, self.steps - int(self.sums["skipped"]))
        means = {name: value if name == "skipped" else value / (self.steps if name == "lr" else taken) for name, value in self.sums.items()}  # fmt: skip
        entry = {"epoch": len(self.history) + 1, **means, "validation": validation, "seconds": round(seconds, 2)}
        self.history.append(entry)
        self.steps, self.sums = 0, {}
        best = not self.best_epoch or score(entry) is None or score(entry) > score(self.history[self.best_epoch - 1])
        if best:
            self.best_epoch = entry["epoch"]
        return best

    def save(self, manifest: dict[str, Any], best: bool, keep: bool) -> None:
        """Write the checkpoints (rank 0) after an epoch; keep: also as NNNNN.pth, which later epochs leave alone."""
        epoch = self.history[-1]["epoch"]
        names = [LAST, *([BEST] if best else []), *([f"{epoch:05d}.pth"] if keep else [])]
        for name in names:
            save_backbone(
                self.folder / name, self.trainer.averaged, epoch=epoch, **self.model_facts,
                manifest={**manifest, **self.made_with, "validation": self.history[-1]["validation"]},
            )  # fmt: skip
        write_json(self.folder / HISTORY, {"best_epoch": self.best_epoch, "epochs": self.history})
        save_figure(training_figure(self.history, self.best_epoch), self.folder / "history.png")

    def save_state(self) -> None:
        """Write the state to resume from. Every process calls it; rank 0 writes."""
        state = self.trainer.state_dict()
        if state is None:
            return
        with replacing(self.folder / STATE, "wb") as file:
            torch.save({"trainer": state, "history": self.history, "best_epoch": self.best_epoch, "steps": self.steps,
                        "sums": self.sums, "made_with": self.made_with}, file)  # fmt: skip

    def resume(self) -> None:
        """Take up the state that an earlier run left. Raises UserError if there is none, or it was made otherwise."""
        path = self.folder / STATE
        if not path.exists():
            raise UserError(f"{path}: no such file, so there is no training to resume; leave --resume_training out")
        state = read_checkpoint(path)
        if difference := first_difference(state["made_with"], self.made_with):
            raise UserError(f"{path}: was trained with {difference}; give the same flags and data, or start anew")
        self.trainer.load_state_dict(state["trainer"])
        self.history, self.best_epoch = state["history"], state["best_epoch"]
        self.steps, self.sums = state["steps"], state["sums"]


def score(entry: dict[str, Any]) -> float | None:
    """The mean accuracy of an epoch's validation sets; None without any."""
    accuracies = list(entry["validation"].values())
    return sum(accuracies) / len(accuracies) if accuracies else None


def plain(value: Any) -> Any:
    """Tuples as lists, so that what was written compares equal to what is read."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def first_difference(then: dict[str, Any], now: dict[str, Any]) -> str:
    """ "key A, expected B" of the first value that differs, "" if none does."""
    for key, value in now.items():
        if isinstance(value, dict) and isinstance(then.get(key), dict):
            if inner := first_difference(then[key], value):
                return inner
        elif then.get(key) != value:
            return f"{key} {then.get(key)}, expected {value}"
    return ""
