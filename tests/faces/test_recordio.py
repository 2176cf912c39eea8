"""RecordIO as MXNet writes it, and the traps of InsightFace's layout."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from magface_al.command.errors import UserError
from magface_al.faces.recordio import RecordFile, images_by_label, pack
from tests.support.records import write_records

MAGIC = struct.pack("<I", 0xCED7230A)


@pytest.mark.parametrize(
    "image",
    [b"", b"abc", MAGIC, b"1234" + MAGIC + b"5678", b"12" + MAGIC + b"3456", MAGIC * 3 + b"x", b"1234" + MAGIC],
    ids=["empty", "unaligned end", "magic alone", "aligned", "unaligned", "several", "at the end"],
)
def test_a_payload_that_holds_the_magic_comes_back_whole(tmp_path, image):
    write_records(tmp_path / "t.rec", {7: pack((3.0,), 7, image), 8: pack((1.0, 2.0), 8, b"next")})
    with RecordFile(tmp_path / "t.rec") as records:
        assert (records.read(7).labels, records.read(7).image) == ((3.0,), image)
        assert (records.read(8).labels, records.read(8).image) == ((1.0, 2.0), b"next")


def test_without_an_index_the_file_is_scanned(tmp_path):
    write_records(tmp_path / "t.rec", {key: pack((float(key % 2),), key, bytes([key]) * 9) for key in range(5)})
    (tmp_path / "t.idx").unlink()
    with RecordFile(tmp_path / "t.rec") as records:
        assert images_by_label(records) == {0: [0, 2, 4], 1: [1, 3]}
        assert records.read(3).image == bytes([3]) * 9


def test_a_truncated_file_names_the_offset(tmp_path):
    write_records(tmp_path / "t.rec", {1: pack((0.0,), 1, bytes(100)), 2: pack((0.0,), 2, bytes(100))})
    whole = (tmp_path / "t.rec").read_bytes()
    (tmp_path / "t.rec").write_bytes(whole[:-50])
    with pytest.raises(UserError, match="offset 132: the record has 74 of its 124 bytes, so the file is truncated"):
        RecordFile(tmp_path / "t.rec")


def test_identity_records_are_not_taken_for_images(tmp_path):
    """Images may carry two labels as identity records do, so only the header's ranges tell them apart."""
    payloads = {key: pack((float((key - 1) // 2), 1.0), key, b"jpeg") for key in range(1, 5)}
    payloads |= {5: pack((1.0, 3.0), 5, b""), 6: pack((3.0, 5.0), 6, b""), 0: pack((5.0, 7.0), 0, b"")}
    write_records(tmp_path / "t.rec", payloads)
    with RecordFile(tmp_path / "t.rec") as records:
        assert images_by_label(records) == {0: [1, 2], 1: [3, 4]}


def test_a_broken_index_names_its_line(tmp_path):
    write_records(tmp_path / "t.rec", {1: pack((0.0,), 1, b"x")})
    (tmp_path / "t.idx").write_text("1\t0\nnonsense\n")
    with pytest.raises(UserError, match="line 2: 'nonsense', expected a key and a byte offset"):
        RecordFile(tmp_path / "t.rec")


def test_files_that_mxnet_wrote_are_read(shared_data):
    folder = shared_data / "insightface_format"
    with RecordFile(folder / "lfw_small_rec" / "train.rec") as records:
        people = images_by_label(records)
        assert [len(keys) for keys in people.values()] == [10] * 20
        assert all(records.read(keys[0]).image.startswith(b"\xff\xd8") for keys in people.values())
    real = next((folder / "real_mxnet_rec").glob("*.rec"))
    with RecordFile(real) as records:
        assert len(records.offsets) == 12
        assert all(len(records.read(key).labels) > 1 for key in records.offsets)
        assert np.all([records.read(key).image[:2] == b"\xff\xd8" for key in records.offsets])


def test_ranges_that_float32_cannot_hold_are_not_trusted(tmp_path):
    """From 16.7 million images on, InsightFace's key ranges are rounded; labels of the images themselves are right."""
    payloads = {key: pack((float(key % 2),), key, b"jpeg") for key in (1, 2, 3)}
    payloads |= {0: pack((2.0**24 + 2, 2.0**24 + 4), 0, b""), 2**24 + 2: pack((1.0, 2.0**24), 2**24 + 2, b"")}
    write_records(tmp_path / "t.rec", payloads)
    with RecordFile(tmp_path / "t.rec") as records:
        assert images_by_label(records) == {0: [2], 1: [1, 3]}
