"""Progress on disk, of training and of fine-tuning: what is best, which files there are, what a resumed run must share."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from magface_al.command.errors import UserError, WorkError
from magface_al.command.outputs import guarded
from magface_al.finetuning.progress import best_embeddings, better_by, feedback_progress
from magface_al.models.checkpoint import load_backbone, new_backbone
from magface_al.models.weight_files import read_checkpoint
from magface_al.training.progress import TRAINING, Progress, more_accurate, what_counts
from magface_al.training.recipe import TrainingRecipe


class Learner:
    """Weights that are told what to be."""

    device = torch.device("cpu")

    def __init__(self, start):
        self.averaged = start.model.eval()
        self.step = 0

    def own_weights(self):
        return {"model": self.averaged.state_dict()}

    def own_state(self):
        return {}

    def state_dict(self):
        return {"step": self.step}

    def load_state_dict(self, state):
        self.step = state["step"]


@pytest.fixture
def start():
    return new_backbone("iresnet_tiny", "magface", 0)


def training(folder, start, keep_every=0, **choices):
    made_with = {"recipe": what_counts(TrainingRecipe(**choices)), "init": start.weights_sha256}
    return Progress(folder, Learner(start), start, TRAINING, made_with, dict, keep_every)


def entry(epoch, **validation):
    figures = {"cross_entropy": 1.0, "lr": 0.1, "cosine": 0.5, "magnitude": 20.0}
    return {"epoch": epoch, **figures, "validation": validation}


def feedback_entry(epoch, auc):
    return {"epoch": epoch, "val_auc": auc, "val_eer": 1 - auc, "val_accuracy": None}


def feedback(folder, start, select_by="auc", **recipe):
    return feedback_progress(folder, Learner(start), start, select_by, {"recipe": {"lr": 0.1, **recipe}})


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_training_keeps_the_last_the_best_and_every_so_manieth_epoch(tmp_path, start):
    progress = training(tmp_path, start, keep_every=2)
    best = [progress.record(entry(epoch, a=a, b=0.5)) for epoch, a in enumerate((0.6, 0.8, 0.7), 1)]
    assert (best, progress.best_epoch) == ([True, True, False], 2)
    assert files(tmp_path) == {"last.pth", "best.pth", "00002.pth", "training_state.pth", "history.json", "history.png"}
    epochs = {name: read_checkpoint(tmp_path / name)["epoch"] for name in ("last.pth", "best.pth", "00002.pth")}
    assert epochs == {"last.pth": 3, "best.pth": 2, "00002.pth": 2}
    assert load_backbone(tmp_path / "best.pth").manifest["validation"] == {"a": 0.8, "b": 0.5}
    assert json.loads((tmp_path / "history.json").read_text()) == {"best_epoch": 2, "epochs": progress.history}
    assert {"trainer", "history", "best_epoch", "steps", "sums", "made_with"} == set(read_checkpoint(tmp_path / "training_state.pth"))  # fmt: skip


def test_fine_tuning_begins_with_the_start_and_keeps_every_epoch(tmp_path, start):
    progress = feedback(tmp_path, start, "eer")
    progress.record(feedback_entry(0, 0.7))
    assert files(tmp_path) == {"magface_feedback_best.pth", "history.json", "history.png"}
    best = [progress.record(feedback_entry(epoch, auc)) for epoch, auc in ((1, 0.6), (2, 0.9))]
    assert (best, progress.best_epoch, progress.best()) == ([False, True], 2, feedback_entry(2, 0.9))
    assert files(tmp_path) >= {"magface_feedback_epoch1.pth", "magface_feedback_epoch2.pth", "training_state.pth"}
    assert load_backbone(progress.best_path).manifest["validation"] == feedback_entry(2, 0.9)
    content = json.loads((tmp_path / "history.json").read_text())
    assert list(content) == ["best_epoch", "selected_by", "epochs"]
    assert content["selected_by"] == "eer"
    assert {"tuner", "recipe"} <= set(read_checkpoint(tmp_path / "training_state.pth"))
    faces = np.random.default_rng(0).integers(256, size=(3, 112, 112, 3), dtype=np.uint8)
    assert best_embeddings(progress, faces).shape == (3, 128)


@pytest.mark.parametrize(
    ("new", "old", "better"),
    [
        ({"a": 0.9, "b": 0.5}, {"a": 0.8, "b": 0.5}, True),
        ({"a": 0.9, "b": 0.5}, {"a": 0.8, "b": 0.7}, False),
        ({"a": 0.8}, {"a": 0.8}, False),
        ({}, {"a": 0.8}, True),
        ({"a": 0.1}, {}, True),  # validation sets that were given only when the run was resumed
        ({}, {}, True),
    ],
)
def test_the_mean_accuracy_decides_and_without_one_the_later_epoch(new, old, better):
    assert more_accurate(new, old) == better


def test_each_figure_of_fine_tuning_has_its_direction():
    low, high, none = ({"val_auc": value, "val_eer": value} for value in (0.1, 0.2, None))
    assert better_by("auc")(high, low)
    assert not better_by("auc")(low, high)
    assert better_by("eer")(low, high)
    assert not better_by("auc")(low, low)
    assert not better_by("auc")(none, low)
    assert not better_by("auc")(high, none)


def test_means_leave_skipped_steps_out_but_not_their_rate(tmp_path, start):
    progress = training(tmp_path, start)
    for loss, lr, skipped in ((2.0, 0.1, 0.0), (np.inf, 0.2, 1.0), (4.0, 0.3, 0.0)):
        progress.count({"loss": loss, "lr": lr, "skipped": skipped})
    assert progress.means() == {"loss": 3, "lr": pytest.approx(0.2), "skipped": 1}
    progress.record(entry(1))
    assert (progress.steps, progress.means()) == (0, {})


@pytest.mark.slow(3)
def test_a_resumed_run_takes_up_the_epoch_under_way(tmp_path, start):
    progress = training(tmp_path, start)
    progress.record(entry(1, a=0.5))
    progress.learner.step = 7
    progress.count({"loss": 2.0, "skipped": 0.0})
    progress.save_state()
    again = training(tmp_path, start)
    for name in ("history.json", "history.png"):  # as if the run had been cut before they were written
        (tmp_path / name).unlink()
    again.resume()
    assert (tmp_path / "history.png").exists()
    assert (again.learner.step, again.steps, again.sums["loss"], again.best_epoch) == (7, 1, 2, 1)
    assert json.loads((tmp_path / "history.json").read_text())["epochs"] == again.history == progress.history
    again.forget()
    with pytest.raises(UserError, match="no training to resume; leave --resume_training out"):
        training(tmp_path, start).resume()


def test_a_run_that_was_cut_in_its_first_epoch_is_taken_up(tmp_path, start):
    progress = training(tmp_path, start)
    progress.learner.step = 2
    progress.count({"loss": 2.0, "skipped": 0.0})
    progress.save_state()
    again = training(tmp_path, start)
    again.resume()
    assert (again.learner.step, again.steps, again.history, again.best_epoch) == (2, 1, [], 0)


def test_a_state_of_fine_tuning_that_counts_no_steps_is_taken_up(tmp_path, start):
    """As it was written before the two kinds of training shared their progress."""
    history = [feedback_entry(0, 0.5), feedback_entry(1, 0.6)]
    old = {"tuner": {"step": 3}, "history": history, "best_epoch": 1, "recipe": {"lr": 0.1}}
    torch.save(old, tmp_path / "training_state.pth")
    progress = feedback(tmp_path, start)
    progress.resume()
    assert (progress.learner.step, progress.steps, progress.history, progress.best_epoch) == (3, 0, history, 1)


def test_another_recipe_or_start_is_refused_in_the_words_of_its_kind(tmp_path, start):
    training(tmp_path, start, milestones=(1, 2)).record(entry(1))
    training(tmp_path, start, milestones=(1, 2), epochs=99).resume()  # no step's rate depends on the epochs
    with pytest.raises(
        UserError, match=r"trained with milestones \[1, 2\], expected \[3\]; give the same flags and data"
    ):
        training(tmp_path, start, milestones=(3,)).resume()
    with pytest.raises(UserError, match="was trained with init "):
        training(tmp_path, new_backbone("iresnet_tiny", "magface", 1), milestones=(1, 2)).resume()
    assert "epochs" in what_counts(TrainingRecipe(schedule="cosine"))
    assert asdict(TrainingRecipe()).keys() - what_counts(TrainingRecipe()).keys() == {"epochs"}
    (tmp_path / "feedback").mkdir()
    progress = feedback(tmp_path / "feedback", start)
    progress.record(feedback_entry(0, 0.5))
    progress.record(feedback_entry(1, 0.5))
    with pytest.raises(UserError, match=r"was trained with lr 0.1, expected 0.2; give the same recipe, or start anew"):
        feedback(tmp_path / "feedback", start, lr=0.2).resume()


def test_a_resumed_run_may_validate_on_other_sets_and_be_resumed_again(tmp_path, start):
    training(tmp_path, start).record(entry(1, a=0.6))
    for epoch, sets in ((2, {}), (3, {"a": 0.7, "b": 0.9})):
        progress = training(tmp_path, start)
        progress.resume()
        progress.record(entry(epoch, **sets))
    assert [item["validation"] for item in progress.history] == [{"a": 0.6}, {}, {"a": 0.7, "b": 0.9}]
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_fine_tuning_is_resumed_by_the_figure_that_chose_its_best_epoch(tmp_path, start):
    progress = feedback(tmp_path, start, "auc")
    for epoch, auc in ((0, 0.7), (1, 0.8)):
        progress.record(feedback_entry(epoch, auc))
    with pytest.raises(UserError, match="was trained with select_by auc, expected eer"):
        feedback(tmp_path, start, "eer").resume()
    assert json.loads((tmp_path / "history.json").read_text())["selected_by"] == "auc"


def test_a_state_that_an_earlier_version_wrote_without_a_key_is_taken_up(tmp_path, start):
    feedback(tmp_path, start).record(feedback_entry(0, 0.7))
    old = feedback(tmp_path, start)
    del old.made_with["select_by"]
    old.record(feedback_entry(1, 0.8))
    again = feedback(tmp_path, start)
    again.resume()
    assert again.history == [feedback_entry(1, 0.8)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "features.weight holds NaN"),
        (float("-inf"), "features.weight holds infinity"),
        (-2.7e32, r"features.weight holds values of 2.7e\+32"),
    ],
)
def test_weights_that_diverged_are_never_saved(tmp_path, start, value, message):
    progress = training(tmp_path, start, keep_every=1)
    progress.record(entry(1, a=0.5))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    progress.learner.averaged.features.weight.data[3] = value
    for save in (lambda: progress.record(entry(2, a=0.9)), lambda: progress.check(2)):
        with pytest.raises(WorkError, match=f"diverged in epoch 2: model.{message}; it is not saved, .* a lower --lr"):
            save()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert progress.best_epoch == len(progress.history) == 1


def test_large_weights_are_fine_where_they_were_large_before(tmp_path, start):
    start.model.features.weight.data[3] = 1e37
    training(tmp_path, start).record(entry(1))


def test_a_figure_that_is_not_finite_is_an_end_too(tmp_path, start):
    with pytest.raises(WorkError, match="diverged in epoch 1: a is nan"):
        training(tmp_path, start).record(entry(1, a=float("nan")))
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tuner": {"step": 1, "model": {"fc.weight": torch.tensor([1.0, float("nan")])}}}, "model.fc.weight holds NaN, expected finite numbers"),
        ({"tuner": None}, "has no tuner, so it is no state of this kind of training"),
        ({"tuner": {"another": 3}}, r"does not fit this training \('step'\); start anew"),
        ({"recipe": [1]}, "has no recipe"),
        ({"history": {}}, "has no history"),
        ({"history": []}, "does not fit this training"),
        ({"history": [3]}, "does not fit this training"),
        ({"history": [{"epoch": 0}, {"epoch": 1}]}, "does not fit this training"),
        ({"best_epoch": 7}, "does not fit this training"),
        ({"best_epoch": "1"}, "has no best_epoch"),
    ],
)  # fmt: skip
def test_a_state_of_another_shape_is_refused_in_one_line(tmp_path, start, change, message):
    history = [feedback_entry(0, 0.5), feedback_entry(1, 0.6)]
    state = {"tuner": {"step": 3}, "history": history, "best_epoch": 1, "recipe": {"lr": 0.1}}
    torch.save(state | change, tmp_path / "training_state.pth")
    with pytest.raises(UserError, match=f"training_state.pth: {message}") as refused:
        feedback(tmp_path, start).resume()
    assert "\n" not in str(refused.value)


def test_a_state_that_is_an_input_is_not_forgotten(tmp_path, start):
    progress = training(tmp_path / "out", start)
    progress.record(entry(1))
    state = tmp_path / "out" / "training_state.pth"
    with guarded({"init": state}), pytest.raises(UserError, match="is an input"):
        progress.forget()
    assert state.exists()
