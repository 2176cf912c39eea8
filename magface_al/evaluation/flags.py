"""The flags that evaluation scripts share. Imports no torch, so --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from magface_al.command import numbers
from magface_al.command.errors import UserError
from magface_al.metrics import bootstrap


class Described(Protocol):
    """An entry of a table of choices."""

    @property
    def meaning(self) -> str:
        """What the choice means, in a few words."""
        ...


def add_choice(group: argparse._ActionsContainer, flag: str, what: str, table: Mapping[str, Described]) -> None:
    """A flag that takes a name of the table, the first by default; --help says what each of them means."""
    meanings = "; ".join(f"{name}: {entry.meaning}" for name, entry in table.items())
    text = f"{what}. {meanings}".replace("%", "%%")
    group.add_argument(flag, choices=list(table), default=next(iter(table)), help=text)


def add_root_option(group: argparse._ActionsContainer) -> None:
    """--root."""
    meaning = "folders that relative image paths may start from"
    group.add_argument("--root", type=Path, nargs="+", default=[], metavar="DIR", help=meaning)


def add_bootstrap_options(group: argparse._ActionsContainer, when: str = "") -> None:
    """--resamples, --seed. when: the case in which they are used, for --help."""
    meaning = f"{when}bootstrap resamples of the people behind the intervals"
    group.add_argument("--resamples", type=numbers.positive_int, default=bootstrap.RESAMPLES, help=meaning)
    group.add_argument("--seed", type=numbers.seed, default=bootstrap.SEED, help="of the bootstrap")


def require_model(checkpoint: object, features_list: object) -> None:
    """Raises UserError where neither weights nor their embeddings are given."""
    if not checkpoint and not features_list:
        raise UserError("give --checkpoint to embed the images, or --features_list with their embeddings, or both")
