"""Fine-tune a face-recognition model on answered pairs of faces, without forgetting what it knew.

reads    --checkpoint, --feedback_file  weights; pairs JSON with labels 1 (same person) and 0 (different people)
writes   --output_dir  magface_feedback_epoch{N}.pth, magface_feedback_best.pth, history.json, history.png,
         train_pairs.json, val_pairs.json, test_pairs.json (the split), relabel.json (answers worth a second look)
example  python finetune_on_feedback.py --checkpoint magface_epoch_00025.pth --feedback_file feedback.json --epochs 5

losses: adaptive = logistic on the cosine, plus a softmax over the batch, plus a pull to the original embeddings;
logistic = the first alone; cosine = (1-c)^2 and max(0, c-margin)^2; contrastive = the documented y d^2 + (1-y) max(0, margin-d)^2.
Validation people are never trained on. If no epoch is better than the start, the original weights are written as best.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding import model_flags

if TYPE_CHECKING:
    import numpy as np

    from magface_al.finetuning.tuner import AnsweredPairs, FineTuner, Recipe
    from magface_al.pairs.pair_file import Pair, PairFile
    from magface_al.training.progress import Progress


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--feedback_file",
        type=Path,
        nargs="+",
        required=True,
        metavar="PAIRS.json",
        help="answered pairs to learn from; of a pair that stands in several files the last one counts",
    )
    files.add_argument(
        "--replay_list",
        type=Path,
        metavar="LIST",
        help="image list of ordinary faces, unlabelled, on which the model must stay as it is; they guard against forgetting",
    )
    files.add_argument(
        "--output_dir", type=Path, default=Path("checkpoints_feedback"), help="folder for everything written"
    )
    model_flags.add_checkpoint_options(parser)
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument(
        "--loss", choices=["adaptive", "logistic", "cosine", "contrastive"], default="adaptive", help="see above"
    )
    recipe.add_argument("--epochs", type=numbers.positive_int, default=10, help="passes over the training pairs")
    recipe.add_argument("--lr", type=numbers.positive_float, default=1e-4, help="highest learning rate of AdamW")
    recipe.add_argument(
        "--margin",
        type=numbers.non_negative_float,
        default=0.4,
        help="contrastive: a Euclidean distance in [0, 2]; cosine: a cosine; the other losses have none",
    )
    recipe.add_argument(
        "--threshold",
        type=numbers.cosine,
        default=0.4,
        help="cosine at which you decide (adaptive, logistic; accuracy)",
    )
    recipe.add_argument(
        "--trainable",
        choices=["all", "last_stage", "head"],
        default="all",
        help="which layers learn; head works on cached activations and takes seconds on a CPU",
    )
    recipe.add_argument(
        "--batch_norm",
        choices=["frozen", "train"],
        default="frozen",
        help="train updates BatchNorm statistics and turns dropout on, as the documented recipe did; it ruins iResNets",
    )
    recipe.add_argument(
        "--in_batch",
        type=numbers.non_negative_float,
        default=1.0,
        help="adaptive: weight of the softmax over the batch",
    )
    recipe.add_argument(
        "--distill", type=numbers.non_negative_float, default=1.0, help="adaptive: weight of the pull to the original"
    )
    recipe.add_argument(
        "--replay",
        type=numbers.non_negative_float,
        default=10.0,
        help="weight of the pull on the faces of --replay_list",
    )
    recipe.add_argument("--weight_decay", type=numbers.non_negative_float, default=0.0, help="of AdamW")
    recipe.add_argument(
        "--warmup", type=numbers.interval("[0, 1)"), default=0.1, help="share of the steps over which the rate rises"
    )
    recipe.add_argument(
        "--ema",
        type=numbers.interval("[0, 1)"),
        default=0.0,
        help="decay of the averaged weights that are kept; 0: no averaging",
    )
    recipe.add_argument("--clip", type=numbers.positive_float, default=1.0, help="largest norm of the gradient")
    recipe.add_argument("--no_augment", action="store_true", help="do not mirror faces at random")
    split = parser.add_argument_group("split and selection")
    split.add_argument(
        "--val_split",
        type=numbers.interval("[0, 1)"),
        default=0.2,
        help="share of the pairs that chooses the best epoch",
    )
    split.add_argument(
        "--test_split", type=numbers.interval("[0, 1)"), default=0.0, help="share kept for the final figure"
    )
    split.add_argument(
        "--split_by",
        choices=["identity", "pair"],
        default="identity",
        help="pair lets people leak into validation, and makes the figures too good",
    )
    split.add_argument(
        "--select_by",
        choices=["auc", "eer", "accuracy"],
        default="auc",
        help="validation figure that chooses the best epoch",
    )
    split.add_argument("--seed", type=int, default=42, help="of the split, the order and the mirroring")
    split.add_argument("--resume_training", action="store_true", help="go on after the last epoch in --output_dir")
    cli.add_device_options(parser, batch_size=16)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.embedding.embedder import Embedder
    from magface_al.finetuning.progress import feedback_progress
    from magface_al.finetuning.tuner import FineTuner, index_pairs, validate
    from magface_al.models.checkpoint import load_backbone
    from magface_al.models.device import device_name, pick_device
    from magface_al.pairs.people import contradictions

    recipe = recipe_of(args)
    feedback = read_feedback(args, run)
    if wrong := contradictions(feedback.pairs):
        run.note(
            f"{len(wrong)} pairs are answered different although other answers make them one person "
            f"(first: {wrong[0].image1} and {wrong[0].image2}); some of these answers are wrong"
        )
    device = pick_device(args.device, args.force_cpu)
    backbone = load_backbone(args.checkpoint, args.arch, args.preprocessing, trainable=True)
    run.input(args.checkpoint, backbone.describe(), backbone.file_sha256)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    run.path = args.output_dir / "manifest.json"
    run.facts |= {"device": device_name(device), "recipe": asdict(recipe), **backbone.origin()}

    images = [(name, feedback.locate(name)) for name in feedback.images()]
    faces = read_faces(images, args.workers, backbone.preprocessing.size, run)
    replay = read_replay(args, backbone.preprocessing.size, run)
    train, val, test = split(args, feedback, faces, run)
    train, val = index_pairs(train, faces, replay), index_pairs(val, faces)
    start = Embedder(backbone.model, backbone.preprocessing, device)
    teacher = start(train.faces)
    report_gradient(train, teacher, recipe, run)
    tuner = FineTuner(backbone.model, backbone.preprocessing, train, teacher, recipe, device)
    progress = feedback_progress(args.output_dir, tuner, backbone, args.select_by, run.facts)
    if args.resume_training:
        progress.resume()
    else:
        progress.record({"epoch": 0, **validate(start, val, args.threshold)})
    train_epochs(tuner, progress, val, args.threshold, run)
    finish(args, feedback, progress, index_pairs([*train.pairs, *val.pairs, *test], faces), run)


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The flags that say how to train."""
    from magface_al.finetuning.tuner import Recipe

    names = [field.name for field in fields(Recipe) if field.name != "augment"]
    return Recipe(**{name: getattr(args, name) for name in names}, augment=not args.no_augment)


