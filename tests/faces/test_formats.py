"""The table of picture formats, and that nobody has another one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from magface_al.conversion.unpack import rec_to_folder
from magface_al.faces import formats
from magface_al.faces.label_map import folder_labels
from magface_al.faces.recordio import pack
from magface_al.faces.sources import open_source
from magface_al.faces.train_list import folder_entries
from magface_al.pairs.verification_sets import read_verification_set
from tests.support.records import write_records

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def avif(monkeypatch):
    """A format that the table gets for a test."""
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, formats.Format("image/avif", (".avif",), b"AVIF")))
    monkeypatch.setattr(formats, "IMAGE_SUFFIXES", (*formats.IMAGE_SUFFIXES, ".avif"))


def test_the_suffixes_are_those_of_the_formats():
    assert formats.IMAGE_SUFFIXES == (".jpg", ".jpeg", ".png", ".bmp", ".webp")
    assert formats.suffix_of(b"RIFF1234WEBPrest") == ".webp"
    assert formats.suffix_of(b"unknown") == ".jpg"
    assert formats.is_image("A/B.JPEG")
    assert not formats.is_image("notes.txt")
    assert not formats.is_image(".png")


def test_a_format_that_is_added_is_found_by_every_reader(tmp_path, avif):
    (tmp_path / "set" / "ann").mkdir(parents=True)
    (tmp_path / "set" / "ann" / "ann_0001.avif").write_bytes(b"AVIF1")
    labels = folder_labels(tmp_path / "set")
    assert list(folder_entries(tmp_path / "set", labels)) == [(str(tmp_path / "set" / "ann" / "ann_0001.avif"), 0)]
    with open_source(tmp_path / "set") as source:
        assert source.read(0) == tmp_path / "set" / "ann" / "ann_0001.avif"
    (tmp_path / "set" / "pairs.txt").write_text("ann\t1\t1\n")
    assert read_verification_set(tmp_path / "set" / "pairs.txt").pairs[0].image1 == "ann/ann_0001.avif"
    write_records(tmp_path / "train.rec", {1: pack((0.0,), 1, b"AVIF2")})
    rec_to_folder(tmp_path / "train.rec", tmp_path / "out", lambda: None)
    assert (tmp_path / "out" / "000000" / "000000001.avif").read_bytes() == b"AVIF2"


def test_nobody_else_lists_suffixes():
    sources = [*(ROOT / "magface_al").rglob("*.py"), *ROOT.glob("*.py")]
    others = [path for path in sources if re.search(r"[\"'](?:\.jpeg|\.bmp|\.webp)[\"']", path.read_text())]
    assert [path.name for path in others] == ["formats.py"]
