"""Pixels to a network's input."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
import torch

from magface_al.faces.preprocess import PRESETS, decode_image, to_input
from tests.support.scripts import ROOT


def test_channel_order_and_range_are_the_presets():
    face = np.zeros((1, 2, 2, 3), np.uint8)
    face[..., 0] = 255  # pure blue, BGR
    for name, first, last in [("magface", 1, 0), ("magface-rgb", 0, 1), ("arcface", -1, 1), ("adaface", 1, -1)]:
        planes = to_input(torch.from_numpy(face), PRESETS[name])
        assert (planes[0, 0].unique().item(), planes[0, 2].unique().item()) == (first, last)


def png(width, height):
    """The smallest file that says it is a picture of so many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1 << 16, 1 << 16), (1 << 21, 1), (1, 1 << 21), (0, 0), (2**31 - 1, 2**31 - 1)])
def test_a_file_that_says_it_has_more_pixels_than_a_photo_is_no_picture(size):
    with pytest.raises(ValueError, match="not an image|more pixels than a photo has"):
        decode_image(png(*size))


@pytest.mark.process
def test_pictures_are_bounded_before_opencv_unpacks_them(tmp_path):
    """A thousand bytes that say 10,000 x 10,000; OpenCV's own bound is ten times higher."""
    (tmp_path / "bomb.png").write_bytes(png(10_000, 10_000))
    program = "from magface_al.embedding.embedder import read_batch\nprint(read_batch([('bomb.png', 'bomb.png')], 112).failures)"
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    surroundings.pop("OPENCV_IO_MAX_IMAGE_PIXELS", None)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[('bomb.png', 'more pixels than a photo has, expected the picture of a face')]\n"


@pytest.mark.parametrize("side", [1, 2])
def test_a_thread_of_pixels_is_resized_or_refused(side):
    long = np.zeros((side, 1_000_000, 3), np.uint8)
    data = cv2.imencode(".png", long)[1].tobytes()
    try:
        assert decode_image(data)[0].shape == (112, 112, 3)
    except ValueError as error:
        assert "resize" in str(error)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\xff\xd8\xff", b"BM", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"\x89PNG\r\n\x1a\n", bytes(1000)]
)
def test_beginnings_of_pictures_are_none(data):
    with pytest.raises(ValueError):
        decode_image(data)


@pytest.mark.parametrize("harm", ["announces", "cut"])
def test_a_png_that_announces_more_than_it_has_is_refused_before_room_is_made_for_it(tmp_path, harm):
    data = cv2.imencode(".png", np.zeros((112, 112, 3), np.uint8))[1].tobytes()
    at = data.index(b"IDAT") - 4
    harmed = data[:at] + b"\x80" + data[at + 1 :] if harm == "announces" else data[:-20]
    assert decode_image(data)[0].shape == (112, 112, 3)
    with pytest.raises(ValueError, match="a PNG that was cut short"):
        decode_image(harmed)
