"""The labeller as label_pairs.py uses it, without the network: opened, looked at from every page, answered, exported."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from magface_al.command.errors import UserError
from magface_al.labelling.assignment import Settings
from magface_al.labelling.opening import open_labeller
from magface_al.labelling.web.api import Api, Site
from magface_al.pairs.pair_file import read_pairs

BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("session", {}),
    ("progress", {}),
    ("next", {"count": 10, "holding": [], "pending": []}),
    ("grid", {"holding": []}),
    ("history", {}),
    ("review", {"show": "all", "by": "", "search": "a"}),
    ("contradictions", {}),
    ("report", {}),
    ("export", {}),
)


def label(gold: bool = False, studio: bool = False) -> list[tuple[str, str, int | None]]:
    """Open, ask for every page as a browser does, give an answer, export. Returns the exported labels."""
    pair_file = read_pairs(Path("pairs.json"))
    gold_file = read_pairs(Path("gold.json")).labelled() if gold else None
    tasks = Path("tasks.json") if studio else None
    settings = Settings(overlap=2, gold_share=0.2, infer=True, relabel=True)
    opened = open_labeller(pair_file, Path("feedback.json"), settings, gold_file, tasks, lambda said: None)
    try:
        api = Api(opened.labeller, Site("ann", opened.store_id, [], Path("feedback.csv")))
        for name, body in BODIES:
            _call(api, name, body)
        for question in _call(api, "next", {"count": 1})["pairs"]:
            event = {"event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, question["pair"])), "pair_id": question["pair"]}
            event |= {"annotator": "ann", "answer": "same", "answered_at": "2026-05-05T03:02:01Z", "seconds": 1.5}
            _call(api, "events", {"events": [event]})
        exported = opened.labeller.export(Path("feedback.csv"))
    finally:
        opened.labeller.close()
    read_pairs(Path("feedback.json"))
    return [(pair.image1, pair.image2, pair.label) for pair in exported]


def send(path: Path) -> None:
    """A browser's request with this body. Refused where the server answers 400, as web/server.py does."""
    pair_file = read_pairs(Path("pairs.json"))
    opened = open_labeller(pair_file, Path("feedback.json"), Settings(), None, None, lambda said: None)
    try:
        api = Api(opened.labeller, Site(None, opened.store_id, [], Path("feedback.csv")))
        try:
            body = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            raise UserError(f"{path}: not JSON") from None
        if not isinstance(body, dict):
            raise UserError(f"{path}: expected a JSON object")
        for name, given in body.items():
            if isinstance(given, dict) and name in api.calls():
                try:
                    _call(api, name, given)
                except (KeyError, TypeError, ValueError) as error:
                    raise UserError(f"{path}: {type(error).__name__}: {' '.join(str(error).split())}") from None
        label_after = [_call(api, name, body) for name, body in BODIES]
        assert label_after
    finally:
        opened.labeller.close()


def _call(api: Api, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the server sends back, which is JSON without NaN: Starlette refuses to write anything else."""
    result = api.calls()[name]({"annotator": "ann", "client": "window", **body})
    json.dumps(result, allow_nan=False, ensure_ascii=False).encode()
    return result
