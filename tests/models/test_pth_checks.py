"""A .pth file that was damaged is refused, and so is one that announces more than it can hold."""

from __future__ import annotations

import pickle
import resource
import struct
import zipfile
from collections import OrderedDict

import pytest
import torch

from magface_al.command.errors import UserError
from magface_al.models.pth_checks import check_pth
from magface_al.models.weight_files import read_checkpoint


@pytest.fixture
def content():
    torch.manual_seed(0)
    base = torch.randn(8, 8)
    views = {"rows": base[1:5], "columns": base[:, ::2], "nothing": torch.empty(0, 3), "number": torch.tensor(3)}
    names = OrderedDict(parameter=torch.nn.Parameter(torch.randn(3)), expanded=torch.zeros(1).expand(20))
    return {"views": views, "names": names, "words": [1, 2.5, "text", None, True, (2**40, -5)], "raw": b"\xff\0"}


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
def test_what_pytorch_writes_passes(tmp_path, content, options):
    torch.save(content, tmp_path / "c.pth", **options)
    found = read_checkpoint(tmp_path / "c.pth")
    assert all(torch.equal(found["views"][key], value) for key, value in content["views"].items())
    assert torch.equal(found["names"]["parameter"], content["names"]["parameter"])
    assert found["words"] == content["words"]
    assert "collections.OrderedDict" in names(tmp_path / "c.pth")


def names(path):
    with path.open("rb") as file:
        return check_pth(file)


def test_a_file_without_checksums_is_read(tmp_path, content):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(content, tmp_path / "c.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(tmp_path / "c.pth") as archive:
        assert {record.CRC for record in archive.infolist()} == {0}
    assert read_checkpoint(tmp_path / "c.pth")["words"] == content["words"]


def test_one_changed_bit_anywhere_is_noticed_or_changes_nothing(tmp_path):
    """torch.load compares no checksum, and gave other numbers."""
    weights = {"a": torch.arange(50.0), "b": torch.ones(7)}
    torch.save(weights, tmp_path / "c.pth")
    whole = (tmp_path / "c.pth").read_bytes()
    refused = 0
    for at in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        (tmp_path / "c.pth").write_bytes(changed)
        try:
            found = read_checkpoint(tmp_path / "c.pth")
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
        else:
            assert all(torch.equal(found[key], value) for key, value in weights.items()), at
    assert refused > 300
    changed = bytearray(whole)
    changed[whole.index(torch.arange(50.0).numpy().tobytes()) + 9] ^= 64
    (tmp_path / "c.pth").write_bytes(changed)
    with pytest.raises(UserError, match=r"c\.pth: truncated, or no PyTorch checkpoint \(Bad CRC-32 for file"):
        read_checkpoint(tmp_path / "c.pth")


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def called(function, *arguments):
    return function + b"(" + b"".join(arguments) + b"tR"


def storage(count):
    pid = text("storage"), named("torch", "FloatStorage"), text("0"), text("cpu"), number(count)
    return b"(" + b"".join(pid) + b"tQ"


def tensor(count, size, stride, offset=0):
    rebuild = named("torch._utils", "_rebuild_tensor_v2")
    places = [b"(" + b"".join(map(number, values)) + b"t" for values in (size, stride)]
    return called(
        rebuild, storage(count), number(offset), *places, b"\x89", called(named("collections", "OrderedDict"))
    )


BIG = 1 << 33
BOMBS = {
    "bytearray": called(named("builtins", "bytearray"), number(BIG)),
    "bytearray of python 2": called(named("__builtin__", "bytearray"), number(BIG)),
    "bytearray inside": called(named("torch._tensor", "_rebuild_from_type_v2"), named("builtins", "bytearray"), named("torch", "Tensor"), b"(" + number(BIG) + b"t", b"}"),
    "tensor": called(named("torch", "Tensor"), number(1 << 20), number(1 << 20)),
    "storage": called(named("torch.storage", "UntypedStorage"), number(BIG)),
    "more than the record": tensor(BIG, [BIG], [1]),
    "more than the storage": tensor(4, [1 << 30], [1]),
    "the same number for ever": tensor(4, [BIG], [0]),
    "a product": tensor(4, [1 << 20, 1 << 20], [0, 0]),
    "copies of copies": text("x" * 500) + b"q\x05" + b"".join(b"0" + called(named("_codecs", "encode"), b"h\x05", text("latin1")) for _ in range(60)),
}  # fmt: skip


def archived(path, program, compression=zipfile.ZIP_STORED, record=b"abcd" * 4):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in (("data.pkl", program), ("version", b"3\n"), ("byteorder", b"little"), ("data/0", record)):
            archive.writestr(f"a/{name}", data)


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_what_the_file_cannot_hold_is_never_made(tmp_path, name, legacy):
    program = b"\x80\x02}" + text("x") + BOMBS[name] + b"s."
    path = tmp_path / "bomb.pth"
    if legacy:
        head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
        path.write_bytes(head + program + pickle.dumps(["0"], 2) + struct.pack("<q", 4) + b"abcd" * 4)
    else:
        archived(path, program)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"bomb\.pth: refused, it asks for .*; copy or download it again"):
        read_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (256 << 10)  # KiB


def test_a_record_that_inflates_is_refused(tmp_path):
    program = b"\x80\x02}" + text("x") + tensor(1 << 22, [1 << 22], [1]) + b"s."
    archived(tmp_path / "bomb.pth", program, zipfile.ZIP_DEFLATED, bytes(1 << 24))
    with pytest.raises(UserError, match=r"a/data\.pkl is compressed, which PyTorch never does"):
        read_checkpoint(tmp_path / "bomb.pth")


def test_two_records_of_one_name_are_refused(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "c.pth")
    with zipfile.ZipFile(tmp_path / "c.pth", "a") as archive:
        archive.writestr(archive.infolist()[0].filename.upper(), b"")
    with pytest.raises(UserError, match="two records have one name"):
        read_checkpoint(tmp_path / "c.pth")
