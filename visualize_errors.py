"""Show which pairs a model gets wrong, as pictures, a page and figures.

reads    --feedback_file  pairs JSON with labels; --model and/or --features_list for the similarities
writes   --output_dir     false_positives/ and false_negatives/ (one folder a pair, worst first), index.html,
         errors_contact_sheet.png, scores.png, error_summary.json
example  python visualize_errors.py --model magface_epoch_00025.pth --feedback_file pairs.json --threshold 0.4

With --features_list that holds every image no model is loaded; images missing there are embedded with the model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputFolder
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.metrics.cosine import THRESHOLD


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--feedback_file", type=Path, required=True, metavar="PAIRS.json", help="labelled pairs")
    files.add_argument(
        "--features_list", type=Path, metavar="FEATURES", help="cached embeddings of this model, text or .npy"
    )
    files.add_argument(
        "--skip_bad_lines", action="store_true", help="leave out malformed lines of a text store, and count them"
    )
    files.add_argument(
        "--output_dir", type=OutputFolder, default=OutputFolder("magface_errors"), help="folder for everything written"
    )
    errors = parser.add_argument_group("errors")
    errors.add_argument(
        "--threshold", type=numbers.cosine, default=THRESHOLD, help="cosine above which a pair is called same"
    )
    errors.add_argument(
        "--max_fp", type=numbers.non_negative_int, help="most false positives to save, worst first (default: all)"
    )
    errors.add_argument(
        "--max_fn", type=numbers.non_negative_int, help="most false negatives to save, worst first (default: all)"
    )
    errors.add_argument("--seed", type=numbers.seed, default=42, help="of the bootstrap behind the intervals")
    model_flags.add_checkpoint_options(parser, required=False)
    cli.add_device_options(parser, batch_size=128)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.errors import UserError
    from magface_al.command.outputs import refuse_inputs
    from magface_al.command.replacing import replacing, write_json
    from magface_al.embedding.pair_scores import score_pairs
    from magface_al.evaluation.error_summary import summarize, summary_rows
    from magface_al.pairs.pair_file import describe, read_pairs
    from magface_al.pictures.canvas import png_bytes
    from magface_al.pictures.error_folders import SHEET, check_places, write_errors
    from magface_al.pictures.error_page import PICTURES, error_page

    if args.checkpoint is None and args.features_list is None:
        raise UserError("give --model to embed the images, or --features_list with their embeddings, or both")
    pair_file = read_pairs(args.feedback_file).labelled()
    run.input(args.feedback_file, describe(pair_file.pairs))
    run.path = args.output_dir / "manifest.json"
    refuse_inputs(args.output_dir, ["index.html", *PICTURES, SHEET, "error_summary.json"])
    check_places(pair_file, args.output_dir)
    scores = score_pairs(pair_file, model_flags.model_choice(vars(args)), run, args.features_list, args.skip_bad_lines)
    run.facts["pairs_left_out"] = scores.left_out

    summary = summarize(scores, args.threshold, args.seed)
    pictures = {name: png_bytes(picture.draw(scores, args.threshold)) for name, picture in PICTURES.items()}
    cards = write_errors(scores, args.threshold, args.output_dir, args.max_fp, args.max_fn)
    rows = summary_rows(summary)
    title = f"{args.feedback_file} at threshold {args.threshold:g}"
    with replacing(args.output_dir / "index.html") as file:
        file.write(error_page(title, rows, pictures, cards))
    for name, png in pictures.items():
        with replacing(args.output_dir / name, "wb") as file:
            file.write(png)
    write_json(args.output_dir / "error_summary.json", summary)

    for name, value in rows:
        print(f"{name:>22}  {value}")
    run.output(args.output_dir, f"{len(cards)} errors, error_summary.json, errors_contact_sheet.png")
    run.output(args.output_dir / "index.html", "the page to look at")
    files = ["--checkpoint", args.checkpoint or "CKPT", "--feedback_file", args.feedback_file]
    run.suggest("python", "finetune_on_feedback.py", *files)


if __name__ == "__main__":
    cli.run(build_parser(), main)
