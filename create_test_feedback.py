"""Make a small labelled test set of face pairs, from CASIA-WebFace (RecordIO), an image folder, or drawn people.

reads    --dataset     a folder with train.rec (and train.idx), or a folder of one folder a person; drawn people without it
writes   --output_dir  feedback_pairs_test.json, images/identity_0004/identity_0004_img_02.jpg, images.list
example  python create_test_feedback.py --dataset faces_webface_112x112
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.metrics.cosine import THRESHOLD

if TYPE_CHECKING:
    import numpy as np

    from magface_al.faces.sources import FaceSource
    from magface_al.pairs.pair_file import Pair


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
    parser.add_argument("--output_dir", type=Path, default=Path("test_feedback"), help="folder for everything written")
    parser.add_argument("--seed", type=int, default=42, help="of every random choice")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    import numpy as np

    from magface_al.faces.sources import open_source
    from magface_al.pairs.pair_file import describe, write_pairs

    rng = np.random.default_rng(args.seed)
    images = args.output_dir / "images"
    refuse_foreign(images, args.output_dir)
    with open_source(args.dataset, args.domain, args.seed) as source:
        print(f"read {source.description}")
        people = write_images(source, args, rng, images, run)
    pairs = make_pairs(people, args.num_pairs, rng, run)
    pairs, flipped = flip_labels(pairs, args.label_noise, rng)
    run.path = args.output_dir / "manifest.json"
    output = args.output_dir / "feedback_pairs_test.json"
    write_pairs(output, pairs, source=str(args.dataset or "synthetic"), seed=args.seed, flipped_labels=flipped)
    listing = args.output_dir / "images.list"
    listing.write_text(
        "".join(f"{args.output_dir / name}\n" for names in people.values() for name in names), encoding="utf-8"
    )
    run.output(images, f"{sum(map(len, people.values()))} images of {len(people)} people")
    run.output(output, describe(pairs) + (f", {flipped} labels flipped" if flipped else ""))
    run.suggest(
        f"python visualize_errors.py --model magface_epoch_00025.pth --feedback_file {output} --threshold {THRESHOLD} --output_dir magface_errors"
    )


def refuse_foreign(images: Path, output_dir: Path) -> None:
    """A rerun replaces its own images; anything else in their place is left alone. Raises UserError."""
    from magface_al.command.errors import UserError

    if images.exists() and not (output_dir / "manifest.json").exists():
        raise UserError(
            f"{images}: exists and was not written by this script, expected a new or empty place; choose another --output_dir"
        )


def write_images(
    source: FaceSource, args: argparse.Namespace, rng: np.random.Generator, images: Path, run: Run
) -> dict[str, list[str]]:
    """Write the chosen people's images; identity -> their paths relative to --output_dir. A rerun leaves none of the run before."""
    from magface_al.command.errors import UserError

    people = source.people(args.num_identities, args.images_per_identity)
    enough = [name for name, count in people.items() if count >= min(2, args.images_per_identity)]
    if len(enough) < 2:
        raise UserError(f"{args.dataset}: {len(enough)} people with at least two images, expected at least two people")
    if len(enough) < args.num_identities:
        run.note(f"only {len(enough)} of the {args.num_identities} people wanted have images enough")
    building = images.with_name("images.part")
    shutil.rmtree(building, ignore_errors=True)
    written: dict[str, list[str]] = {}
    for number, person in enumerate([enough[k] for k in rng.permutation(len(enough))[: args.num_identities]]):
        identity = f"identity_{number:04d}"
        order = rng.permutation(people[person])
        written[identity] = []
        for index in order:
            if len(written[identity]) == args.images_per_identity:
                break
            try:
                data, suffix = source.image(person, int(index))
            except ValueError as error:
                run.note(f"{person}, image {index}: {error}; another one is taken")
                continue
            target = building / identity / f"{identity}_img_{len(written[identity]):02d}{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            written[identity].append(f"images/{identity}/{target.name}")
    shutil.rmtree(images, ignore_errors=True)
    building.replace(images)
    return {identity: names for identity, names in written.items() if names}


def make_pairs(people: dict[str, list[str]], count: int, rng: np.random.Generator, run: Run) -> list[Pair]:
    """Random pairs, half of one person and half of two, none twice."""
    import numpy as np

    from magface_al.choosing import mining
    from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair

    names = [name for images in people.values() for name in images]
    owner = [identity for identity, images in people.items() for _ in images]
    identity = np.unique(owner, return_inverse=True)[1]
    chosen = (
        mining.random_genuines(identity, count // 2, rng),
        mining.random_impostors(identity, count - count // 2, rng),
    )
    if len(chosen[0]) + len(chosen[1]) < count:
        run.note(
            f"only {len(chosen[0])} same and {len(chosen[1])} different pairs exist of the {count} wanted; raise --images_per_identity"
        )
    pairs = [Pair(names[i], names[j], label, {"identity1": owner[i], "identity2": owner[j], "strategy": "random"})
             for label, indices in zip((SAME, DIFFERENT), chosen, strict=True) for i, j in indices.tolist()]  # fmt: skip
    return [pairs[k] for k in rng.permutation(len(pairs))]


def flip_labels(pairs: list[Pair], share: float, rng: np.random.Generator) -> tuple[list[Pair], int]:
    """Flip round(share * N) labels, chosen at random; each pair then keeps the truth as "actual_label"."""
    from dataclasses import replace

    count = round(share * len(pairs))
    if count == 0:
        return pairs, 0
    flipped = set(rng.permutation(len(pairs))[:count].tolist())
    return [replace(pair, label=1 - pair.label if k in flipped else pair.label, extra={**pair.extra, "actual_label": pair.label})
            for k, pair in enumerate(pairs)], count  # fmt: skip


if __name__ == "__main__":
    cli.run(build_parser(), main)
