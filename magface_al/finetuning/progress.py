"""What fine-tuning keeps on disk: checkpoints, the history, the best so far, and the state to resume from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from magface_al.command.errors import UserError
from magface_al.command.files import replacing, write_json
from magface_al.embedding.embedder import Embedder
from magface_al.finetuning.tuner import FineTuner
from magface_al.models.backbone import Backbone
from magface_al.models.checkpoint import load_backbone, save_backbone
from magface_al.models.weight_files import read_checkpoint
from magface_al.pictures.canvas import save_figure
from magface_al.pictures.history import history_figure

BEST, STATE = "magface_feedback_best.pth", "training_state.pth"
HIGHER_IS_BETTER = {"auc": True, "accuracy": True, "eer": False}


class Progress:
    """The epochs done so far. history[0] is the start, before any training; each entry has "epoch" and "val_*" figures."""

    def __init__(self, folder: Path, backbone: Backbone, select_by: str, manifest: dict[str, Any]) -> None:
        self.folder, self.backbone, self.select_by, self.manifest = folder, backbone, select_by, manifest
        self.history: list[dict[str, Any]] = []
        self.best_epoch = 0
        self.best_path = folder / BEST

    def record(self, entry: dict[str, Any], model: nn.Module, tuner: FineTuner | None = None) -> bool:
        """Add an epoch (0: the start), write its files, and say whether it is the best yet."""
        self.history.append(entry)
        best = entry["epoch"] == 0 or self._better(entry, self.history[self.best_epoch])
        if entry["epoch"] > 0:
            self._save(self.folder / f"magface_feedback_epoch{entry['epoch']}.pth", model, entry)
        if best:
            self.best_epoch = entry["epoch"]
            self._save(self.best_path, model, entry)
        if tuner is not None:
            self._save_state(tuner)
        write_json(
            self.folder / "history.json",
            {"best_epoch": self.best_epoch, "selected_by": self.select_by, "epochs": self.history},
        )
        save_figure(history_figure(self.history, self.best_epoch, self.select_by), self.folder / "history.png")
        return best

    def _better(self, entry: dict[str, Any], than: dict[str, Any]) -> bool:
        new, old = entry[f"val_{self.select_by}"], than[f"val_{self.select_by}"]
        if new is None or old is None:
            return False
        return new > old if HIGHER_IS_BETTER[self.select_by] else new < old

    def _save(self, path: Path, model: nn.Module, entry: dict[str, Any]) -> None:
        save_backbone(path, model, arch=self.backbone.arch, preprocessing=self.backbone.preprocessing,
                      family=self.backbone.family, epoch=entry["epoch"], manifest={**self.manifest, "validation": entry})  # fmt: skip

    def _save_state(self, tuner: FineTuner) -> None:
        with replacing(self.folder / STATE, "wb") as file:
            torch.save({"tuner": tuner.state_dict(), "history": self.history, "best_epoch": self.best_epoch,
                        "recipe": self.manifest["recipe"]}, file)  # fmt: skip

    def resume(self, tuner: FineTuner) -> None:
        """Take up the state that an earlier run left. Raises UserError if there is none, or it followed another recipe."""
        path = self.folder / STATE
        if not path.exists():
            raise UserError(f"{path}: no such file, so there is no training to resume; leave --resume_training out")
        state = read_checkpoint(path)
        for key, value in self.manifest["recipe"].items():
            if state["recipe"].get(key) != value:
                raise UserError(
                    f"{path}: was trained with {key} {state['recipe'].get(key)}, expected {value}; give the same recipe, or start anew"
                )
        tuner.load_state_dict(state["tuner"])
        self.history, self.best_epoch = state["history"], state["best_epoch"]

    def best_embeddings(self, faces: np.ndarray) -> np.ndarray:
        """Raw embeddings float32 [M, D] of faces uint8 [M, size, size, 3] by the best weights on disk."""
        best = load_backbone(self.best_path)
        return Embedder(best.model, best.preprocessing, torch.device("cpu"))(faces)
