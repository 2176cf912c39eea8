"""What is said of the search of a gallery (1:N): rank-k rates, CMC, TPIR at FPIRs, and the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magface_al.evaluation.results import markdown_table
from magface_al.metrics.identification import Search
from magface_al.metrics.roc import percent

RANKS = (1, 5, 10, 20)
FPIRS = (0.01, 0.1)
Results = Mapping[str, Mapping[str, Any]]  # model -> its figures; "identification" holds gallery -> of_search


def of_search(done: Search, fpirs: Sequence[float] = ()) -> dict[str, Any]:
    """Rank-k rates, the CMC up to the highest of RANKS, and TPIR at FPIRs, for results.json."""
    cmc = done.cmc(max(RANKS))
    return {
        "probes": len(done.rank),
        "probes_with_mate": int(np.count_nonzero(done.rank)),
        **{f"rank_{rank}": None if cmc is None else float(cmc[rank - 1]) for rank in RANKS},
        **{f"tpir_at_fpir_{fpir:g}": done.tpir(fpir) for fpir in fpirs},
        "cmc": None if cmc is None else cmc.tolist(),
    }


def cmc_curves(results: Results) -> dict[str, list[float]]:
    """ "model, gallery" -> its CMC, where there is one."""
    return {f"{model}, {gallery}": found["cmc"] for model, gallery, found in _searches(results) if found["cmc"]}


def search_table(results: Results) -> str:
    """A row for each model in each gallery; empty if nothing was searched."""
    ranks = {f"rank_{rank}": f"rank-{rank}" for rank in RANKS}
    figures = ranks | {f"tpir_at_fpir_{fpir:g}": f"TPIR @ FPIR {fpir:g}" for fpir in FPIRS}
    rows = [
        [model, gallery, str(found["probes_with_mate"]), *(_shown(name, found) for name in figures)]
        for model, gallery, found in _searches(results)
    ]
    return markdown_table(["1:N", "gallery", "probes with mate", *figures.values()], rows, left=2) if rows else ""


def _searches(results: Results) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (model, gallery, found)
        for model, result in results.items()
        for gallery, found in result.get("identification", {}).items()
    ]


def _shown(name: str, found: Mapping[str, Any]) -> str:
    if name not in found:
        return ""
    return "insufficient data" if found[name] is None else percent(name, found[name])
