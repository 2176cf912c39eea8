"""IJB-B and IJB-C (1:1 and 1:N) and TinyFace, for one or more models, from feature stores.

reads    --features_list  stores written by gen_features.py, a row of the table each; --meta  the folder and beginning
         of IJB's meta files (IJBC/meta/ijbc), or --tinyface for a store of TinyFace's Testing_Set
writes   --output_dir     results.md, results.json, roc.png (1:1), cmc.png (1:N)
example  python evaluate_templates.py --features_list ijbc.npy --meta IJBC/meta/ijbc --pooling magnitude

Figures at a FAR are those of the largest TAR whose FAR does not exceed it, with the FAR attained in results.json.
Rank-k is the share of the probes whose person is found within the k best; ties count against the model. arcface_torch's
figures: gen_features.py --flip sum, then --pooling insightface --far_rule nearest. IJB itself comes from NIST, on
application.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from magface_al.command import cli
from magface_al.command.outputs import OutputFolder
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.evaluation import flags
from magface_al.evaluation.far_rules import FAR_RULES
from magface_al.evaluation.templates import POOLINGS


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--features_list", type=Path, nargs="+", required=True, metavar="FEATURES", help="feature stores, text or .npy"
    )
    protocol = files.add_mutually_exclusive_group(required=True)
    protocol.add_argument("--meta", type=Path, metavar="PREFIX", help="folder and beginning of IJB's meta files")
    protocol.add_argument("--tinyface", action="store_true", help="the stores hold TinyFace's Testing_Set")
    files.add_argument(
        "--output_dir", type=OutputFolder, default=OutputFolder("templates"), help="folder for everything written"
    )
    files.add_argument(
        "--allow_failures", action="store_true", help="leave out images that a store lacks, instead of stopping"
    )
    figures = parser.add_argument_group("figures")
    flags.add_choice(figures, "--pooling", "what an image weighs", POOLINGS)
    flags.add_choice(figures, "--far_rule", "the FAR read", FAR_RULES)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.outputs import refuse_inputs
    from magface_al.embedding.store import read_features
    from magface_al.evaluation.galleries import cmc_curves, search_table
    from magface_al.evaluation.ijb import IJB, verification_table
    from magface_al.evaluation.results import distinct_names, write_results
    from magface_al.evaluation.tinyface import tinyface
    from magface_al.metrics.roc import Curve
    from magface_al.pictures.canvas import save_figure
    from magface_al.pictures.curves import cmc_figure, roc_figure

    run.path = args.output_dir / "manifest.json"
    refuse_inputs(args.output_dir, ["results.md", "results.json", "roc.png", "cmc.png"])
    ijb = None if args.tinyface else IJB(args.meta, POOLINGS[args.pooling], FAR_RULES[args.far_rule], run)
    results: dict[str, dict[str, Any]] = {}
    curves: dict[str, Curve] = {}
    for model, path in zip(distinct_names([str(path) for path in args.features_list]), args.features_list, strict=True):
        store = read_features(path)
        run.input(path, f"{counted(len(store.names), 'embedding')} of {store.embeddings.shape[1]} values")
        if ijb is None:
            figures = tinyface(store)
        else:
            figures, curves[model] = ijb(store, args.allow_failures)
        results[model] = {"flip": store.flip(), **figures}

    settings, described = {"protocol": "TinyFace"}, "TinyFace, closed set"
    if ijb is not None:
        settings = {"protocol": "IJB", "pooling": args.pooling, "far_rule": args.far_rule}
        described = f"pooling {args.pooling}, FAR {args.far_rule.replace('_', ' ')} the target"
    text = "\n".join([f"{described}\n", *filter(None, [verification_table(results), search_table(results)])])
    print(f"\n{text}")
    rows = [{"model": model, **result} for model, result in results.items()]
    write_results(args.output_dir, "results", text, {**settings, "results": rows})
    pictures = {}
    if ijb is not None:
        pictures["roc.png"] = roc_figure({"template pairs, 1:1": (ijb.impostors, curves)})
    if ranked := cmc_curves(results):
        pictures["cmc.png"] = cmc_figure(ranked)
    for name, figure in pictures.items():
        save_figure(figure, args.output_dir / name)
    run.output(args.output_dir, ", ".join(["results.md", "results.json", *pictures]))


if __name__ == "__main__":
    cli.run(build_parser(), main)
