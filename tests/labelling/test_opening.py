"""Opening a labeller: its database, and what was answered elsewhere."""

from __future__ import annotations

import json

import pytest

from magface_al.command.errors import UserError, WorkError
from magface_al.labelling.answer_store import AnswerStore
from magface_al.labelling.assignment import Settings
from magface_al.labelling.opening import open_labeller
from magface_al.pairs.pair_file import read_pairs


def write(path, *labels, **more):
    """A pairs file with one pair for each label, of images that need not exist."""
    pairs = [{"image1": "a.png", "image2": f"{k}.png", "label": label, **more} for k, label in enumerate(labels)]
    path.write_text(json.dumps({"pairs": pairs}))
    return read_pairs(path)


@pytest.fixture
def open_it(tmp_path):
    """open_it(labels, ...) -> (what open_labeller returns, the notes)."""
    opened = []

    def start(*labels, label_studio=None, settings=None):
        notes = []
        pair_file = write(tmp_path / "pairs.json", *labels)
        feedback = tmp_path / "feedback.json"
        opened.append(open_labeller(pair_file, feedback, settings or Settings(), None, label_studio, notes.append))
        return opened[-1], notes

    yield start
    for one in opened:
        one.labeller.close()


def test_a_new_database_takes_up_what_the_feedback_file_holds(open_it, tmp_path):
    write(tmp_path / "feedback.json", 1, 1, answer="same", annotator="ann")
    opened, notes = open_it(None, None)
    assert opened.taken_in == [(tmp_path / "feedback.json", "the answers that it holds")]
    assert (opened.labeller.asked, notes) == (2, [])
    assert [pair.label for pair in opened.labeller.export()] == [1, 1]
    opened.labeller.close()
    again, _ = open_it(None, None)
    assert again.taken_in == []
    assert (again.secret, again.store_id) == (opened.secret, opened.store_id)


def test_that_a_database_was_moved_aside_is_said_also_where_a_later_step_fails(tmp_path):
    (tmp_path / "feedback.sqlite").write_bytes(b"not a database at all" * 300)
    (tmp_path / "feedback.json").write_text("{")
    notes = []
    pair_file = write(tmp_path / "pairs.json", None)
    with pytest.raises(UserError, match="not JSON"):
        open_labeller(pair_file, tmp_path / "feedback.json", Settings(), None, None, notes.append)
    assert "is corrupt and was moved to" in notes[0]
    AnswerStore(tmp_path / "feedback.sqlite").close()  # which is locked for as long as somebody has it open


def test_an_answer_of_label_studio_whose_row_is_damaged_is_taken_in_again_and_once(open_it, tmp_path):
    annotation = {"completed_by": 7, "created_at": "2026-01-02T03:04:05Z", "result": [{"value": {"choices": ["Same"]}}]}
    task = {"data": {"image1": "a.png", "image2": "0.png"}, "annotations": [annotation]}
    (tmp_path / "ls.json").write_text(json.dumps([task]))
    open_it(None, label_studio=tmp_path / "ls.json")[0].labeller.close()
    store = AnswerStore(tmp_path / "feedback.sqlite")
    store._connection.execute("UPDATE events SET kind = 'xx'")
    store.close()
    for _ in range(2):
        open_it(None, label_studio=tmp_path / "ls.json")[0].labeller.close()
    store = AnswerStore(tmp_path / "feedback.sqlite")
    assert [event.answer for event in store.events()] == ["same"]
    store.close()


@pytest.mark.parametrize(
    ("feedback", "csv"), [("f.sqlite", None), ("f.csv", None), ("f.json", "f.json"), ("f.json", "f.sqlite")]
)
def test_the_feedback_file_the_csv_and_the_database_are_three(tmp_path, feedback, csv):
    pair_file = write(tmp_path / "pairs.json", None)
    with pytest.raises(UserError, match=f"{feedback}: the CSV or the database gets that name too"):
        open_labeller(pair_file, tmp_path / feedback, Settings(), None, None, print, csv and tmp_path / csv)
    assert not list(tmp_path.glob("f.*"))


def test_a_database_that_was_lost_meanwhile_is_told_where_nothing_else_went_wrong(open_it, tmp_path):
    with pytest.raises(WorkError, match=r"was deleted, moved or replaced .*feedback\.json has them all, too"):
        with open_it(None)[0] as opened:
            (tmp_path / "feedback.sqlite").unlink()
            opened.labeller.export()
    with pytest.raises(ZeroDivisionError), open_it(None)[0]:
        (tmp_path / "feedback.sqlite").unlink()
        raise ZeroDivisionError


def test_labelled_pairs_are_asked_only_with_relabel(open_it):
    opened, _ = open_it(1, None)
    assert opened.labeller.asked == 1
    opened.labeller.close()
    assert open_it(1, None, settings=Settings(relabel=True))[0].labeller.asked == 2
