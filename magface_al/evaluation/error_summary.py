"""The figures of one model on labelled pairs, with intervals: error_summary.json, and as rows for a screen or a page."""

from __future__ import annotations

from typing import Any

from magface_al.embedding.pair_scores import PairScores
from magface_al.metrics import bootstrap, roc
from magface_al.pairs.chosen import mined, mined_in_words
from magface_al.pairs.people import pair_identities


def summarize(scores: PairScores, threshold: float, seed: int) -> dict[str, Any]:
    """error_summary.json: counts, rates, curves' figures, and 95 % intervals over identities."""
    same = scores.pair_file.labels()
    figures = roc.Figures(scores.similarity, same, threshold)
    counts = roc.confusion(scores.similarity, same, threshold)
    best, best_accuracy = roc.best_threshold(scores.similarity, same)
    resamples = bootstrap.identity_resamples(*pair_identities(scores.pair_file.pairs), seed)
    return {
        **figures(),
        **vars(counts),
        "threshold": threshold,
        "pairs": len(same),
        "genuine_pairs": int(same.sum()),
        "impostor_pairs": int((~same).sum()),
        "chosen_by_errors": int(mined(scores.pair_file.pairs).sum()),
        "note": _note(scores),
        "best_threshold": best,
        "best_threshold_accuracy": best_accuracy,
        "intervals_95": bootstrap.intervals(figures, resamples),
    }


def _note(scores: PairScores) -> str | None:
    """What the rates are not, where errors chose pairs."""
    chosen = mined_in_words(scores.pair_file.pairs)
    return chosen and f"{chosen}: these rates are of such pairs, not of faces at large"


def summary_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of summarize as (name, value [interval])."""
    rows = [
        ("pairs", f"{summary['pairs']} ({summary['genuine_pairs']} genuine, {summary['impostor_pairs']} impostor)"),
        *([("note", summary["note"])] if summary["note"] else []),
        ("false positives", str(summary["false_positives"])),
        ("false negatives", str(summary["false_negatives"])),
    ]
    for name, label in roc.LABELS.items():
        value, limits = roc.percent(name, summary[name]), summary["intervals_95"][name]
        if limits is not None and summary[name] is not None:
            value += f"  [{roc.percent(name, limits[0])}, {roc.percent(name, limits[1])}]"
        rows.append((label, value))
    if summary["best_threshold"] is not None:
        accuracy = roc.percent("accuracy", summary["best_threshold_accuracy"])
        rows.append(("best threshold", f"{summary['best_threshold']:.3f} (accuracy {accuracy} on these very pairs)"))
    return rows
