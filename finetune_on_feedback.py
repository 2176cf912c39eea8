"""Fine-tune a face-recognition model on answered pairs of faces, without forgetting what it knew.

reads    --checkpoint, --feedback_file  weights; pairs JSON with labels 1 (same person) and 0 (different people)
writes   --output_dir  magface_feedback_epoch{N}.pth, magface_feedback_best.pth, history.json, history.png,
         train_pairs.json, val_pairs.json, test_pairs.json (the split), val_random_pairs.json or test_random_pairs.json
         (to evaluate on, where errors chose the pairs of the split), relabel.json (answers worth a second look)
example  python finetune_on_feedback.py --checkpoint magface_epoch_00025.pth --feedback_file feedback.json --epochs 5

Validation people are never trained on. If no epoch is better than the start, the original weights are written as best.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields

from magface_al.command import cli
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.finetuning import flags
from magface_al.finetuning.recipe import Recipe, SplitRecipe


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    flags.add_file_options(parser)
    model_flags.add_checkpoint_options(parser)
    flags.add_recipe_options(parser)
    flags.add_split_options(parser)
    cli.add_device_options(parser, batch_size=Recipe.batch_size)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.outputs import refuse_inputs
    from magface_al.embedding.embedder import Embedder
    from magface_al.finetuning.answered_pairs import index_pairs
    from magface_al.finetuning.epochs import report_best, report_gradient, train_epochs
    from magface_al.finetuning.feedback import PART_FILES, read_faces, read_feedback, read_replay, split_feedback
    from magface_al.finetuning.held_out import RANDOM_FILES, suggest_evaluation
    from magface_al.finetuning.progress import best_embeddings, feedback_progress, habits_of
    from magface_al.finetuning.tuner import FineTuner
    from magface_al.finetuning.validation import doubtful_answers, validate
    from magface_al.models.checkpoint import load_backbone
    from magface_al.models.device import device_name, pick_device
    from magface_al.pairs.pair_file import write_pairs

    recipe, split = recipes_of(args)
    feedback, slices = read_feedback(args.feedback_file, run)
    device = pick_device(args.device, args.force_cpu)
    backbone = load_backbone(args.checkpoint, args.arch, args.preprocessing, trainable=True)
    run.input(args.checkpoint, backbone.describe(), backbone.file_sha256)
    run.path = args.output_dir / "manifest.json"
    epochs = habits_of(split.select_by).names(range(1, recipe.epochs + 1))
    refuse_inputs(args.output_dir, [*epochs, *PART_FILES.values(), *RANDOM_FILES, "relabel.json"])
    run.facts |= {"device": device_name(device), "recipe": asdict(recipe), **backbone.origin()}

    size = backbone.preprocessing.size
    faces = read_faces([(name, feedback.locate(name)) for name in feedback.images()], args.workers, size, run)
    replay = read_replay(args.replay_list, args.workers, size, run)
    parts = split_feedback(feedback, faces, split, args.output_dir, run)
    train, val = index_pairs(parts[0], faces, replay), index_pairs(parts[1], faces)
    start = Embedder(backbone.model, backbone.preprocessing, device)
    teacher = start(train.faces)
    report_gradient(train, teacher, recipe, run)
    tuner = FineTuner(backbone.model, backbone.preprocessing, train, teacher, recipe, device)
    progress = feedback_progress(args.output_dir, tuner, backbone, split.select_by, run.facts)
    if args.resume_training:
        progress.resume()
    else:
        progress.forget()
        progress.record({"epoch": 0, **validate(start, val, recipe.threshold)})
    train_epochs(tuner, progress, val, run)
    report_best(progress, run)

    everything = index_pairs([pair for part in parts for pair in part], faces)
    doubtful = doubtful_answers(everything, best_embeddings(progress, everything.faces), recipe.threshold)
    write_pairs(args.output_dir / "relabel.json", doubtful, root=str(feedback.path.parent.resolve()))
    run.output(args.output_dir / "relabel.json", f"the {len(doubtful)} answers that the tuned model doubts most")
    weights = ["--checkpoint", args.checkpoint, "--finetuned", progress.best_path]
    suggest_evaluation(parts, feedback, slices, weights, args.output_dir, split, run)


def recipes_of(args: argparse.Namespace) -> tuple[Recipe, SplitRecipe]:
    """The flags that say how to train, and how to divide the answers."""
    given = {**vars(args), "augment": not args.no_augment}
    recipe = Recipe(**{field.name: given[field.name] for field in fields(Recipe)})
    return recipe, SplitRecipe(**{field.name: given[field.name] for field in fields(SplitRecipe)})


if __name__ == "__main__":
    cli.run(build_parser(), main)