def read_feedback(args: argparse.Namespace, run: Run) -> PairFile:
    """The answered pairs of all files, without those that only measure the error."""
    from magface_al.pairs.pair_file import describe, join_files, read_pairs

    files = [read_pairs(path).labelled() for path in args.feedback_file]
    for file in files:
        run.input(file.path, describe(file.pairs))
    answered = join_files(files)
    feedback = answered.without_holdout()
    if held_out := len(answered.pairs) - len(feedback.pairs):
        run.note(f"{held_out} pairs of random slices (holdout) are left out of training and validation")
    return feedback


def read_faces(images: list[tuple[str, Path]], workers: int, size: int, run: Run) -> dict[str, np.ndarray]:
    """name -> face uint8 [size, size, 3] of each (name, path); those that cannot be read are named and left out."""
    from tqdm import tqdm

    from magface_al.embedding.embedder import face_batches

    faces: dict[str, np.ndarray] = {}
    with tqdm(total=len(images), unit="image", desc="reading") as progress:
        for batch in face_batches(images, 64, workers, size):
            faces |= zip(batch.names, batch.faces, strict=True)
            for name, reason in batch.failures:
                run.note(f"{dict(images)[name]}: {reason}; it is left out, and so are its pairs")
            progress.update(len(batch.names) + len(batch.failures))
    return faces


def read_replay(args: argparse.Namespace, size: int, run: Run) -> list[np.ndarray]:
    """The faces of --replay_list, if one is given."""
    from magface_al.faces.image_list import read_image_list

    if args.replay_list is None:
        return []
    images = list(read_image_list(args.replay_list, allow_spaces=True))
    run.input(args.replay_list, f"{len(images)} faces on which the model is to stay as it is")
    return list(read_faces(images, args.workers, size, run).values())


