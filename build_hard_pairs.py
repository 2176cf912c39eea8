"""Choose the pairs of faces that a model finds hardest, from its embeddings.

reads    --features_list  a feature store written by gen_features.py (or by MagFace's gen_feat.py)
writes   --output_file    pairs JSON: pairs of one person of lowest, and of two people of highest cosine similarity
example  python build_hard_pairs.py --features_list features.npy --output_file hard_pairs.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from magface_al.choosing.hard_pairs import STRATEGIES, HardWishes
from magface_al.choosing.identity_flags import add_identity_options
from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputPath
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.metrics.cosine import THRESHOLD


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--features_list", type=Path, required=True, metavar="FEATURES", help="feature store, text or .npy"
    )
    files.add_argument(
        "--output_file", type=OutputPath, required=True, metavar="PAIRS.json", help="pairs file to write"
    )
    files.add_argument(
        "--skip_bad_lines", action="store_true", help="leave out malformed lines of a text store, and count them"
    )
    choice = parser.add_argument_group("choice of pairs")
    choice.add_argument(
        "--strategy",
        choices=list(STRATEGIES),
        default=HardWishes.strategy,
        help="; ".join(f"{name} = {strategy.sentence}" for name, strategy in STRATEGIES.items()),
    )
    choice.add_argument(
        "--pos_target", type=numbers.non_negative_int, default=HardWishes.pos_target, help="same-person pairs wanted"
    )
    choice.add_argument(
        "--neg_target",
        type=numbers.non_negative_int,
        default=HardWishes.neg_target,
        help="different-person pairs wanted",
    )
    choice.add_argument(
        "--candidate_mult",
        type=numbers.positive_int,
        default=HardWishes.candidate_mult,
        help="sampled: random candidates per pair wanted",
    )
    choice.add_argument(
        "--max_per_image",
        type=numbers.non_negative_int,
        default=HardWishes.max_per_image,
        help="exact: pairs of each kind that one image may be in, so that a few faces do not fill the set; 0: no limit",
    )
    choice.add_argument(
        "--max_per_identity",
        type=numbers.non_negative_int,
        default=HardWishes.max_per_identity,
        help="exact: pairs of each kind that one person may be in; 0: no limit",
    )
    add_identity_options(
        choice, ["parent_dir", "list"], "who an image shows: the name of its folder, or --identity_list"
    )
    choice.add_argument(
        "--seed", type=numbers.seed, default=42, help="seed of the random choices and of the order in the file"
    )
    cli.add_device_options(parser)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    import numpy as np

    from magface_al.choosing.hard_pairs import NamedImages, choose_hard
    from magface_al.choosing.identity_flags import check_identity_options, named_identities
    from magface_al.command.errors import UserError
    from magface_al.embedding.store import open_store
    from magface_al.pairs.pair_file import describe, write_pairs

    run.path = args.output_file.with_suffix(".manifest.json")
    check_identity_options(args.identity_from, args.identity_list)
    store = open_store(args.features_list, run, skip_bad_lines=args.skip_bad_lines)
    people = named_identities(store.names, args.identity_from, args.identity_list)
    if len(set(people)) == 1:
        raise UserError(
            f"{args.features_list}: all {counted(len(people), 'image')} show one identity ({people[0]!r}), expected at least two; "
            "identities come from the images' folders unless --identity_list gives them"
        )
    images = NamedImages(store.names, people, store.unit(), "cpu" if args.force_cpu else args.device)
    limits = args.max_per_image, args.max_per_identity
    wishes = HardWishes(args.strategy, args.pos_target, args.neg_target, args.candidate_mult, *limits)
    chosen = choose_hard(images, wishes, np.random.default_rng(args.seed))
    if not chosen.pairs:
        raise UserError(
            f"{args.features_list}: no pairs to choose from; expected people with two images, or two people"
        )
    for shortfall in chosen.shortfalls:
        run.note(shortfall)
    for kind, quantiles in chosen.hardness.items():
        print(f"{kind:>9} pairs: cosine " + ", ".join(f"{name} {value:+.3f}" for name, value in quantiles.items()))
    run.facts["hardness"] = chosen.hardness
    made_by = {"strategy": args.strategy, "seed": args.seed, "features": str(args.features_list)}
    write_pairs(args.output_file, chosen.pairs, **made_by, root=store.root())
    run.output(args.output_file, describe(chosen.pairs))
    files = ["--feedback_file", args.output_file, "--features_list", args.features_list]
    run.suggest("python", "visualize_errors.py", *files, "--threshold", THRESHOLD, "--output_dir", "errors")


if __name__ == "__main__":
    cli.run(build_parser(), main)
