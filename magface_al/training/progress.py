"""What a training keeps on disk: checkpoints, the history and its picture, the state to resume from. Fine-tuning's too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from magface_al.command.errors import UserError, WorkError
from magface_al.command.outputs import refuse_inputs, writable
from magface_al.command.replacing import write_json
from magface_al.models.backbone import Backbone
from magface_al.models.checkpoint import save_backbone
from magface_al.models.saving import save_torch
from magface_al.models.soundness import GROWTH, largest, tensors_in, unsound
from magface_al.models.weight_files import read_checkpoint
from magface_al.pictures.canvas import save_figure
from magface_al.pictures.history import training_figure
from magface_al.training.distributed import all_true, rank
from magface_al.training.recipe import TrainingRecipe
from magface_al.training.schedules import SCHEDULES

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # takes a second, and is imported by whoever draws

STATE, HISTORY, PICTURE = "training_state.pth", "history.json", "history.png"
Entry = dict[str, Any]  # an epoch of the history: "epoch", and whatever was measured


class Learner(Protocol):
    """What is being trained. state_dict is None on every process but the one that writes.

    own_weights, own_state: all that this process trains, and what its optimizer remembers, as far as it holds them.
    """

    device: torch.device
    averaged: nn.Module  # the weights that are kept

    def own_weights(self) -> dict[str, Any]: ...
    def own_state(self) -> dict[str, Any]: ...
    def state_dict(self) -> dict[str, Any] | None: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Habits:
    """What one kind of training does its own way.

    best, kept, last: names of checkpoints; kept has {epoch} in it, and without a last none is written.
    learner, made_with: what STATE calls the learner's state, and what a run must have in common with this one to go on;
    shared is the latter in words.
    better: is the first of two entries of the history the better one.
    picture: of the history and the best epoch.  validation: what a checkpoint says of its entry.  heading: of HISTORY.
    """

    best: str
    kept: str
    learner: str
    made_with: str
    shared: str
    better: Callable[[Entry, Entry], bool]
    picture: Callable[[list[Entry], int], Figure]
    validation: Callable[[Entry], Any]
    last: str = ""
    heading: Mapping[str, Any] = field(default_factory=dict)

    def names(self, epochs: Iterable[int] = ()) -> list[str]:
        """Every name that a training of these epochs may write or remove."""
        kept = [self.kept.format(epoch=epoch) for epoch in epochs]
        return [*filter(None, (self.best, self.last)), STATE, HISTORY, PICTURE, *kept]


class Progress:
    """The epochs done so far, in history. Epoch 0, where there is one, is the start before any training.

    start: what the backbone is, for its checkpoints.  manifest: what they say about their making.  keep_every: every so
    many epochs' checkpoint is kept; 0: none.  steps, sums: of the epoch under way.
    """

    def __init__(
        self,
        folder: Path,
        learner: Learner,
        start: Backbone,
        habits: Habits,
        made_with: dict[str, Any],
        manifest: Callable[[], dict[str, Any]],
        keep_every: int = 1,
    ) -> None:
        self.folder, self.learner, self.start, self.habits = folder, learner, start, habits
        self.made_with, self.manifest, self.keep_every = plain(made_with), manifest, keep_every
        self.best_path = folder / habits.best
        refuse_inputs(folder, habits.names())  # said before an epoch has been spent
        self._limit = GROWTH * max(1.0, *(largest(value) for _, value in tensors_in(learner.own_weights())))
        self.history: list[Entry] = []
        self.best_epoch = 0
        self.steps, self.sums = 0, dict[str, float]()

    def count(self, figures: dict[str, float]) -> None:
        """Add a step of the epoch under way; of a skipped one only the rate counts."""
        self.steps += 1
        for name, value in figures.items():
            counts = name in ("lr", "skipped") or not figures.get("skipped")
            self.sums[name] = self.sums.get(name, 0.0) + (value if counts else 0.0)

    def means(self) -> dict[str, float]:
        """Of the steps counted in the epoch under way: how many were skipped, and the means of the other figures."""
        taken = max(1, self.steps - int(self.sums.get("skipped", 0)))
        counts = {"skipped": 1, "lr": self.steps}
        return {name: total / counts.get(name, taken) for name, total in self.sums.items()}

    def best(self) -> Entry:
        """The best epoch's entry."""
        return next(entry for entry in self.history if entry["epoch"] == self.best_epoch)

    def record(self, entry: Entry) -> bool:
        """Close an epoch: add it, write its files, and say whether it is the best yet.

        Every process calls it; rank 0 writes, the checkpoints first and the history last. Raises WorkError, and writes
        nothing, as check does, and for a figure that is not finite.
        """
        epoch = entry["epoch"]
        self.check(epoch)
        infinite = [f"{name} is {value}" for name, value in figures_in(entry) if not math.isfinite(value)]
        self._stop_if(infinite[0] if infinite else "", epoch)
        best = not self.history or self.habits.better(entry, self.best())
        self.history.append(entry)
        self.steps, self.sums = 0, {}
        if best:
            self.best_epoch = entry["epoch"]
        self._save_checkpoints(entry, best)
        if epoch > 0:
            self.save_state()
        self._save_history()
        return best

    def check(self, epoch: int) -> None:
        """Look for weights that are not finite, or 1e10 times larger than any was at the start. Every process calls it.

        Raises WorkError on all of them, so that such weights are neither validated nor saved.
        """
        self._stop_if(unsound(self.learner.own_weights(), self._limit) or unsound(self.learner.own_state()), epoch)

    def _stop_if(self, wrong: str, epoch: int) -> None:
        if not all_true(not wrong, self.learner.device):
            step = f", step {self.steps}" if self.steps else ""
            raise diverged(f"in epoch {epoch}{step}: {wrong or 'the numbers of another process are not sound'}")

    def _save_checkpoints(self, entry: Entry, best: bool) -> None:
        if rank() > 0:
            return
        epoch, habits = entry["epoch"], self.habits
        keep = epoch > 0 and self.keep_every > 0 and epoch % self.keep_every == 0
        names = [habits.last, habits.best if best else "", habits.kept.format(epoch=epoch) if keep else ""]
        for name in filter(None, names):
            save_backbone(
                self.folder / name,
                self.learner.averaged,
                arch=self.start.arch,
                preprocessing=self.start.preprocessing,
                family=self.start.family,
                epoch=epoch,
                manifest={**self.manifest(), "validation": habits.validation(entry)},
            )

    def _save_history(self) -> None:
        if rank() > 0 or not self.history:
            return
        content = {"best_epoch": self.best_epoch, **self.habits.heading, "epochs": self.history}
        write_json(self.folder / HISTORY, content)
        save_figure(self.habits.picture(self.history, self.best_epoch), self.folder / PICTURE)

    def save_state(self) -> None:
        """Write the state to resume from. Every process calls it; rank 0 writes."""
        learner = self.learner.state_dict()
        if learner is None:
            return
        state = {
            self.habits.learner: learner,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "steps": self.steps,
            "sums": self.sums,
            self.habits.made_with: self.made_with,
        }
        save_torch(self.folder / STATE, state)

    def forget(self) -> None:
        """Remove the state of an earlier run, which another recipe may have made."""
        if rank() == 0:
            writable(self.folder / STATE).unlink(missing_ok=True)

    def resume(self) -> None:
        """Take up the state that an earlier run left. Raises UserError if there is none, it was made otherwise, or is broken.

        What follows from the state is written again, because the run may have been cut before that.
        """
        path = self.folder / STATE
        if not path.exists():
            raise UserError(f"{path}: no such file, so there is no training to resume; leave --resume_training out")
        state, habits = read_checkpoint(path), self.habits
        kinds = {habits.made_with: dict, habits.learner: dict, "history": list, "best_epoch": int}
        if broken := [key for key, kind in kinds.items() if not isinstance(state.get(key), kind)]:
            raise UserError(f"{path}: has no {broken[0]}, so it is no state of this kind of training; start anew")
        if difference := first_difference(state[habits.made_with], self.made_with):
            raise UserError(f"{path}: was trained with {difference}; give the same {habits.shared}, or start anew")
        if wrong := unsound(state[habits.learner]):
            raise UserError(f"{path}: {wrong}, expected finite numbers; start anew with a lower --lr")
        self.history, self.best_epoch = state["history"], state["best_epoch"]
        self.steps, self.sums = state.get("steps", 0), state.get("sums", {})
        try:
            self.learner.load_state_dict(state[habits.learner])
            if self.history or self.best_epoch:  # neither, where the run was cut in its first epoch
                self.best()
            self._save_history()
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, StopIteration) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(f"{path}: does not fit this training ({reason}); start anew") from None


