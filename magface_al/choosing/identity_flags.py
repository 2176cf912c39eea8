"""The flags that say who the images of a store show, and what they say. Imports no torch, so --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.faces.identities import identities_of


def add_identity_options(group: argparse._ActionsContainer, sources: Sequence[str], meaning: str) -> None:
    """--identity_from, whose default is the first of the sources, and --identity_list."""
    group.add_argument("--identity_from", choices=sources, default=sources[0], help=meaning)
    group.add_argument(
        "--identity_list",
        type=Path,
        metavar="LIST",
        help="lines of `path identity`, or MagFace training lines `path 0 id 0`",
    )


def check_identity_options(identity_from: str, identity_list: Path | None) -> None:
    """Raises UserError for flags that do not go together."""
    if (identity_from == "list") != (identity_list is not None):
        raise UserError("--identity_from list and --identity_list belong together; give both or neither")


def named_identities(images: Sequence[str], identity_from: str, identity_list: Path | None) -> list[str]:
    """The identity of each image; [] for "none"."""
    return [] if identity_from == "none" else identities_of(images, identity_list)
