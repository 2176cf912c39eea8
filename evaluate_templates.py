"""IJB-B and IJB-C (1:1 and 1:N) and TinyFace, for one or more models, from feature stores.

reads    --features_list  stores written by gen_features.py, a row of the table each; --meta  the folder and beginning of
         IJB's meta files (IJBC/meta/ijbc), or --tinyface for a store of TinyFace's Testing_Set
writes   --output_dir     results.md, results.json, roc.png (1:1), cmc.png (1:N)
example  python evaluate_templates.py --features_list ijbc.npy --meta IJBC/meta/ijbc --pooling magnitude

Figures at a FAR are those of the largest TAR whose FAR does not exceed it, with the FAR attained in results.json. Rank-k is
the share of the probes whose person is found within the k best; ties count against the model. arcface_torch's figures:
gen_features.py --flip sum, then --pooling insightface --far_rule nearest. IJB itself comes from NIST, on application.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command import cli
from magface_al.command.run import Run

if TYPE_CHECKING:
    import numpy as np

    from magface_al.embedding.store import FeatureStore
    from magface_al.evaluation.ijb import IJB
    from magface_al.metrics.roc import Curve

POOLINGS = ("magnitude", "uniform", "detection", "insightface", "magface", "adaface")


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--features_list", type=Path, nargs="+", required=True, metavar="FEATURES", help="feature stores, text or .npy"
    )
    protocol = files.add_mutually_exclusive_group(required=True)
    protocol.add_argument("--meta", type=Path, metavar="PREFIX", help="folder and beginning of IJB's meta files")
    protocol.add_argument("--tinyface", action="store_true", help="the stores hold TinyFace's Testing_Set")
    files.add_argument("--output_dir", type=Path, default=Path("templates"), help="folder for everything written")
    files.add_argument(
        "--allow_failures", action="store_true", help="leave out images that a store lacks, instead of stopping"
    )
    figures = parser.add_argument_group("figures")
    figures.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="magnitude",
        help="what an image weighs: its magnitude, nothing, its detection score, both (insightface), or as MagFace or AdaFace do",
    )
    figures.add_argument(
        "--far_rule",
        choices=["at_most", "nearest"],
        default="at_most",
        help="the FAR read: the highest not above the target, or, as upstream, the nearest, which may exceed it",
    )
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.files import replacing, write_json
    from magface_al.embedding.store import read_features
    from magface_al.evaluation.results import distinct_names

    ijb = None if args.tinyface else read_meta(args, run)
    results: dict[str, dict[str, Any]] = {}
    curves: dict[str, Curve] = {}
    for model, path in zip(distinct_names([str(path) for path in args.features_list]), args.features_list, strict=True):
        store = read_features(path)
        run.input(path, f"{len(store.names)} embeddings of {store.embeddings.shape[1]} values")
        results[model] = {"flip": store.flip()}
        if ijb is None:
            results[model] |= tinyface(store)
        else:
            figures, curves[model] = ijb(store, all_rows(args, ijb, store, run))
            results[model] |= figures

    text = f"{describe(args)}\n\n{tables(results)}"
    print(f"\n{text}")
    args.output_dir.mkdir(parents=True, exist_ok=True)
    run.path = args.output_dir / "manifest.json"
    with replacing(args.output_dir / "results.md") as file:
        file.write(text)
    settings = (
        {"protocol": "TinyFace"}
        if ijb is None
        else {"protocol": "IJB", "pooling": args.pooling, "far_rule": args.far_rule}
    )
    rows = [{"model": model, **result} for model, result in results.items()]
    write_json(args.output_dir / "results.json", {**settings, "results": rows})
    pictures = draw(args.output_dir, results, curves)
    run.output(args.output_dir, ", ".join(["results.md", "results.json", *pictures]))


def read_meta(args: argparse.Namespace, run: Run) -> IJB:
    """IJB's meta files, before any feature store."""
    from tqdm import tqdm

    from magface_al.evaluation.ijb import IJB

    ijb = IJB(args.meta, args.pooling, args.far_rule, lambda total, of: tqdm(total=total, unit=of, unit_scale=True))
    run.input(ijb.faces_path, f"{len(ijb.faces.names)} faces")
    run.input(ijb.pairs_path, f"{len(ijb.same)} template pairs ({int(ijb.same.sum())} genuine)")
    for path, roster in ijb.galleries.items():
        run.input(path, f"a gallery of {len(roster.template)} templates")
    if not ijb.galleries:
        run.note(f"no {args.meta.name}_1N_gallery_*.csv in {args.meta.parent}, so there is no 1:N search")
    return ijb