TRAINING = Habits(
    last="last.pth",
    best="best.pth",
    kept="{epoch:05d}.pth",
    learner="trainer",
    made_with="made_with",
    shared="flags and data",
    better=lambda new, old: more_accurate(new["validation"], old["validation"]),
    picture=training_figure,
    validation=lambda entry: entry["validation"],
)


def diverged(where: str) -> WorkError:
    """The error of a training whose numbers have gone out of hand: where, and what was seen."""
    return WorkError(
        f"training diverged {where}; it is not saved, and what was written before stays as it was; start anew with a lower --lr"
    )


def figures_in(entry: Entry) -> list[tuple[str, float]]:
    """(name, number) of what was measured in an epoch."""
    nested = {name: value for item in entry.values() if isinstance(item, dict) for name, value in item.items()}
    return [(name, value) for name, value in {**entry, **nested}.items() if isinstance(value, float)]


def more_accurate(new: Mapping[str, float], old: Mapping[str, float]) -> bool:
    """Has one epoch a higher mean accuracy than an earlier one; where nothing was validated the later counts as better."""
    return not new or not old or sum(new.values()) / len(new) > sum(old.values()) / len(old)


def what_counts(recipe: TrainingRecipe) -> dict[str, Any]:
    """The part of a recipe that a resumed run must share: without the epochs, where no step's rate depends on them."""
    values = asdict(recipe)
    if not SCHEDULES[recipe.schedule].ends:
        del values["epochs"]
    return values


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
        elif key in then and then[key] != value:  # what is not there, an earlier version did not record
            return f"{key} {then[key]}, expected {value}"
    return ""
