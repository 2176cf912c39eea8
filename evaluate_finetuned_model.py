"""Did fine-tuning help, on people it never saw, without harming the rest?

reads    --checkpoint, --finetuned  weights before and after; --feedback_file  labelled pairs that were not trained on;
         --general_file  labelled pairs of ordinary faces, the guard against forgetting
writes   --output_dir  evaluation.json, before_after.png, flipped.json (pairs fixed and pairs broken)
example  python evaluate_finetuned_model.py --checkpoint magface_epoch_00025.pth \\
           --finetuned checkpoints_feedback/magface_feedback_best.pth --feedback_file checkpoints_feedback/val_pairs.json

Intervals are 95 %, from a bootstrap over people; those of the change use the same resamples before and after.
Ends with exit code 1 when the EER of --general_file rises by more than --max_regression.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.metrics.cosine import THRESHOLD

if TYPE_CHECKING:
    from magface_al.evaluation.before_after import Comparison


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
    files.add_argument("--output_dir", type=Path, default=Path("evaluation"), help="folder for everything written")
    decision = parser.add_argument_group("decision")
    decision.add_argument(
        "--threshold", type=numbers.cosine, default=THRESHOLD, help="cosine above which a pair is called same"
    )
    decision.add_argument(
        "--max_regression",
        type=numbers.non_negative_float,
        default=0.01,
        help="largest rise of the EER on --general_file that is let pass (0.01 is one percentage point)",
    )
    decision.add_argument(
        "--resamples", type=numbers.positive_int, default=500, help="bootstrap resamples behind the intervals"
    )
    decision.add_argument("--seed", type=int, default=42, help="of the bootstrap")
    model_flags.add_checkpoint_options(parser)
    cli.add_device_options(parser, batch_size=128)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.errors import WorkError
    from magface_al.command.files import write_json
    from magface_al.evaluation.before_after import flipped_pairs
    from magface_al.pairs.pair_file import write_pairs
    from magface_al.pictures.canvas import before_after_figure, save_figure

    args.output_dir.mkdir(parents=True, exist_ok=True)
    run.path = args.output_dir / "manifest.json"
    target = compare(args, args.feedback_file, run)
    fixed, broken = flipped_pairs(target)
    print(f"\n{args.feedback_file}\n{table(target)}")
    print(f"decisions that flipped at {args.threshold:g}: {len(fixed)} fixed, {len(broken)} broken")
    result: dict[str, Any] = {
        "threshold": args.threshold,
        "target": target.as_dict(),
        "fixed": len(fixed),
        "broken": len(broken),
    }
    save_figure(
        before_after_figure(target.before, target.after, target.same, args.threshold),
        args.output_dir / "before_after.png",
    )
    write_pairs(args.output_dir / "flipped.json", [*fixed, *broken], root=str(args.feedback_file.parent.resolve()))

    rise = None
    if args.general_file is not None:
        general = compare(args, args.general_file, run)
        print(f"\n{args.general_file} (must not get worse)\n{table(general)}")
        rise = general.change()["eer"]
        result |= {"general": general.as_dict(), "general_eer_rise": rise, "max_regression": args.max_regression}
    write_json(args.output_dir / "evaluation.json", result)
    run.output(args.output_dir, "evaluation.json, before_after.png, flipped.json")
    run.suggest(
        f"python visualize_errors.py --model {args.finetuned} --feedback_file {args.feedback_file} --threshold {args.threshold:g} "
        "--output_dir finetuned_errors"
    )
    if rise is not None and rise > args.max_regression:
        raise WorkError(
            f"{args.general_file}: EER rose by {100 * rise:.2f} points, more than --max_regression allows "
            f"({100 * args.max_regression:g}); keep the old weights, or fine-tune with a higher --distill or lower --lr"
        )


def compare(args: argparse.Namespace, pairs: Path, run: Run) -> Comparison:
    """Score one pairs file with both models; a pair counts only if both could read its images."""
    from magface_al.embedding.pair_scores import score_pairs
    from magface_al.evaluation.before_after import Comparison
    from magface_al.pairs.pair_file import describe, read_pairs

    pair_file = read_pairs(pairs).labelled()
    run.input(pairs, describe(pair_file.pairs))
    choice = model_flags.model_choice(args)
    before = score_pairs(pair_file, choice, run)
    after = score_pairs(before.pair_file, replace(choice, checkpoint=args.finetuned, arch="auto"), run)
    run.facts["pairs_left_out"] = before.left_out + after.left_out
    return Comparison(
        before.pair_file.pairs, before.similarity, after.similarity, args.threshold, args.seed, args.resamples
    )


def table(comparison: Comparison) -> str:
    """Before, after and the change of every figure, with the interval of the change."""
    from magface_al.metrics.roc import LABELS, percent

    before, after, change, limits = (
        comparison.figures_before,
        comparison.figures_after,
        comparison.change(),
        comparison.change_intervals(),
    )
    lines = [f"{'':>14}  {'before':>18}  {'after':>18}  {'change in points [95 % interval]':>34}"]
    for name, label in LABELS.items():
        delta = "" if change[name] is None else f"{100 * change[name]:+.2f}"
        span = limits[name]
        interval = "" if not delta or span is None else f"[{100 * span[0]:+.2f}, {100 * span[1]:+.2f}]"
        lines.append(
            f"{label:>14}  {percent(name, before[name]):>18}  {percent(name, after[name]):>18}  {delta:>14} {interval:>19}"
        )
    best = [f"{value:.3f}" if value is not None else "undefined" for value in comparison.best_thresholds()]
    lines.append(f"{'best threshold':>14}  {best[0]:>18}  {best[1]:>18}")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(build_parser(), main)
