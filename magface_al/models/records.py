"""What we record beside weights, as `magface_al`: who trained them, their input convention, BatchNorm eps, how they were made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from magface_al.command.errors import UserError
from magface_al.command.words import shown
from magface_al.faces.preprocess import Preprocessing
from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.backbone import FAMILIES

OUR_KEY = "magface_al"


def parse_record(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Our record out of a file's text metadata; an empty dictionary if it has none. Raises UserError."""
    try:
        record = json.loads(metadata.get(OUR_KEY, "{}"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its metadata {OUR_KEY} is not JSON ({error}); export it again") from None
    if not isinstance(record, dict):
        raise UserError(f"{path}: its metadata {OUR_KEY} is no dictionary; export it again")
    return checked_record(path, record)


def checked_record(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Our record as it is, if all that is read from it has a meaning. Raises UserError, naming the key."""

    def refuse(key: str, expected: str) -> NoReturn:
        found = shown(record[key])
        raise UserError(f"{path}: its record {OUR_KEY} says {key} {found}, expected {expected}; export it again")

    try:
        json.dumps(record)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: its record {OUR_KEY} is not plain JSON ({error}); export it again") from None
    if "arch" in record and record["arch"] not in list(ARCHITECTURES):  # a list, because it may be unhashable
        refuse("arch", f"one of {', '.join(ARCHITECTURES)}")
    if "family" in record and record["family"] not in list(FAMILIES):
        refuse("family", f"one of {', '.join(FAMILIES)}")
    if "bn_eps" in record and not _is_number(record["bn_eps"], above=0):
        refuse("bn_eps", "a positive number")
    if "preprocessing" in record:
        try:
            Preprocessing.of(record["preprocessing"])
        except ValueError:
            refuse("preprocessing", "channel_order BGR or RGB, mean, std above 0, and size")
    return record


def _is_number(value: Any, above: float = -math.inf) -> bool:
    return type(value) in (int, float) and above < value < 1e6