def all_rows(args: argparse.Namespace, ijb: IJB, store: FeatureStore, run: Run) -> np.ndarray:
    """Where each face stands in the store. Raises UserError if some are absent, unless that is allowed."""
    from magface_al.command.errors import UserError

    rows = ijb.rows(store)
    absent = [name for name, row in zip(ijb.faces.names, rows, strict=True) if row < 0]
    if absent:
        message = f"{store.path}: {len(absent)} of {len(rows)} faces have no embedding (first: {absent[0]})"
        if not args.allow_failures or len(absent) == len(rows):
            raise UserError(f"{message}; embed them, or give --allow_failures to leave them out")
        run.note(f"{message}; they are left out")
    return rows


def tinyface(store: FeatureStore) -> dict[str, Any]:
    """TinyFace's figures."""
    from magface_al.evaluation.ijb import tinyface as figures

    return figures(store)


def describe(args: argparse.Namespace) -> str:
    """What the figures depend on, in one line."""
    return (
        "TinyFace, closed set"
        if args.tinyface
        else f"pooling {args.pooling}, FAR {args.far_rule.replace('_', ' ')} the target"
    )


def tables(results: dict[str, dict[str, Any]]) -> str:
    """1:1 and 1:N, a row a model (and gallery)."""
    from magface_al.evaluation.ijb import FPIRS, RANKS
    from magface_al.evaluation.results import markdown_table
    from magface_al.metrics.roc import FAR_TARGETS, LABELS, percent

    shown = ""
    if any("auc" in result for result in results.values()):
        names = [*(f"tar_at_far_{far:g}" for far in reversed(FAR_TARGETS)), "auc", "eer"]
        rows = [
            [model, result["flip"], *(percent(name, result[name]) for name in names)]
            for model, result in results.items()
        ]
        shown += markdown_table(["1:1", "flip", *(LABELS[name] for name in names)], rows, left=2) + "\n"
    rates = [f"rank_{rank}" for rank in RANKS] + [f"tpir_at_fpir_{fpir:g}" for fpir in FPIRS]
    header = [
        "1:N",
        "gallery",
        "probes with mate",
        *(f"rank-{rank}" for rank in RANKS),
        *(f"TPIR @ FPIR {fpir:g}" for fpir in FPIRS),
    ]
    rows = [
        [model, gallery, str(found["probes_with_mate"])]
        + [
            ("" if name not in found else "insufficient data" if found[name] is None else percent(name, found[name]))
            for name in rates
        ]
        for model, result in results.items()
        for gallery, found in result.get("identification", {}).items()
    ]
    return shown + (markdown_table(header, rows, left=2) if rows else "")


def draw(folder: Path, results: dict[str, dict[str, Any]], curves: dict[str, Curve]) -> list[str]:
    """roc.png and cmc.png, of whichever there is; returns their names."""
    from magface_al.pictures.canvas import save_figure
    from magface_al.pictures.curves import cmc_figure, roc_figure

    pictures = {}
    if curves:
        impostors = next(iter(results.values()))["impostor_pairs"]
        pictures["roc.png"] = roc_figure({"template pairs, 1:1": (impostors, curves)})
    found = {
        f"{model}, {gallery}": of_gallery["cmc"]
        for model, result in results.items()
        for gallery, of_gallery in result.get("identification", {}).items()
        if of_gallery["cmc"] is not None
    }
    if found:
        pictures["cmc.png"] = cmc_figure(found)
    for name, figure in pictures.items():
        save_figure(figure, folder / name)
    return list(pictures)


if __name__ == "__main__":
    cli.run(build_parser(), main)
