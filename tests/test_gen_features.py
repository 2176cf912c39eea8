"""gen_features.py as a user runs it: whole, interrupted, with bad images, when the disk is full."""

from __future__ import annotations

import resource

import cv2
import numpy as np
import pytest
import torch

from magface_al.embedding.store import read_features
from magface_al.faces.preprocess import PRESETS, decode_image, to_input
from magface_al.models.checkpoint import load_backbone


@pytest.mark.parametrize("name", ["f.list", "f.npy"])
def test_rows_follow_the_list_and_equal_one_image_at_a_time(run_script, tmp_path, faces, tiny_checkpoint, name):
    done = run_script("gen_features.py", "--inf_list", faces / "images.list", "--feat_list", name, "--resume", tiny_checkpoint,
                      "--arch", "iresnet_tiny", "--batch_size", 7, "--workers", 2, "--force_cpu")  # fmt: skip
    store = read_features(tmp_path / name)
    assert store.names == (faces / "images.list").read_text().split()
    model = load_backbone(tiny_checkpoint).model
    with torch.no_grad():
        alone = [
            model(to_input(torch.from_numpy(decode_image(path)[0])[None], PRESETS["magface"])).numpy()[0]
            for path in store.names
        ]
    assert np.allclose(store.embeddings, alone, atol=1e-4)
    assert f"wrote 60 embeddings of 128 values to {name}" in done.stdout
    assert "magnitude (quality): min" in done.stdout
    assert "python build_hard_pairs.py" in done.stdout
    assert store.origin.entries["magnitude"]["max"] == pytest.approx(np.linalg.norm(alone, axis=1).max(), abs=1e-3)
    assert store.origin.entries["preprocessing"]["channel_order"] == "BGR"


def test_unreadable_images_are_named_and_everything_else_is_kept(run_script, tmp_path, faces, tiny_checkpoint):
    good = (faces / "images.list").read_text().split()[:3]
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image")
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((200, 150, 3), np.uint8))
    lines = [good[0], "empty.jpg", "", good[1], "text.jpg", "absent.jpg", "large.png", good[2] + " 0 7 0"]
    (tmp_path / "mixed.list").write_text("\n".join(lines))
    flags = ["--inf_list", "mixed.list", "--feat_list", "f.list", "--resume", tiny_checkpoint]
    done = run_script("gen_features.py", *flags, code=1)
    assert "3 of 7 images could not be read; listed in f.list.failed.txt" in done.stderr
    assert "1 image was not a 112 px square and was resized" in done.stderr
    assert (tmp_path / "f.list.failed.txt").read_text().splitlines() == [
        "empty.jpg\tthe file is empty", "text.jpg\tnot an image that OpenCV can decode", "absent.jpg\tNo such file or directory"]  # fmt: skip
    assert read_features(tmp_path / "f.list").names == [*good[:2], "large.png", good[2]]
    run_script("gen_features.py", *flags, "--allow_failures")


def test_bad_lists_are_refused(run_script, tmp_path, tiny_checkpoint):
    (tmp_path / "empty.list").write_text("\n\n")
    (tmp_path / "a face.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((112, 112, 3), np.uint8))[1].tobytes())
    (tmp_path / "space.list").write_text("a face.jpg\n")
    flags = ["--resume", tiny_checkpoint, "--feat_list"]
    assert (
        "no image paths in it"
        in run_script("gen_features.py", "--inf_list", "empty.list", *flags, "f.list", code=2).stderr
    )
    assert (
        "contains a space" in run_script("gen_features.py", "--inf_list", "space.list", *flags, "f.list", code=2).stderr
    )
    run_script("gen_features.py", "--inf_list", "space.list", *flags, "f.npy")
    assert read_features(tmp_path / "f.npy").names == ["a face.jpg"]
    (tmp_path / "file").touch()
    assert "file" in run_script("gen_features.py", "--inf_list", "space.list", *flags, "file/f.npy", code=2).stderr


def test_a_full_disk_leaves_the_old_store(run_script, run_process, tmp_path, faces, tiny_checkpoint):
    flags = ["--inf_list", faces / "images.list", "--feat_list", "f.list", "--resume", tiny_checkpoint]
    run_script("gen_features.py", *flags)
    before = (tmp_path / "f.list").read_bytes()
    done = run_process("gen_features.py", *flags, "--preprocessing", "arcface", code=1,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)))  # fmt: skip
    assert "File too large" in done.stderr
    assert (tmp_path / "f.list").read_bytes() == before
