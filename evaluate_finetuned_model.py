"""Did fine-tuning help, on people it never saw, without harming the rest?

reads    --checkpoint, --finetuned  weights before and after; --feedback_file  labelled pairs that were not trained on;
         --general_file  labelled pairs of ordinary faces, the guard against forgetting
writes   --output_dir  evaluation.json, before_after.png, flipped.json (pairs fixed and pairs broken)
example  python evaluate_finetuned_model.py --checkpoint magface_epoch_00025.pth \\
           --finetuned checkpoints_feedback/magface_feedback_best.pth \\
           --feedback_file checkpoints_feedback/val_random_pairs.json

Intervals are 95 %, from a bootstrap over people; those of the change use the same resamples before and after.
A verdict needs pairs drawn at random. On pairs that a model's errors chose (their "strategy" says so) any other model
looks better: the table then says so, and only those of the pairs that were drawn at random are judged.
Ends with exit code 1 when the EER of --general_file rises by more than --max_regression.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputFolder
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.evaluation import flags
from magface_al.evaluation.before_after import MAX_EER_RISE
from magface_al.metrics.cosine import THRESHOLD


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--finetuned", type=Path, required=True, metavar="CKPT", help="weights after fine-tuning")
    files.add_argument(
        "--feedback_file",
        "--test_file",
        dest="feedback_file",
        type=Path,
        required=True,
        metavar="PAIRS.json",
        help="labelled pairs of people that were not trained on",
    )
    files.add_argument("--general_file", type=Path, metavar="PAIRS.json", help="labelled pairs that must not get worse")
    files.add_argument(
        "--output_dir", type=OutputFolder, default=OutputFolder("evaluation"), help="folder for everything written"
    )
    decision = parser.add_argument_group("decision")
    decision.add_argument(
        "--threshold", type=numbers.cosine, default=THRESHOLD, help="cosine above which a pair is called same"
    )
    decision.add_argument(
        "--max_regression",
        type=numbers.non_negative_float,
        default=MAX_EER_RISE,
        help="largest rise of the EER on --general_file that is let pass (0.01 is one percentage point)",
    )
    flags.add_bootstrap_options(decision)
    model_flags.add_checkpoint_options(parser)
    cli.add_device_options(parser, batch_size=model_flags.ModelChoice.batch_size)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.errors import WorkError
    from magface_al.command.outputs import refuse_inputs
    from magface_al.command.replacing import write_json
    from magface_al.evaluation.before_after import compare, flipped_pairs
    from magface_al.evaluation.verdict import judge, suggest_random_pairs
    from magface_al.pairs.pair_file import write_pairs
    from magface_al.pictures.canvas import save_figure
    from magface_al.pictures.curves import before_after_figure

    run.path = args.output_dir / "manifest.json"
    refuse_inputs(args.output_dir, ["evaluation.json", "before_after.png", "flipped.json"])
    before = model_flags.model_choice(vars(args))
    after = replace(before, checkpoint=args.finetuned, arch="auto")
    how = args.threshold, args.resamples, args.seed
    target = judge(args.feedback_file, compare(args.feedback_file, before, after, run, *how))
    run.facts["pairs_left_out"] = target.whole.left_out
    fixed, broken = flipped_pairs(target.whole)
    print(f"\n{target.tables()}")
    print(f"decisions that flipped at {args.threshold:g}: {len(fixed)} fixed, {len(broken)} broken")
    print(target.conclusion())
    best = target.best
    figure = before_after_figure(best.before, best.after, best.same, args.threshold, target.title(best), best.weight)
    save_figure(figure, args.output_dir / "before_after.png")
    write_pairs(args.output_dir / "flipped.json", [*fixed, *broken], root=str(args.feedback_file.parent.resolve()))
    result: dict[str, Any] = {
        "threshold": args.threshold,
        "target": target.as_dict(),
        "fixed": len(fixed),
        "broken": len(broken),
    }

    rise = None
    if args.general_file is not None:
        general = judge(args.general_file, compare(args.general_file, before, after, run, *how))
        print(f"\nmust not get worse: {general.tables()}")
        run.facts["pairs_left_out"] += general.whole.left_out
        rise = general.best.change()["eer"]
        if general.best is general.whole and general.warning:
            run.note(f"{args.general_file}: {general.warning}, and a loss may stay unseen")
        result |= {"general": general.as_dict(), "general_eer_rise": rise, "max_regression": args.max_regression}
    write_json(args.output_dir / "evaluation.json", result)
    run.output(args.output_dir, "evaluation.json, before_after.png, flipped.json")
    weights = ["--checkpoint", args.checkpoint, "--finetuned", args.finetuned]
    if target.verdict() is None:
        suggest_random_pairs(args.feedback_file, target.whole.pairs, weights, run)
    files = ["--model", args.finetuned, "--feedback_file", args.feedback_file]
    at = ["--threshold", f"{args.threshold:g}"]
    run.suggest("python", "visualize_errors.py", *files, *at, "--output_dir", "finetuned_errors")
    if rise is not None and rise > args.max_regression:
        raise WorkError(
            f"{args.general_file}: EER rose by {100 * rise:.2f} points, more than --max_regression allows "
            f"({100 * args.max_regression:g}); keep the old weights, or fine-tune with a higher --distill or lower --lr"
        )


if __name__ == "__main__":
    cli.run(build_parser(), main)
