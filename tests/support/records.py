"""Small RecordIO files."""

from __future__ import annotations

from magface_al.faces.recordio import frame


def write_records(path, payloads):
    """Write a .rec and its .idx of payloads by key."""
    with path.open("wb") as file, path.with_suffix(".idx").open("w") as index:
        for key, payload in payloads.items():
            index.write(f"{key}\t{file.tell()}\n")
            file.write(frame(payload))
