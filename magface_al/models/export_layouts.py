"""The layouts in which export writes weights, by name. Imports no torch, so that flags can list them; export.py writes them.

A new layout is a line here; that it can be read again is up to layouts.PREFIXES.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportLayout:
    """What a training code's own programs expect of a file of weights.

    prefix: what every key begins with. family: of backbone.FAMILIES, whose BatchNorm eps and input convention those
    programs have built in. folds_last_weight: they keep the last BatchNorm's weight at 1. bare: a .pth holds tensors and
    nothing else, so no input convention.
    """

    prefix: str
    family: str
    folds_last_weight: bool = False
    bare: bool = False


EXPORT_LAYOUTS = {
    "magface": ExportLayout("features.module.", "magface"),
    "insightface": ExportLayout("", "arcface", folds_last_weight=True, bare=True),
}
DEFAULT = "magface"  # what this project writes
