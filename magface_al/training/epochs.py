"""Training from the first epoch to the last: steps shown, counted and saved, validation, and what came out in the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from magface_al.command.run import Run
from magface_al.embedding.embedder import Embedder
from magface_al.pairs.pair_file import PairFile
from magface_al.training import distributed
from magface_al.training.progress import Progress, diverged
from magface_al.training.tensorboard import Events, open_events
from magface_al.training.trainer import Trainer
from magface_al.training.validation import validate_sets

NAMED_FAILURES = 20  # on the screen; the manifest has them all


def train_epochs(
    trainer: Trainer,
    progress: Progress,
    sets: Mapping[str, PairFile],
    run: Run,
    *,
    save_steps: int = 0,
    tensorboard: bool = False,
) -> None:
    """Train, validate on the sets and save, epoch by epoch, from where the progress stands. Ctrl-C keeps what is on disk.

    save_steps: also write the state to resume from every so many steps; 0: after epochs only.
    """
    if not run.silent:
        trainer.reader.write_samples(progress.folder / "samples.png")
    events = open_events(progress.folder / "tensorboard", tensorboard and not run.silent)
    try:
        for number in range(len(progress.history) + 1, trainer.recipe.epochs + 1):
            started, first = time.monotonic(), progress.steps
            take_steps(number, trainer, progress, events, save_steps)
            refuse_divergence(number, trainer, progress)
            speed = (trainer.steps - first) * trainer.recipe.batch_size / (time.monotonic() - started)
            validation = validate(trainer, sets)
            seconds = round(time.monotonic() - started, 2)
            best = progress.record({"epoch": number, **progress.means(), "validation": validation, "seconds": seconds})
            events.add("validation", validation, number * trainer.steps)
            distributed.barrier()
            told = line_of(progress.history[-1], trainer.steps)
            run.say(f"{told}  {speed:.0f} images/s" + ("  best so far" if best and sets else ""))
    except KeyboardInterrupt:
        run.note("interrupted: what has been written is kept; --resume_training goes on from there")
        raise
    finally:
        events.close()


def take_steps(number: int, trainer: Trainer, progress: Progress, events: Events, save_steps: int) -> None:
    """The steps of an epoch that are left where an interrupted run had stopped, or all of them."""
    bar = tqdm(
        trainer.epoch(number, progress.steps),
        total=trainer.steps,
        initial=progress.steps,
        unit="step",
        desc=f"epoch {number}/{trainer.recipe.epochs}",
        disable=distributed.rank() > 0,
    )
    for figures in bar:
        progress.count(figures)
        bar.set_postfix({name: f"{figures[name]:.3f}" for name in ("loss", "cosine", "magnitude")}, refresh=False)
        events.add("train", figures, (number - 1) * trainer.steps + progress.steps)
        if save_steps and progress.steps % save_steps == 0 and progress.steps < trainer.steps:
            progress.check(number)
            progress.save_state()


def refuse_divergence(number: int, trainer: Trainer, progress: Progress) -> None:
    """Before epoch `number` is validated and saved. Raises WorkError for weights that Progress.check refuses, and where
    most steps had no finite gradient, which is no news only while a loss scale settles."""
    progress.check(number)
    skipped = progress.means().get("skipped", 0)
    if skipped > trainer.steps / 2 and not trainer.loss_scale.enabled:
        raise diverged(f"in epoch {number}: {skipped:.0f} of {trainer.steps} steps had no finite gradient")


def validate(trainer: Trainer, sets: Mapping[str, PairFile]) -> dict[str, float]:
    """Name -> accuracy of the weights that are kept, on rank 0 and the device that trains; nothing elsewhere."""
    if distributed.rank() > 0 or not sets:
        return {}
    embedder = Embedder(trainer.averaged.eval(), trainer.preprocessing, trainer.device)
    return validate_sets(embedder, sets, trainer.reader.workers)


def line_of(entry: Mapping[str, Any], steps: int) -> str:
    """One epoch of that many steps, for the screen."""
    shown = ("loss", "accuracy", "cosine", "magnitude")
    figures = "  ".join(f"{name.replace('_', ' ')} {entry[name]:.4f}" for name in shown)
    validation = "".join(f"  {name} {100 * value:.2f} %" for name, value in entry["validation"].items())
    skipped = f"  {entry['skipped']:.0f} of {steps} steps skipped" if entry["skipped"] else ""
    return f"epoch {entry['epoch']:>3}: {figures}  lr {entry['lr']:.2g}{validation}{skipped}"


def tell_outcome(trainer: Trainer, progress: Progress, run: Run) -> None:
    """Say what came out, and name the images that could not be read. Every process calls it."""
    reader = trainer.reader
    failures: dict[int, str] = {}
    for found in distributed.gather_objects(reader.failures):
        failures |= found
    named = {reader.data.name(image): reason for image, reason in sorted(failures.items())}
    for name, reason in list(named.items())[:NAMED_FAILURES]:
        run.note(f"{name}: {reason}; another image took its place")
    if failures:
        run.note(f"{len(failures)} of {len(reader.data)} images could not be read")
    if reader.resized is not None:
        first = reader.data.name(reader.resized)
        run.note(f"images were not {reader.size} px squares and were resized (first: {first}); align faces first")
    if trainer.skipped:
        total = len(progress.history) * trainer.steps
        run.note(f"{trainer.skipped} of {total} steps skipped, for want of a finite gradient")
    run.facts |= {
        "history": progress.history,
        "best_epoch": progress.best_epoch,
        "skipped_steps": trainer.skipped,
        "unreadable_images": named,
    }
    run.output(progress.best_path, f"the best weights (epoch {progress.best_epoch})")


def next_words(checkpoint: Path, sets: Sequence[tuple[str, Path]], data: Sequence[Path], root: Path) -> list[object]:
    """The words of what to do with the trained weights: the whole table of the validation sets, or embeddings of a list of faces."""
    lists = [path for path in data if path.is_file() and path.suffix != ".rec"]
    if sets:
        named = [f"{name}={path}" for name, path in sets]
        words = ["evaluate_recognition.py", "--checkpoint", checkpoint, "--set", *named]
    elif lists:
        words = ["gen_features.py", "--inf_list", lists[0], "--feat_list", "features.npy", "--checkpoint", checkpoint]
    else:
        return ["python", "inspect_checkpoint.py", "--checkpoint", checkpoint]
    return ["python", *words, *(["--root", root] if root != Path() else [])]
