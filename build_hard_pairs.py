"""Choose the pairs of faces that a model finds hardest, from its embeddings.

reads    --features_list  a feature store written by gen_features.py (or by MagFace's gen_feat.py)
writes   --output_file    pairs JSON: same-person pairs of lowest and different-person pairs of highest cosine similarity
example  python build_hard_pairs.py --features_list features.npy --output_file hard_pairs.json --pos_target 6000 --neg_target 6000

strategies: exact = the hardest of all pairs; sampled = the hardest of candidate_mult times as many random pairs;
balanced = random pairs.
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

    from magface_al.choosing.mining import Mined


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--features_list", type=Path, required=True, metavar="FEATURES", help="feature store, text or .npy"
    )
    files.add_argument("--output_file", type=Path, required=True, metavar="PAIRS.json", help="pairs file to write")
    files.add_argument(
        "--skip_bad_lines", action="store_true", help="leave out malformed lines of a text store, and count them"
    )
    choice = parser.add_argument_group("choice of pairs")
    choice.add_argument(
        "--strategy", choices=["exact", "sampled", "balanced"], default="exact", help="how pairs are chosen"
    )
    choice.add_argument("--pos_target", type=numbers.non_negative_int, default=6000, help="same-person pairs wanted")
    choice.add_argument(
        "--neg_target", type=numbers.non_negative_int, default=6000, help="different-person pairs wanted"
    )
    choice.add_argument(
        "--candidate_mult", type=numbers.positive_int, default=6, help="sampled: random candidates per pair wanted"
    )
    choice.add_argument(
        "--max_per_image",
        type=numbers.non_negative_int,
        default=20,
        help="exact: pairs of each kind that one image may be in, so that a few faces do not fill the set; 0: no limit",
    )
    choice.add_argument(
        "--max_per_identity",
        type=numbers.non_negative_int,
        default=0,
        help="exact: pairs of each kind that one person may be in; 0: no limit",
    )
    choice.add_argument(
        "--identity_from",
        choices=["parent_dir", "list"],
        default="parent_dir",
        help="who an image shows: the name of its folder, or --identity_list",
    )
    choice.add_argument(
        "--identity_list",
        type=Path,
        metavar="LIST",
        help="lines of `path identity`, or MagFace training lines `path 0 id 0`",
    )
    choice.add_argument("--seed", type=int, default=42, help="seed of the random choices and of the order in the file")
    compute = parser.add_argument_group("compute")
    compute.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N, for the exact search")
    compute.add_argument("--force_cpu", action="store_true", help="the same as --device cpu")
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    import numpy as np

    from magface_al.command.errors import UserError
    from magface_al.embedding.store import read_features
    from magface_al.faces.identities import identities_of
    from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair, describe, write_pairs

    if (args.identity_from == "list") != (args.identity_list is not None):
        raise UserError("--identity_from list and --identity_list belong together; give both or neither")
    store = read_features(args.features_list, skip_bad_lines=args.skip_bad_lines)
    run.input(args.features_list, f"{len(store.names)} embeddings of {store.embeddings.shape[1]} values")
    if store.skipped_lines:
        run.note(f"{store.skipped_lines} malformed lines were left out")
    names = identities_of(store.names, args.identity_list)
    identity = np.unique(names, return_inverse=True)[1]
    if identity.max() == 0:
        raise UserError(
            f"{args.features_list}: all {len(names)} images show one identity ({names[0]!r}), expected at least two; "
            "identities come from the images' folders unless --identity_list gives them"
        )

    rng = np.random.default_rng(args.seed)
    chosen = choose(args, store.unit(), identity, rng)
    pairs = [
        Pair(
            store.names[i],
            store.names[j],
            label,
            {"similarity": round(float(s), 6), "strategy": args.strategy, "identity1": names[i], "identity2": names[j]},
        )
        for label, (indices, similarity) in zip((SAME, DIFFERENT), chosen, strict=True)
        for (i, j), s in zip(indices.tolist(), similarity, strict=True)
    ]
    if not pairs:
        raise UserError(
            f"{args.features_list}: no pairs to choose from; expected people with two images, or two people"
        )
    rng.shuffle(pairs)
    run.facts["hardness"] = report_hardness(args, chosen, run)
    write_pairs(
        args.output_file,
        pairs,
        strategy=args.strategy,
        seed=args.seed,
        features=str(args.features_list),
        root=store.root(),
    )
    run.path = args.output_file.with_suffix(".manifest.json")
    run.output(args.output_file, describe(pairs))
    run.suggest(
        f"python visualize_errors.py --feedback_file {args.output_file} --features_list {args.features_list} "
        f"--threshold {THRESHOLD} --output_dir errors"
    )


def choose(
    args: argparse.Namespace, unit: np.ndarray, identity: np.ndarray, rng: np.random.Generator
) -> tuple[Mined, Mined]:
    """(genuine, impostor) pairs by the strategy asked for."""
    import torch
    from tqdm import tqdm

    from magface_al.choosing import mining
    from magface_al.models.device import pick_device

    if args.strategy != "exact":
        candidates = args.candidate_mult if args.strategy == "sampled" else 1
        return mining.sampled(unit, identity, args.pos_target, args.neg_target, candidates, rng)
    faces = torch.as_tensor(unit, device=pick_device(args.device, args.force_cpu))

    def impostors(count: int) -> mining.Mined:
        with tqdm(total=len(unit), unit="image", desc="mining") as progress:
            return mining.hardest_impostors(faces, identity, count, progress.update)

    caps = args.max_per_image, args.max_per_identity
    return (
        mining.capped(lambda count: mining.hardest_genuines(faces, identity, count), identity, args.pos_target, *caps),
        mining.capped(impostors, identity, args.neg_target, *caps),
    )


def report_hardness(args: argparse.Namespace, chosen: tuple[Mined, Mined], run: Run) -> dict[str, dict[str, float]]:
    """Print and return the quantiles of the similarities, and say where there were fewer pairs than wanted."""
    import numpy as np

    quantiles = {}
    for kind, wanted, (_, similarity) in zip(
        ("same", "different"), (args.pos_target, args.neg_target), chosen, strict=True
    ):
        if len(similarity) < wanted:
            run.note(
                f"only {len(similarity)} of the {wanted} {kind} pairs wanted exist"
                + (" within --max_per_image and --max_per_identity" if args.strategy == "exact" else "")
            )
        if len(similarity):
            values = np.quantile(similarity, [0, 0.25, 0.5, 0.75, 1])
            quantiles[kind] = {
                name: round(float(v), 4) for name, v in zip(("min", "q25", "median", "q75", "max"), values, strict=True)
            }
            print(
                f"{kind:>9} pairs: cosine "
                + ", ".join(f"{name} {value:+.3f}" for name, value in quantiles[kind].items())
            )
    return quantiles


if __name__ == "__main__":
    cli.run(build_parser(), main)
