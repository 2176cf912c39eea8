"""A disk that is full while weights are written: the file is named, and the old one stays."""

from __future__ import annotations

import resource
import signal

import pytest
import torch

from magface_al.models.checkpoint import load_backbone
from magface_al.models.export import export_model
from magface_al.models.saving import save_torch


@pytest.fixture
def full_disk():
    """No file of this process may grow beyond 100 KB, as if the disk had no more room."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("sizes", [(60_000,), (3_000,) * 40, (24_000, 1_000, 10)], ids=["large", "small", "at the end"])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, full_disk, sizes):
    path = tmp_path / "w.pth"
    save_torch(path, {"old": torch.ones(3)})
    with pytest.raises(OSError, match="File too large: .*w.pth'"):
        save_torch(path, {str(number): torch.zeros(size) for number, size in enumerate(sizes)})
    assert torch.equal(torch.load(path, weights_only=True)["old"], torch.ones(3))
    assert [found.name for found in tmp_path.iterdir()] == ["w.pth"]


@pytest.mark.parametrize(("suffix", "layout"), [("pth", None), ("pth", "insightface"), ("safetensors", None)])
def test_an_export_too(tmp_path, adaface, full_disk, suffix, layout):
    path = tmp_path / f"w.{suffix}"
    path.write_text("old")
    with pytest.raises(OSError, match=f"File too large: .*w.{suffix}'"):
        export_model(load_backbone(adaface), path, layout)
    assert path.read_text() == "old"


def test_the_script_says_it_in_one_line(tmp_path, adaface, full_disk, run_script):
    (tmp_path / "w.pth").write_text("old")
    done = run_script("export_model.py", "--checkpoint", adaface, "--output_file", "w.pth", code=1)
    assert "w.pth: File too large; files written before stay as they were" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "w.pth").read_text() == "old"