def split(args: argparse.Namespace, feedback: PairFile, faces: dict[str, np.ndarray], run: Run) -> list[list[Pair]]:
    """[train, val, test] pairs, test perhaps empty; written beside the checkpoints, so that others can evaluate on them."""
    import numpy as np

    from magface_al.command.errors import UserError
    from magface_al.pairs.pair_file import describe, write_pairs
    from magface_al.pairs.splits import split_pairs

    readable = [pair for pair in feedback.pairs if pair.image1 in faces and pair.image2 in faces]
    shares = [1 - args.val_split - args.test_split, args.val_split, args.test_split]
    result = split_pairs(readable, shares, np.random.default_rng(args.seed), args.split_by)
    root = str(feedback.path.parent.resolve())
    for name, part in zip(("train", "val", "test"), result.parts, strict=True):
        print(f"{name:>5}: {describe(part)}")
        if part:
            write_pairs(args.output_dir / f"{name}_pairs.json", part, root=root)
    run.facts["split"] = {"by": result.unit, "crossing_pairs_left_out": result.crossing}
    if result.crossing:
        run.note(f"{result.crossing} pairs join people of different parts and are left out (split by {result.unit})")
    if args.split_by == "pair":
        run.note("split by pair: the same people are trained on and validated, so the validation figures are too good")
    for name, part in zip(("training", "validation"), result.parts[:2], strict=True):
        if len({pair.label for pair in part}) < 2:
            raise UserError(
                f"{feedback.path}: the {name} part has {describe(part)}, expected both same and different ones; "
                "answer more pairs, of more people, or change --val_split or --seed"
            )
    return result.parts


def report_gradient(train: AnsweredPairs, teacher: np.ndarray, recipe: Recipe, run: Run) -> None:
    """Say how many of the different pairs the margin still pushes apart; below it they teach nothing."""
    import numpy as np

    if recipe.loss not in ("contrastive", "cosine"):
        return
    cosine = train.similarities(teacher)[~train.same]
    active = (
        np.sqrt(np.maximum(2 - 2 * cosine, 0)) < recipe.margin
        if recipe.loss == "contrastive"
        else cosine > recipe.margin
    )
    at = 1 - recipe.margin**2 / 2 if recipe.loss == "contrastive" else recipe.margin
    print(
        f"{np.count_nonzero(active)} of {len(cosine)} different pairs are inside the margin (above cosine {at:.2f}) and have a gradient"
    )
    if active.mean() < 0.1:
        run.note(
            "hardly any different pair has a gradient: training only pulls faces together; use --loss adaptive, or cosine with a lower --margin"
        )


def train_epochs(tuner: FineTuner, progress: Progress, val: AnsweredPairs, threshold: float, run: Run) -> None:
    """Train, validate and save, epoch by epoch. Ctrl-C keeps the epochs that are complete."""
    import numpy as np
    from tqdm import tqdm

    from magface_al.embedding.embedder import Embedder
    from magface_al.finetuning.tuner import validate

    epochs = tuner.recipe.epochs
    try:
        for number in range(len(progress.history), epochs + 1):
            steps = tqdm(tuner.epoch(number), total=tuner.steps // epochs, unit="step", desc=f"epoch {number}/{epochs}")
            loss = float(np.mean(list(steps)))
            figures = validate(Embedder(tuner.averaged, tuner.preprocessing, tuner.device), val, threshold)
            best = progress.record({"epoch": number, "loss": loss, **figures})
            print(line_of(progress.history[-1]) + ("  best so far" if best else ""))
    except KeyboardInterrupt:
        run.note(f"interrupted in epoch {number}: the complete epochs are kept; --resume_training goes on from there")
        raise


def line_of(entry: dict[str, Any]) -> str:
    """One epoch for the screen."""
    figures = "  ".join(
        f"{name[4:]} {value:.4f}" for name, value in entry.items() if name.startswith("val_") and value is not None
    )
    return f"epoch {entry['epoch']:>3}: validation {figures}"


def finish(
    args: argparse.Namespace, feedback: PairFile, progress: Progress, everything: AnsweredPairs, run: Run
) -> None:
    """Say what came out, list the answers worth a second look, and name the next command."""
    from magface_al.finetuning.progress import best_embeddings
    from magface_al.finetuning.tuner import doubtful_answers
    from magface_al.pairs.pair_file import write_pairs

    if progress.best_epoch == 0:
        run.note(f"no epoch was better than the start by {args.select_by}: the original weights are written as best")
    run.facts |= {"best_epoch": progress.best_epoch, "history": progress.history}
    start, best = progress.history[0], progress.history[progress.best_epoch]
    print(
        f"validation pairs are told apart best at cosine {best['val_best_threshold']:.3f} (before: {start['val_best_threshold']:.3f}); "
        f"median magnitude {best['val_magnitude']:.2f} (before: {start['val_magnitude']:.2f})"
    )
    run.output(progress.best_path, f"the best weights (epoch {progress.best_epoch})")
    doubtful = doubtful_answers(everything, best_embeddings(progress, everything.faces), args.threshold)
    write_pairs(args.output_dir / "relabel.json", doubtful, root=str(feedback.path.parent.resolve()))
    run.output(args.output_dir / "relabel.json", f"the {len(doubtful)} answers that the tuned model doubts most")
    part = "test" if args.test_split else "val"
    run.suggest(
        f"python evaluate_finetuned_model.py --checkpoint {args.checkpoint} --finetuned {progress.best_path} "
        f"--feedback_file {args.output_dir / f'{part}_pairs.json'}"
    )


if __name__ == "__main__":
    cli.run(build_parser(), main)
