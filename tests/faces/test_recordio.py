"""RecordIO as MXNet writes it, and the traps of InsightFace's layout."""

from __future__ import annotations

import struct
import tracemalloc

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


def insightface(path, people=3, images=3):
    """A set in InsightFace's layout, its header first. Returns key -> payload."""
    count = people * images
    payloads = {0: pack((count + 1.0, count + 1.0 + people), 0, b"")}
    payloads |= {key: pack(((key - 1) // images * 1.0, 1.0), key, b"jpeg") for key in range(1, count + 1)}
    for person in range(people):
        limits = (1.0 + person * images, 1.0 + (person + 1) * images)
        payloads[count + 1 + person] = pack(limits, count + 1 + person, b"")
    write_records(path, payloads)
    return payloads


def plain(path):
    write_records(path, {key: pack((float(key % 3),), key, bytes([key]) * 9) for key in range(13)})


@pytest.mark.parametrize("layout", [insightface, plain])
@pytest.mark.parametrize("lost", [(12,), (6,), (1,), (0,), (3, 4, 5), range(9, 13), range(13)], ids=str)
def test_an_index_that_has_lost_lines_is_refused(tmp_path, layout, lost):
    """It would give fewer images, or other people, without a word."""
    layout(tmp_path / "t.rec")
    lines = (tmp_path / "t.idx").read_text().splitlines(keepends=True)
    (tmp_path / "t.idx").write_text("".join(line for k, line in enumerate(lines) if k not in lost))
    with pytest.raises(UserError, match=r"t\.(idx|rec): .*both again"), RecordFile(tmp_path / "t.rec") as records:
        images_by_label(records)
    (tmp_path / "t.idx").unlink()
    with RecordFile(tmp_path / "t.rec") as records:
        assert sum(map(len, images_by_label(records).values())) == (9 if layout is insightface else 13)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("0\t0\n0\t36\n", "line 2: key 0 stands there twice"),
        ("0\t0\n1\t0\n", "two keys have the same offset"),
        ("0\t0\n1\t-4\n", "line 2: .* expected a key and a byte offset"),
        ("0\t4\n", "offset 4: no record starts here"),
        ("0\t0\n1\t9999999\n", "record 1 starts at offset 9999999, but t.rec has 72 bytes"),
    ],
)
def test_an_index_that_names_no_records_is_refused(tmp_path, index, message):
    write_records(tmp_path / "t.rec", {key: pack((0.0,), key, b"xyz") for key in range(2)})
    assert (tmp_path / "t.rec").stat().st_size == 72
    (tmp_path / "t.idx").write_text(index)
    with pytest.raises(UserError, match=message):
        RecordFile(tmp_path / "t.rec")


@pytest.mark.parametrize("label", [float("nan"), float("inf"), -1.0, 0.5, 2.0**24, 3e38])
def test_a_label_that_is_no_class_is_refused(tmp_path, label):
    write_records(tmp_path / "t.rec", {key: pack((label,), key, b"jpeg") for key in range(2)})
    with (
        RecordFile(tmp_path / "t.rec") as records,
        pytest.raises(UserError, match="record 0: labels .* so it is no face set"),
    ):
        images_by_label(records)


@pytest.mark.parametrize(
    "limits", [(1.0, float("nan")), (1.0, 3e38), (float("-inf"), 2.0), (3.0, 1.0), (1.0, 2.5), (0.0, 2.0**23)]
)
def test_a_range_of_keys_that_is_none_does_not_end_the_run(tmp_path, limits):
    """Either the images' own labels are read instead, or the set is refused."""
    payloads = insightface(tmp_path / "t.rec") | {10: pack(limits, 10, b"")}
    write_records(tmp_path / "t.rec", payloads)
    with RecordFile(tmp_path / "t.rec") as records:
        try:
            assert images_by_label(records) == {0: [1, 2, 3], 1: [4, 5, 6], 2: [7, 8, 9]}
        except UserError as error:
            assert "t.rec: " in str(error)


@pytest.mark.parametrize("size", [0, 3, 23])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_record_of_a_few_bytes_is_refused(tmp_path, size, indexed):
    write_records(tmp_path / "t.rec", {0: bytes(size)})
    if not indexed:
        (tmp_path / "t.idx").unlink()
    message = f"{size} bytes, expected an image record of at least 24"
    with pytest.raises(UserError, match=message), RecordFile(tmp_path / "t.rec") as records:
        records.read(0)


@pytest.mark.parametrize("indexed", [True, False])
def test_no_room_is_made_for_what_is_not_there(tmp_path, indexed):
    """Eight bytes can announce half a gigabyte."""
    (tmp_path / "t.rec").write_bytes(MAGIC + struct.pack("<I", (1 << 29) - 1) + bytes(40))
    if indexed:
        (tmp_path / "t.idx").write_text("0\t0\n")
    tracemalloc.start()
    with pytest.raises(UserError, match="the record has 40 of its 536870911 bytes"):
        RecordFile(tmp_path / "t.rec")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("flags", [(1, 0), (2,), (3,), (0, 2), (1, 1), (4,), (7,)])
def test_parts_in_no_order_are_no_record(tmp_path, flags):
    payload = pack((0.0,), 0, bytes(8))
    parts = [MAGIC + struct.pack("<I", flag << 29 | len(payload)) + payload for flag in flags]
    (tmp_path / "t.rec").write_bytes(b"".join(parts))
    with pytest.raises(UserError, match="no record starts here"):
        RecordFile(tmp_path / "t.rec")


def test_an_id_beyond_int64_is_refused(tmp_path):
    write_records(tmp_path / "t.rec", {2**64 - 1: pack((0.0,), 2**64 - 1, b"jpeg")})
    (tmp_path / "t.idx").unlink()
    with pytest.raises(UserError, match="id 18446744073709551615, expected one below"):
        RecordFile(tmp_path / "t.rec")


def test_two_records_of_one_id_need_an_index(tmp_path):
    write_records(tmp_path / "t.rec", {key: pack((float(key),), 7, b"jpeg") for key in range(2)})
    with RecordFile(tmp_path / "t.rec") as records:
        assert images_by_label(records) == {0: [0], 1: [1]}
    (tmp_path / "t.idx").unlink()
    with pytest.raises(UserError, match="a second record with id 7"):
        RecordFile(tmp_path / "t.rec")
