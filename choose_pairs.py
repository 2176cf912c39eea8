"""Choose the pairs of faces that are worth asking a person about.

reads    --features_list  a feature store; --answered  files of earlier questions, whose pairs are not asked again
writes   --output_file    pairs JSON without labels, each with similarity, magnitudes, strategy and batch; a share of
         them is a random slice ("holdout": true, with its stratum and inclusion probability), which is never trained on
example  python choose_pairs.py --features_list features.npy --output_file ask.json --budget 200 --seed 42

With --answered it also prints the error rates of the model that made the features, as the random slices so far show
them, and advice when to stop. "unsure" pairs stay without a label and count as asked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from magface_al.choosing import strategies
from magface_al.choosing.identity_flags import add_identity_options
from magface_al.choosing.wishes import Wishes
from magface_al.command import cli, numbers
from magface_al.command.outputs import OutputPath
from magface_al.command.run import Run
from magface_al.command.words import counted


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--features_list", type=Path, required=True, metavar="FEATURES", help="feature store, text or .npy"
    )
    files.add_argument("--output_file", type=OutputPath, required=True, metavar="ASK.json", help="pairs file to write")
    files.add_argument(
        "--answered", type=Path, nargs="+", default=[], metavar="FEEDBACK.json", help="files of pairs asked before"
    )
    files.add_argument(
        "--skip_bad_lines", action="store_true", help="leave out malformed lines of a text store, and count them"
    )
    choice = parser.add_argument_group("choice of pairs")
    choice.add_argument("--budget", type=numbers.positive_int, default=Wishes.budget, help="pairs to ask about")
    kinds = strategies.explained()
    choice.add_argument(
        "--strategy",
        choices=list(kinds),
        default=Wishes.strategy,
        help="; ".join(f"{name} = {sentence}" for name, sentence in kinds.items()),
    )
    choice.add_argument(
        "--threshold", type=numbers.cosine, default=Wishes.threshold, help="cosine above which you call a pair same"
    )
    choice.add_argument(
        "--random_share",
        type=numbers.interval("[0, 1)"),
        default=Wishes.random_share,
        help="share of the budget for the random slice",
    )
    choice.add_argument(
        "--max_per_image",
        type=numbers.non_negative_int,
        default=Wishes.max_per_image,
        help="questions one image may be in; 0: no limit",
    )
    add_identity_options(
        choice,
        ["none", "parent_dir", "list"],
        "label that an image was given (to be doubted): none, the name of its folder, or --identity_list",
    )
    choice.add_argument(
        "--seed", type=numbers.seed, default=42, help="seed of the random choices and of the order in the file"
    )
    cli.add_device_options(parser)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    import numpy as np
    from tqdm import tqdm

    from magface_al.choosing.asked import read_asked
    from magface_al.choosing.identity_flags import check_identity_options, named_identities
    from magface_al.choosing.questions import Pool, choose, count_strategies
    from magface_al.choosing.so_far import tell
    from magface_al.command.errors import UserError
    from magface_al.embedding.store import open_store
    from magface_al.metrics.cosine import magnitudes
    from magface_al.models.device import pick_device
    from magface_al.pairs.pair_file import write_pairs

    run.path = args.output_file.with_suffix(".manifest.json")
    check_identity_options(args.identity_from, args.identity_list)
    store = open_store(args.features_list, run, skip_bad_lines=args.skip_bad_lines)
    if len(store.names) < 2:
        raise UserError(f"{args.features_list}: 1 image, expected at least two to make a pair")
    people = named_identities(store.names, args.identity_from, args.identity_list)
    identity = np.unique(people, return_inverse=True)[1] if people else None
    device = pick_device(args.device, args.force_cpu)
    pool = Pool(store.names, store.unit(), magnitudes(store.embeddings), identity, device)
    asked = read_asked(args.answered, store, run)
    tell(args.features_list, pool.unit, asked, args.threshold, args.seed, run)

    wishes = Wishes(args.budget, args.strategy, args.threshold, args.random_share, args.max_per_image)
    with tqdm(total=len(pool.names), unit="image", desc="all pairs") as progress:
        pairs = choose(pool, asked, wishes, np.random.default_rng(args.seed), progress.update)
    if not pairs:
        raise UserError(
            f"{args.features_list}: every pair has been asked about or follows from the answers; nothing is left"
        )
    if len(pairs) < args.budget:
        run.note(
            f"only {len(pairs)} of the {args.budget} pairs wanted could be found; raise --max_per_image, or bring more images"
        )
    by_strategy = count_strategies(pairs)
    run.facts["chosen_by"] = by_strategy
    made_by = {"strategy": args.strategy, "seed": args.seed, "features": str(args.features_list)}
    write_pairs(args.output_file, pairs, **made_by, threshold=args.threshold, root=store.root())
    counts = ", ".join(f"{count} {strategy}" for strategy, count in by_strategy.items())
    run.output(args.output_file, f"{counted(len(pairs), 'pair')} to ask about ({counts})")
    files = ["--pairs_file", args.output_file, "--feedback_file", "feedback.json"]
    run.suggest("python", "label_pairs.py", *files)


if __name__ == "__main__":
    cli.run(build_parser(), main)
