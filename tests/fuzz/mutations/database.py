"""Damage to an SQLite database that leaves it one: other values in its cells, other tables, another version."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from tests.fuzz.mutations.plain import Mutation, flip_bit

VALUES: tuple[object, ...] = (
    None, "", 0, -1, 1 << 62, 1e308, float("inf"), "x", "\0", "\u2028", b"\xff\xfe", b"", "null", "[]", "{}", "[" * 100_000, "{", "NaN",
    '{"a": NaN}', '{"source": "\\ud800"}', "same", "skip", "undo", "ruling", "2024-13-45", "=1+1", "a" * 100_000, '{"image1": "a"}',
    '{"image1": "a", "image2": "b", "label": 7}', '{"image1": 1, "image2": 2, "label": null}', '{"bad": {}, "left": []}',
)  # fmt: skip
STATEMENTS = (
    "PRAGMA user_version = 99", "PRAGMA user_version = -1", "DROP TABLE events", "DROP TABLE pairs", "DROP TABLE facts",
    "DROP TABLE leases", "DELETE FROM events", "DELETE FROM pairs", "DELETE FROM facts", "CREATE TABLE other (x)",
    "ALTER TABLE events RENAME COLUMN answer TO reply", "ALTER TABLE events ADD COLUMN more TEXT", "ALTER TABLE pairs RENAME TO old",
    "CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT RAISE(FAIL, 'no'); END", "CREATE VIEW v AS SELECT * FROM events",
    "PRAGMA application_id = 7", "PRAGMA encoding = 'UTF-16'", "INSERT INTO pairs SELECT pair_id || 'x', entry, folder FROM pairs",
    "INSERT INTO events SELECT NULL, event_id || 'x', kind, pair_id, annotator, answered_at, answer, undoes, seconds, details, "
    "received_at FROM events",
)  # fmt: skip


def _changed(data: bytes, rng: random.Random, statement: str, *values: object) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sqlite"
        path.write_bytes(data)
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = DELETE")
                connection.execute(statement, values)
        except (sqlite3.Error, OverflowError):
            return flip_bit(data, rng)
        return path.read_bytes()


def other_cell(data: bytes, rng: random.Random) -> bytes:
    """Another value in a column of one row or of all."""
    columns = {
        "events": ("event_id", "kind", "pair_id", "annotator", "answered_at", "answer", "undoes", "seconds", "details"),
        "pairs": ("pair_id", "entry", "folder"),
        "facts": ("name", "value"),
        "leases": ("pair_id", "annotator", "client", "expires"),
    }
    table = rng.choice(("events", "events", "events", "pairs", "pairs", "facts", "leases"))
    where = rng.choice(("", "WHERE rowid = (SELECT max(rowid) FROM {0})", "WHERE rowid = (SELECT min(rowid) FROM {0})"))
    statement = f"UPDATE OR IGNORE {table} SET {rng.choice(columns[table])} = ? {where.format(table)}"
    return _changed(data, rng, statement, rng.choice(VALUES))


def other_schema(data: bytes, rng: random.Random) -> bytes:
    """A table is gone, another is there, or a version to come has written it."""
    return _changed(data, rng, rng.choice(STATEMENTS))


ALL: list[Mutation] = [other_cell, other_schema, other_cell, other_cell, other_schema, other_cell, other_cell]
HONEST: list[Mutation] = ALL
