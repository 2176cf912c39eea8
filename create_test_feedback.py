"""Make a small labelled test set of face pairs, from CASIA-WebFace (RecordIO), an image folder, or drawn people.

reads    --dataset     a folder with train.rec (and train.idx), or with one folder a person; without it drawn people
writes   --output_dir  feedback_pairs_test.json, images/identity_0004/identity_0004_img_02.jpg, images.list
example  python create_test_feedback.py --dataset faces_webface_112x112
"""

from __future__ import annotations

import argparse
from pathlib import Path

from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputFolder
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.metrics.cosine import THRESHOLD
from magface_al.pairs.pair_file import SAME, Pair, describe, write_pairs


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    source = parser.add_argument_group("source").add_mutually_exclusive_group()
    source.add_argument("--dataset", type=Path, metavar="DIR", help="RecordIO folder or folder of identity folders")
    source.add_argument(
        "--synthetic", action="store_true", help="draw people who do not exist (default without --dataset)"
    )
    parser.add_argument("--domain", default="clean", help="camera of drawn people: clean, cctv or night")
    parser.add_argument("--num_identities", type=numbers.positive_int, default=10, help="people, chosen at random")
    parser.add_argument("--images_per_identity", type=numbers.positive_int, default=5, help="images of each")
    parser.add_argument(
        "--num_pairs", type=numbers.positive_int, default=200, help="pairs, half same and half different"
    )
    parser.add_argument(
        "--label_noise",
        type=numbers.interval("[0, 1)"),
        default=0.0,
        help="share of the labels to flip; the truth is kept as actual_label",
    )
    parser.add_argument(
        "--output_dir", type=OutputFolder, default=OutputFolder("test_feedback"), help="folder for everything written"
    )
    parser.add_argument("--seed", type=numbers.seed, default=42, help="of every random choice")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    import numpy as np

    from magface_al.choosing.known_pairs import flip_labels, random_pairs
    from magface_al.conversion.sampled_faces import open_people, refuse_foreign, sample_people
    from magface_al.faces.list_lines import line_of, list_file

    rng = np.random.default_rng(args.seed)
    images = args.output_dir / "images"
    refuse_foreign(images)
    run.path = args.output_dir / "manifest.json"
    with open_people(args.dataset, args.domain, args.seed, args.num_identities, args.images_per_identity) as source:
        print(f"read {source.description}")
        people = sample_people(source, args.num_identities, args.images_per_identity, rng, images, run.note)
    pairs = random_pairs(people, args.num_pairs, rng)
    note_missing(pairs, args.num_pairs, run)
    pairs, flipped = flip_labels(pairs, args.label_noise, rng)
    output = args.output_dir / "feedback_pairs_test.json"
    write_pairs(output, pairs, source=str(args.dataset or "synthetic"), seed=args.seed, flipped_labels=flipped)
    with list_file(args.output_dir / "images.list") as write:
        for name in (name for names in people.values() for name in names):
            write(line_of(args.output_dir / name))
    written = counted(sum(map(len, people.values())), "image")
    run.output(images, f"{written} of {counted(len(people), 'person', 'people')}")
    run.output(output, describe(pairs) + (f", {counted(flipped, 'label')} flipped" if flipped else ""))
    files = ["--model", "magface_epoch_00025.pth", "--feedback_file", output]
    run.suggest("python", "visualize_errors.py", *files, "--threshold", THRESHOLD, "--output_dir", "magface_errors")


def note_missing(pairs: list[Pair], wanted: int, run: Run) -> None:
    if len(pairs) < wanted:
        same = sum(pair.label == SAME for pair in pairs)
        run.note(
            f"only {same} same and {len(pairs) - same} different pairs exist of the {wanted} wanted; raise --images_per_identity"
        )


if __name__ == "__main__":
    cli.run(build_parser(), main)
