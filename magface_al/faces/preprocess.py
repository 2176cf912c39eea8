"""From the bytes of an image file to the network's input: the one place that knows channel order and range."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from magface_al.command.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    import torch


LARGEST_FACE = 4096  # pixels of a side; networks take 112
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_PICTURE = 64 << 20  # bytes of a file; a photo has a few MiB, and an endless one would fill the memory
# a few kilobytes can say that they are 2**30 pixels: magface_al/__init__.py bounds what OpenCV unpacks


@dataclass(frozen=True)
class Preprocessing:
    """The input convention a network was trained with; it belongs to the weights, not to a script.

    channel_order is "BGR" or "RGB". The network sees (x / 255 - mean) / std, the same for the three channels.
    size is the side of the square, aligned face in pixels.
    """

    channel_order: str
    mean: float
    std: float
    size: int = 112

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON, for manifests and checkpoints."""
        return asdict(self)

    @classmethod
    def of(cls, record: Any) -> Preprocessing:
        """From what to_dict has written; early records have no size. Raises ValueError for anything else."""
        known = cls.__dataclass_fields__.keys()
        if isinstance(record, dict) and known - {"size"} <= record.keys() <= known:
            found = cls(**record)
            numbers = found.mean, found.std
            if (
                found.channel_order in ("BGR", "RGB")
                and all(type(number) in (int, float) and abs(number) < 1e6 for number in numbers)
                and found.std > 0
                and type(found.size) is int
                and 0 < found.size <= LARGEST_FACE
            ):
                return found
        raise ValueError(f"{str(record)[:80]} is no input convention")

    def name(self) -> str:
        """The preset's name, or the values themselves when it is none of them."""
        for name, preset in PRESETS.items():
            if preset == self:
                return name
        return f"{self.channel_order} (x/255 - {self.mean:g}) / {self.std:g} at {self.size} px"


# Sources: MagFace dataloader/dataloader.py and inference/gen_feat.py @99bae614 (cv2.imread, divided by 255, no colour
# conversion); arcface_torch/dataset.py; AdaFace inference.py @c60eaa78; InsightFace's MXNet graphs (x - 127.5) * 0.0078125.
PRESETS = {
    "magface": Preprocessing("BGR", 0.0, 1.0),
    "magface-rgb": Preprocessing("RGB", 0.0, 1.0),
    "arcface": Preprocessing("RGB", 0.5, 0.5),
    "adaface": Preprocessing("BGR", 0.5, 0.5),
    "arcface-mxnet": Preprocessing("RGB", 127.5 / 255, 128 / 255),
}


def read_picture(path: str | Path) -> bytes:
    """A picture's file, as it is. Raises ValueError with the reason for what is no regular file of at most LARGEST_PICTURE."""
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST_PICTURE:
                raise ValueError(f"larger than {LARGEST_PICTURE >> 20} MiB, expected the picture of a face")
            return file.read()
    except OSError as error:
        raise ValueError(error.strerror or "cannot be read") from None


def decode_picture(source: str | Path | bytes) -> np.ndarray:
    """Read an image as uint8 [height, width, 3] in BGR, as cv2.imread would (EXIF rotation applied, grey made BGR).

    source is the path of an image file, or the bytes of one. Raises ValueError with the reason when it is no readable image.
    """
    import cv2  # imported here because it takes longer than all of --help

    # not cv2.imread: it returns None on any failure, and cannot open some paths
    data = source if isinstance(source, bytes) else read_picture(source)
    if not data:
        raise ValueError("the file is empty")
    if data.startswith(PNG) and not _holds_its_chunks(data):
        raise ValueError("a PNG that was cut short")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in error.err:
            raise ValueError("more pixels than a photo has, expected the picture of a face") from None
        raise ValueError(f"not an image that OpenCV can decode ({error.err})") from None
    if image is None:
        raise ValueError("not an image that OpenCV can decode")
    return image


def decode_image(source: str | Path | bytes, size: int = 112) -> tuple[np.ndarray, bool]:
    """Read a face image as uint8 [size, size, 3] in BGR, see decode_picture.

    The second value says whether the image had another size and was resized, which is fine for an aligned face and
    wrong for an unaligned photo. Raises ValueError with the reason when the file is no readable image.
    """
    import cv2  # as in decode_picture

    image = decode_picture(source)
    if image.shape[:2] == (size, size):
        return image, False
    shrinking = min(image.shape[:2]) > size
    try:
        resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    except cv2.error as error:  # a side beyond OpenCV's own limits
        height, width = image.shape[:2]
        raise ValueError(f"OpenCV cannot resize {width}x{height} pixels ({error.err})") from None
    return resized, True


def _holds_its_chunks(data: bytes) -> bool:
    """Whether a PNG's chunks end where it ends: OpenCV makes room for what a chunk announces, up to 4 GiB."""
    place = len(PNG)
    while place + 8 <= len(data):
        place += 12 + int.from_bytes(data[place : place + 4], "big")  # length, name, content, checksum
    return place <= len(data)


def to_input(faces: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """uint8 [B, size, size, 3] BGR, on any device -> float32 [B, 3, size, size], channels_last, as the network expects."""
    if preprocessing.channel_order == "RGB":
        faces = faces.flip(-1)
    planes = faces.permute(0, 3, 1, 2).float()  # the strides of NHWC are what channels_last wants: no copy
    if preprocessing.mean == 0.0 and preprocessing.std == 1.0:
        return planes.div_(255)
    return planes.div_(255).sub_(preprocessing.mean).div_(preprocessing.std)
