"""Choose the pairs of faces that are worth asking a person about.

reads    --features_list  a feature store; --answered  files of earlier questions, whose pairs are not asked again
writes   --output_file    pairs JSON without labels, each with similarity, magnitudes, strategy and batch; a share of them
         is a random slice ("holdout": true, with its stratum and inclusion probability), which is never trained on
example  python choose_pairs.py --features_list features.npy --output_file ask.json --budget 200 --seed 42

strategies: uncertainty = nearest the threshold; hardest = similarity and neighbourhood disagree; diverse = promising and
spread over the embedding space; quality = hardest that can be recognised; mislabeled = given labels the model doubts;
random = baseline; mix = some of each. With --answered it also prints the error rates of the model that made the features,
as the random slices so far show them, and advice when to stop. "unsure" pairs stay without a label and count as asked.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.metrics.cosine import THRESHOLD

if TYPE_CHECKING:
    import numpy as np

    from magface_al.choosing.asked import Asked
    from magface_al.embedding.store import FeatureStore
    from magface_al.pairs.pair_file import Pair


STRATEGIES = ("uncertainty", "hardest", "diverse", "quality", "mislabeled", "random")


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--features_list", type=Path, required=True, metavar="FEATURES", help="feature store, text or .npy"
    )
    files.add_argument("--output_file", type=Path, required=True, metavar="ASK.json", help="pairs file to write")
    files.add_argument(
        "--answered", type=Path, nargs="+", default=[], metavar="FEEDBACK.json", help="files of pairs asked before"
    )
    files.add_argument(
        "--skip_bad_lines", action="store_true", help="leave out malformed lines of a text store, and count them"
    )
    choice = parser.add_argument_group("choice of pairs")
    choice.add_argument("--budget", type=numbers.positive_int, default=200, help="pairs to ask about")
    choice.add_argument("--strategy", choices=["mix", *STRATEGIES], default="mix", help="see above")
    choice.add_argument(
        "--threshold", type=numbers.cosine, default=THRESHOLD, help="cosine above which you call a pair same"
    )
    choice.add_argument(
        "--random_share", type=numbers.interval("[0, 1)"), default=0.15, help="share of the budget for the random slice"
    )
    choice.add_argument(
        "--max_per_image", type=numbers.non_negative_int, default=4, help="questions one image may be in; 0: no limit"
    )
    choice.add_argument(
        "--identity_from",
        choices=["none", "parent_dir", "list"],
        default="none",
        help="label that an image was given (to be doubted): none, the name of its folder, or --identity_list",
    )
    choice.add_argument("--identity_list", type=Path, metavar="LIST", help="lines of `path identity`")
    choice.add_argument("--seed", type=int, default=42, help="seed of the random choices and of the order in the file")
    compute = parser.add_argument_group("compute")
    compute.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N, for the pass over all pairs")
    compute.add_argument("--force_cpu", action="store_true", help="the same as --device cpu")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    import numpy as np
    from tqdm import tqdm

    from magface_al.choosing.questions import Wishes, choose
    from magface_al.command.errors import UserError
    from magface_al.embedding.store import read_features
    from magface_al.metrics.cosine import magnitudes
    from magface_al.models.device import pick_device
    from magface_al.pairs.pair_file import write_pairs

    store = read_features(args.features_list, skip_bad_lines=args.skip_bad_lines)
    run.input(args.features_list, f"{len(store.names)} embeddings of {store.embeddings.shape[1]} values")
    if store.skipped_lines:
        run.note(f"{store.skipped_lines} malformed lines were left out")
    if len(store.names) < 2:
        raise UserError(f"{args.features_list}: 1 image, expected at least two to make a pair")
    identity = given_identities(args, store.names)
    unit, magnitude, rng = store.unit(), magnitudes(store.embeddings), np.random.default_rng(args.seed)
    asked = read_asked(args, store, run)
    tell(args, asked, unit, run)

    wishes = Wishes(args.budget, args.strategy, args.threshold, args.random_share, args.max_per_image)
    device = pick_device(args.device, args.force_cpu)
    with tqdm(total=len(unit), unit="image", desc="all pairs") as progress:
        pairs = choose(unit, magnitude, store.names, asked, wishes, identity, device, rng, progress.update)
    if not pairs:
        raise UserError(
            f"{args.features_list}: every pair has been asked about or follows from the answers; nothing is left"
        )
    if len(pairs) < args.budget:
        run.note(
            f"only {len(pairs)} of the {args.budget} pairs wanted could be found; raise --max_per_image, or bring more images"
        )
    run.facts["chosen_by"] = count_strategies(pairs)
    write_pairs(args.output_file, pairs, strategy=args.strategy, seed=args.seed, features=str(args.features_list),
                threshold=args.threshold, root=store.root())  # fmt: skip
    run.path = args.output_file.with_suffix(".manifest.json")
    run.output(
        args.output_file,
        f"{len(pairs)} pairs to ask about ({', '.join(f'{n} {s}' for s, n in run.facts['chosen_by'].items())})",
    )
    run.suggest(f"python label_pairs.py --pairs_file {args.output_file} --feedback_file feedback.json")


def given_identities(args: argparse.Namespace, names: list[str]) -> np.ndarray | None:
    """int [N], equal where two images were given one name; None if --identity_from is none."""
    import numpy as np

    from magface_al.command.errors import UserError
    from magface_al.faces.identities import identities_of

    if (args.identity_from == "list") != (args.identity_list is not None):
        raise UserError("--identity_from list and --identity_list belong together; give both or neither")
    if args.identity_from == "none":
        return None
    return np.unique(identities_of(names, args.identity_list), return_inverse=True)[1]


def read_asked(args: argparse.Namespace, store: FeatureStore, run: Run) -> Asked:
    """The pairs of all --answered files."""
    from magface_al.choosing.asked import find_asked
    from magface_al.pairs.pair_file import describe, read_pairs
    from magface_al.pairs.people import contradictions

    files = [read_pairs(path) for path in args.answered]
    for path, file in zip(args.answered, files, strict=True):
        run.input(path, describe(file.pairs))
    asked, absent = find_asked(files, store)
    if absent:
        run.note(
            f"{absent} pairs asked before have an image that is not in {args.features_list}; they count for nothing here"
        )
    if wrong := contradictions(asked.entries):
        run.note(
            f"{len(wrong)} pairs are answered different although other answers make them one person "
            f"(first: {wrong[0].image1} and {wrong[0].image2}); some of these answers are wrong"
        )
    return asked


def tell(args: argparse.Namespace, asked: Asked, unit: np.ndarray, run: Run) -> None:
    """Print what the answers so far say: the error rates, and whether to stop."""
    import numpy as np

    from magface_al.choosing import error_estimate, mining, stopping

    if not len(asked.pairs):
        return
    found = error_estimate.estimate(unit, asked, args.threshold, np.random.default_rng(args.seed))
    if found is None:
        run.note(
            "no random slice has an answer in each of its strata yet, so the error cannot be estimated without bias"
        )
    else:
        print(
            f"over all pairs of {args.features_list}, at threshold {args.threshold:g}, from {found.answered} answers to random slices:"
        )
        print("\n".join(error_estimate.describe(found)))
        if found.open or found.batches_left_out:
            run.note(
                f"{found.open} pairs of these slices have no label, and {found.batches_left_out} slices were left out because a stratum has none"
            )
        run.facts["estimate"] = {"value": found.value, "interval_95": found.interval, "answers": found.answered}
    advice = stopping.advice(asked, mining.cosines(unit, asked.pairs), args.threshold)
    if advice:
        print(f"advice: {'; '.join(advice)}")
        run.facts["advice"] = advice


def count_strategies(pairs: list[Pair]) -> dict[str, int]:
    """strategy -> how many of the pairs it chose."""
    from collections import Counter

    return dict(sorted(Counter(pair.extra["strategy"] for pair in pairs).items()))


if __name__ == "__main__":
    cli.run(build_parser(), main)
