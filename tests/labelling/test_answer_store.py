"""What is on the disk, whatever happens to it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from magface_al.command.errors import UserError
from magface_al.labelling.answer_store import AnswerStore, Lease, NotSaved, StoredPair, open_store
from magface_al.pairs.pair_file import Pair
from tests.support.answers import an_event

COLUMNS = (
    "event_id",
    "kind",
    "pair_id",
    "annotator",
    "answered_at",
    "answer",
    "undoes",
    "seconds",
    "details",
    "received_at",
)
BAD = [b"\xff\x00", 7, 1e308, float("inf"), "", "\x00", "none", "[]", '{"left": [], "bad": 1, "mode": {}}', "[" * 5000]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "f.sqlite"


@pytest.fixture
def store(path):
    opened = AnswerStore(path)
    yield opened
    opened.close()


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute(statement, values)


def stored(path):
    """What a new process finds in the database."""
    found = AnswerStore(path)
    events = list(found.events())
    found.close()
    return events


def test_a_transaction_that_does_not_end_leaves_nothing(store, path):
    with pytest.raises(KeyboardInterrupt), store.transaction():
        store.put_pairs([StoredPair("0" * 16, Pair("a", "b", None), Path())])
        store.append([an_event()])
        store.put_fact("name", "value")
        raise KeyboardInterrupt
    assert (list(store.events()), list(store.pairs()), store.fact("name")) == ([], [], None)
    store.append([an_event()])
    store.close()
    assert len(stored(path)) == 1


def test_a_full_disk_saves_nothing_and_is_over_when_there_is_room(store):
    store.append([an_event()])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    big = [an_event(pair=f"{number:016x}", details={"source": "x" * 2000}) for number in range(20)]
    for _ in range(2):
        with pytest.raises(NotSaved, match=r"f\.sqlite takes no answers \(database or disk is full\)"):
            store.append(big)
    assert len(list(store.events())) == 1
    store._connection.execute("PRAGMA max_page_count = 1000000")
    store.append(big)
    assert len(list(store.events())) == 21


@pytest.mark.parametrize("value", BAD, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_damaged_row_is_left_out_or_read_without_what_is_damaged(path, column, value):
    before = AnswerStore(path)
    before.append(
        [an_event("different"), an_event("bad_image", details={"bad": "both"}), an_event("same", seconds=1.5)]
    )
    before.close()
    change(path, f"UPDATE events SET {column} = ? WHERE seq = 2", value)
    after = AnswerStore(path)
    events = list(after.events())
    assert [event.answer for event in events if event.answer != "bad_image"] == ["different", "same"]
    assert len(events) + len(after.unreadable) == 3
    for event in events:
        json.dumps([event.details, event.seconds, event.annotator], allow_nan=False).encode()
        assert event.seconds is None or 0 <= event.seconds <= 86_400
        assert event.answered_at <= "2100"
    after.close()


def test_text_that_is_not_utf_8_spoils_its_own_row_alone(path):
    before = AnswerStore(path)
    before.append([an_event(), an_event("different")])
    before.close()
    change(path, "UPDATE events SET annotator = CAST(x'ff41' AS TEXT) WHERE seq = 1")
    assert [event.answer for event in stored(path)][-1] == "different"


@pytest.mark.parametrize("entry", ["", "[]", "7", '{"image1": 1}', '{"image1": "a", "image2": "b\\u0000", "label": null}',
                                   '{"image1": "a", "image2": "b", "label": []}', "[" * 5000, b"\xff", 3])  # fmt: skip
def test_a_damaged_pair_is_left_out(path, entry):
    before = AnswerStore(path)
    before.put_pairs([StoredPair(f"{number:016x}", Pair("a", f"{number}", None), Path("/x")) for number in range(2)])
    before.close()
    change(path, "UPDATE pairs SET entry = ? WHERE rowid = 1", entry)
    after = AnswerStore(path)
    assert [known.pair.image2 for known in after.pairs()] == ["1"]
    after.close()


def test_numbers_that_json_does_not_have_become_null(path):
    before = AnswerStore(path)
    before.put_pairs([StoredPair("0" * 16, Pair("a", "b", None), Path())])
    before.close()
    entry = '{"image1": "a", "image2": "b", "label": null, "similarity": NaN, "mine": [-Infinity, 1e999, 0.5]}'
    change(path, "UPDATE pairs SET entry = ?", entry)
    after = AnswerStore(path)
    assert next(after.pairs()).pair.extra == {"similarity": None, "mine": [None, None, 0.5]}
    after.close()


def test_names_that_are_not_utf_8_come_back_as_they_were(store):
    name, folder = os.fsdecode(b"caf\xe9.png"), Path(os.fsdecode(b"/pictures/caf\xe9"))
    known = StoredPair("0" * 16, Pair(name, "b", None, {"identity1": "\ud800"}), folder)
    store.put_pairs([known])
    assert list(store.pairs()) == [known]


def test_leases_of_the_wrong_type_are_let_go(path):
    before = AnswerStore(path)
    before.put_leases([Lease("0" * 16, "ann", "window", 1e12)], [])
    before.close()
    change(path, "INSERT INTO leases VALUES ('x', 'ann', 'window', 'never')")
    after = AnswerStore(path)
    assert [lease.pair_id for lease in after.leases()] == ["0" * 16]
    after.close()


def deleted(path):
    path.unlink()


def moved(path):
    path.rename(path.with_name("elsewhere.sqlite"))


def replaced(path):
    path.rename(path.with_name("elsewhere.sqlite"))
    AnswerStore(path).close()


def log_deleted(path):
    path.with_name(path.name + "-wal").unlink()


def log_replaced(path):
    log_deleted(path)
    path.with_name(path.name + "-wal").write_bytes(b"another program's")


def folder_deleted(path):
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("happens", [deleted, moved, replaced, log_deleted, log_replaced])
def test_a_database_that_is_not_in_its_place_saves_nothing_more_and_is_rescued(store, path, happens):
    events = [an_event(pair=f"{number:016x}") for number in range(5)]
    store.append(events)
    happens(path)
    for _ in range(2):
        with pytest.raises(NotSaved, match=r"f\.sqlite was deleted, moved or replaced while the labeller ran"):
            store.append([an_event()])
    store.put_leases([Lease("0" * 16, "ann", "window", 1e12)], [])  # which nobody misses
    store.close()
    (rescued,) = list(path.parent.glob("f.sqlite.recovered-*")) or [path]
    assert stored(rescued) == events
    said = "written to it anew" if rescued == path else f"are in {rescued}:"
    assert said in store.lost
    assert oct(rescued.stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("happens", [deleted, moved])
def test_what_is_rescued_gets_the_databases_own_name_where_that_is_free(store, path, happens):
    event = an_event()
    store.append([event])
    secret = store.secret("token")
    happens(path)
    assert not store.in_place()
    assert "were written to it anew: end the labeller and start it again" in store.lost
    again, aside = open_store(path)
    assert (list(again.events()), again.secret("token"), aside) == ([event], secret, None)
    again.append([an_event()])
    store.close()
    assert again.in_place()
    again.close()
    assert len(stored(path)) == 2


def test_another_database_in_its_place_is_left_alone(store, path):
    store.append([an_event()])
    path.unlink()
    path.with_name(path.name + "-wal").unlink()
    other = AnswerStore(path)
    other.append([an_event("different")])
    with pytest.raises(NotSaved):
        store.append([an_event()])
    store.close()
    assert other.in_place()
    other.close()
    assert [event.answer for event in stored(path)] == ["different"]
    (rescued,) = path.parent.glob("f.sqlite.recovered-*")
    assert [event.answer for event in stored(rescued)] == ["same"]


def test_where_the_folder_is_gone_it_says_where_the_answers_are(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    store = AnswerStore(folder / "f.sqlite")
    store.append([an_event()])
    folder_deleted(folder / "f.sqlite")
    assert not store.in_place()
    assert "the answers until then are in the feedback file alone" in store.lost
    store.close()


def test_what_nobody_touched_stays_in_its_place(store, path):
    for _ in range(3):  # each time more than SQLite keeps in its log before it folds it in
        store.append([an_event(details={"source": "x" * 3000}) for _ in range(1500)])
        assert store.in_place()
    os.utime(path)
    path.chmod(0o600)
    assert store.in_place()


def test_a_locked_database_is_somebody_elses(store, path):
    with pytest.raises(UserError, match=r"f\.sqlite: in use by another label_pairs\.py"):
        open_store(path)
    assert store.in_place()
