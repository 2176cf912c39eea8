"""What the pages may ask: the calls of one table and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from magface_al.labelling.web.api import Api, Site

CALLS = {"session", "events", "next", "release", "grid", "history", "progress", "review", "contradictions", "report", "export"}  # fmt: skip


@pytest.fixture
def site():
    return Site(annotator="ann", store_id="s", next_commands=["python x.py"], csv_path=Path("f.csv"))


def test_the_calls_are_those_of_the_table(site):
    assert set(Api(None, site).calls()) == CALLS
    trouble = SimpleNamespace(export_error="f.json: No space left on device")
    assert Api(trouble, site).calls()["session"]({}) == {
        "annotator": "ann",
        "store": "s",
        "next": ["python x.py"],
        "export_error": "f.json: No space left on device",
    }


def test_another_method_is_no_request(site, monkeypatch):
    monkeypatch.setattr(Api, "delete_everything", lambda self, body: {}, raising=False)
    assert set(Api(None, site).calls()) == CALLS
