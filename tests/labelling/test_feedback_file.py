"""The feedback file is never written over while it says what the database does not know."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from magface_al.command.errors import UserError, WorkError
from magface_al.labelling import feedback_file
from magface_al.labelling.answer_store import AnswerStore
from magface_al.labelling.assignment import Settings
from magface_al.labelling.events import pair_id
from magface_al.labelling.opening import open_labeller
from magface_al.pairs.pair_file import Pair, read_pairs
from tests.support.answers import WHEN, an_event, an_undo, as_sent

IDS = [pair_id(Pair("a.png", f"{number}.png", None)) for number in range(10)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("pairs.json", [None] * 4)
    return tmp_path


def write(name, labels, **more):
    pairs = [{"image1": "a.png", "image2": f"{k}.png", "label": label, **more} for k, label in enumerate(labels)]
    Path(name).write_text(json.dumps({"pairs": pairs}))


def edit(change, name="feedback.json"):
    content = json.loads(Path(name).read_text())
    change(content["pairs"])
    Path(name).write_text(json.dumps(content))


class Opened:
    """The labeller on feedback.json, as label_pairs.py opens it."""

    def __init__(self, pairs="pairs.json"):
        self.notes = []
        opened = open_labeller(
            read_pairs(Path(pairs)), Path("feedback.json"), Settings(overlap=2), None, None, self.notes.append
        )
        self.labeller, self.taken_in = opened.labeller, opened.taken_in

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.labeller.close()

    def send(self, *events):
        result = self.labeller.record([as_sent(event) for event in events])
        assert result["refused"] == []

    def labels(self):
        return [pair.label for pair in self.labeller.export()]


def answered(*labels):
    """A session that answers the first pairs so, exports and ends."""
    with Opened() as one:
        one.send(*(an_event(("different", "same")[label], pair=IDS[k]) for k, label in enumerate(labels)))
        one.labels()


def test_an_empty_database_is_none(folder):
    answered(1, 0, 1)
    for end in (lambda path: path.write_bytes(b""), Path.unlink):
        end(Path("feedback.sqlite"))
        with Opened() as one:
            assert one.labels() == [1, 0, 1, None]
            assert one.taken_in == [(Path("feedback.json"), "the answers that it holds")]


def test_a_database_that_was_created_and_filled_with_nothing_takes_up_the_answers(folder):
    """What a kill during the import left in earlier versions: a database that looks complete."""
    answered(1, 0, 1)
    Path("feedback.sqlite").unlink()
    AnswerStore(Path("feedback.sqlite")).close()
    with Opened() as one:
        assert one.labels() == [1, 0, 1, None]


def test_a_database_of_an_earlier_version_takes_up_what_it_lacks_and_says_so(folder):
    answered(1, 0)
    store = AnswerStore(Path("feedback.sqlite"))
    with store.transaction():
        store._connection.execute("DELETE FROM facts WHERE name LIKE '%sha%'")
        store._connection.execute("DELETE FROM events WHERE seq = 1")
    store.close()
    with Opened() as one:
        assert one.notes == ["feedback.json held 1 answer that feedback.sqlite did not have; taken in"]
        assert one.labels() == [1, 0, None, None]


def test_an_interrupted_import_leaves_nothing_and_is_made_again(folder):
    """The pairs go in, the answers cannot: as if the process had died in between."""
    answered(1, 0, 1)
    Path("feedback.sqlite").unlink()
    store = AnswerStore(Path("feedback.sqlite"))
    store._connection.execute(
        "CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'the power is cut'); END"
    )
    store.close()
    with pytest.raises(WorkError, match="the power is cut"):
        Opened()
    store = AnswerStore(Path("feedback.sqlite"))
    assert (list(store.pairs()), list(store.events()), store.fact("feedback_sha256")) == ([], [], None)
    store._connection.execute("DROP TRIGGER t")
    store.close()
    with Opened() as one:
        assert one.labels() == [1, 0, 1, None]


def test_answers_that_were_undone_do_not_come_back_from_an_old_export(folder):
    with Opened() as one:
        first, second = an_event(pair=IDS[0]), an_event(pair=IDS[1])
        one.send(first, second)
        one.labels()
        old = Path("feedback.json").read_bytes()
        one.send(an_undo(first))
        Path("feedback.json").write_bytes(old + b"\n")  # other bytes, the same answers
        assert one.labels() == [None, 1, None, None]
        assert one.notes == []
    Path("feedback.json").write_bytes(old)  # put back from somewhere, or the export before a kill
    with Opened() as one:
        assert one.labels() == [None, 1, None, None]


def test_a_file_edited_while_serving_is_taken_in_and_said(folder):
    with Opened() as one:
        one.send(an_event(pair=IDS[0]))
        one.labels()
        edit(lambda pairs: pairs[2].update(label=0))
        assert one.labels() == [1, None, 0, None]
        assert one.notes == ["feedback.json held 1 answer that feedback.sqlite did not have; taken in"]
        assert one.labels() == [1, None, 0, None]
        assert len(one.notes) == 1


def test_answers_are_saved_while_a_long_file_is_read(folder, monkeypatch):
    """With a million pairs that takes seconds; nobody's answer waits for it, neither for the lock nor for the database."""
    with Opened() as one:
        one.labels()
        edit(lambda pairs: pairs[2].update(label=0))
        done = []

        def read_while_somebody_answers(path):
            somebody = threading.Thread(target=lambda: done.append(one.send(an_event(pair=IDS[0]))))
            somebody.start()
            somebody.join(10)
            assert done
            return read_pairs(path)

        monkeypatch.setattr(feedback_file, "read_pairs", read_while_somebody_answers)
        assert one.labels() == [1, None, 0, None]


def test_a_label_changed_by_hand_counts_although_the_answer_beside_it_was_left(folder):
    answered(1, 1)
    edit(lambda pairs: pairs[0].update(label=0))
    with Opened() as one:
        (exported, *_) = one.labeller.export()
    assert (exported.label, exported.extra["answer"]) == (0, "different")
    assert [vote["annotator"] for vote in exported.extra["answers"]] == ["ann", "imported"]


def test_a_label_can_be_changed_by_hand_again_and_again(folder):
    answered(1)
    for label in (0, 1, 0, 1, 0):
        edit(lambda pairs, label=label: pairs[0].update(label=label))
        with Opened() as one:
            assert one.labels()[0] == label


def test_a_damaged_pair_of_an_earlier_pairs_file_is_put_back_from_the_last_export(folder):
    write("earlier.json", [None] * 6)
    with Opened("earlier.json") as one:
        one.send(an_event(pair=IDS[5]))
        one.labels()
    store = AnswerStore(Path("feedback.sqlite"))
    store._connection.execute("UPDATE pairs SET entry = '{' WHERE pair_id = ?", (IDS[5],))
    store.close()
    with Opened() as one:
        assert "feedback.sqlite: 1 row is damaged and left out" in one.notes
        assert one.labels() == [None] * 4 + [1]


def test_a_file_of_other_pairs_is_merged_with_their_answers(folder):
    with Opened() as one:
        one.send(an_event(pair=IDS[0]))
        pairs = [{"image1": "x.png", "image2": "y.png", "label": 1, "answer": "same", "annotator": "bob", "labeled_at": WHEN,
                  "mine": [1]}, {"image1": "x.png", "image2": "z.png", "label": None}]  # fmt: skip
        Path("feedback.json").write_text(json.dumps(pairs))
        assert one.labels() == [1, None, None, None, 1]
        last = read_pairs(Path("feedback.json")).pairs[-1]
        assert (last.image1, last.extra["annotator"], last.extra["mine"]) == ("x.png", "bob", [1])
        assert "previous_label" not in last.extra
        assert [path.name for path in folder.glob("*.bak")] == ["feedback.json.bak"]


def test_pairs_exported_under_their_whole_paths_are_known_by_them(folder):
    answered(1, 0)
    (folder / "b").mkdir()
    (folder / "b" / "x.png").touch()
    Path("b/pairs.json").write_text(json.dumps([{"image1": "x.png", "image2": "y.png", "label": None}]))
    with Opened("b/pairs.json") as one:
        assert one.labels() == [None, 1, 0]
        edit(lambda pairs: pairs[0].update(label=1))
        assert one.labels() == [1, 1, 0]
    assert [str(folder / "a.png")] * 2 == [pair.image1 for pair in read_pairs(Path("feedback.json")).pairs[1:]]


def test_labels_of_the_pairs_file_are_no_answers(folder):
    write("pairs.json", [1, None, 0])
    with Opened() as one:
        one.labels()
    Path("feedback.sqlite").unlink()
    with Opened() as one:
        assert one.labels() == [1, None, 0]
        assert not list(one.labeller._state.answers.events())


def test_the_file_before_is_kept_once_a_run(folder):
    answered(1)
    before = Path("feedback.json").read_bytes()
    with Opened() as one:
        one.labels()
        assert not Path("feedback.json.bak").exists()  # nothing has changed
        one.send(an_event(pair=IDS[1]))
        one.labels()
        one.send(an_event(pair=IDS[2]))
        one.labels()
    assert Path("feedback.json.bak").read_bytes() == before
    assert oct(Path("feedback.json.bak").stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("content", ['{"pairs": [', '{"pairs": []}', "[1]", '{"a": 1}', "\xff", "[" * 100_000])
def test_a_file_that_is_none_is_not_written_over(folder, content):
    """It may be somebody's work, half written at this moment."""
    answered(1)
    with Opened() as one:
        one.send(an_event(pair=IDS[1]))
        Path("feedback.json").write_text(content, encoding="latin-1")
        for _ in range(2):
            with pytest.raises(WorkError, match=r"feedback\.json could not be written .* safe in feedback\.sqlite"):
                one.labeller.export()
        assert one.labeller.export_error
        assert Path("feedback.json").read_text(encoding="latin-1") == content
        one.send(an_event(pair=IDS[2]))  # answers are taken all the same
    with pytest.raises(UserError, match=r"^feedback\.json: "):
        Opened()
    Path("feedback.json").unlink()
    with Opened() as one:
        assert one.labels() == [1, 1, 1, None]
        assert one.labeller.export_error is None


def test_a_database_with_damaged_rows_gets_their_answers_from_the_last_export(folder):
    answered(1, 0)
    store = AnswerStore(Path("feedback.sqlite"))
    store._connection.execute("UPDATE events SET answer = 'samd' WHERE seq = 1")
    store.close()
    with Opened() as one:
        assert one.labels() == [1, 0, None, None]
        assert "feedback.sqlite: 1 row is damaged and left out" in one.notes


def damage(row):
    store = AnswerStore(Path("feedback.sqlite"))
    store._connection.execute("UPDATE events SET kind = 'xx' WHERE seq = ?", (row,))
    store.close()


def test_an_imported_answer_whose_row_is_damaged_is_imported_again_as_often_as_that_happens(folder):
    """Its id follows from its content, and under it stands the damaged row."""
    write("feedback.json", [1, 0, None, None], annotator="bob", labeled_at=WHEN)
    with Opened() as one:
        assert one.labels() == [1, 0, None, None]
    for row in (2, 3):
        damage(row)
        for notes in (1, 0):
            with Opened() as one:
                assert one.labels() == [1, 0, None, None]
                taken_in = "feedback.json held 1 answer that feedback.sqlite did not have; taken in"
                assert one.notes.count(taken_in) == notes


BOTH = "one annotator's last answer counts, and two annotators' answers are a disagreement"


def write_both(name, *people):
    """A file that calls the first pair same, then (the other way round) different."""
    names = [{"annotator": who} for who in people] or [{}, {}]
    pairs = [{"image1": "a.png", "image2": "0.png", "label": 1, **names[0]}, {"image1": "a.png", "image2": "1.png", "label": 1},
             {"image1": "0.png", "image2": "a.png", "label": 0, **names[1]}]  # fmt: skip
    Path(name).write_text(json.dumps({"pairs": pairs}))


@pytest.mark.parametrize(
    ("people", "label", "answer"),
    [((), 0, "different"), (("ann", "ann"), 0, "different"), (("ann", "bob"), None, "disagreement")],
)
def test_of_a_feedback_file_with_both_labels_it_is_said_what_becomes_of_them(folder, people, label, answer):
    write_both("feedback.json", *people)
    with Opened() as one:
        assert one.notes == [f"feedback.json: 1 pair has both labels (first: pairs 0 and 2); {BOTH}"]
        exported = one.labeller.export()[0]
    assert (exported.label, exported.extra["answer"]) == (label, answer)
    with Opened() as again:
        assert (again.notes, again.labels()) == ([], [label, 1, None, None])


def test_both_labels_written_while_the_labeller_runs_are_said_too(folder):
    with Opened() as one:
        one.labels()
        write_both("feedback.json")
        assert one.labels() == [0, 1, None, None]
        assert one.notes[0] == f"feedback.json: 1 pair has both labels (first: pairs 0 and 2); {BOTH}"


def test_both_labels_in_the_pairs_file_are_said(folder):
    write_both("pairs.json")
    with Opened() as one:
        assert one.notes[0] == "pairs.json: 1 pair has both labels (first: pairs 0 and 2); the last entry counts"
        assert one.labels() == [0, 1]


def test_a_label_that_was_taken_away_by_hand_is_unsure_until_that_is_withdrawn(folder):
    answered(1, 0)
    edit(lambda pairs: pairs[0].update(label=None))
    for _ in range(2):
        with Opened() as one:
            assert one.labels() == [None, 0, None, None]
            with one.labeller.reading() as state:
                verdict = state.answers.verdict(IDS[0])
                assert (verdict.answer, verdict.ruling.answer) == ("unsure", "unsure")
                assert IDS[0] not in state.assignment.open
    with Opened() as one:
        one.send(an_undo(verdict.ruling))
        assert one.labels() == [1, 0, None, None]


def test_no_label_beside_an_answer_that_is_none_is_no_change(folder):
    with Opened() as one:
        one.send(an_event("unsure", pair=IDS[0]))
        one.labels()
    edit(lambda pairs: pairs[1].update(answer=["same"]))
    with Opened() as one:
        assert one.labels() == [None] * 4
        with one.labeller.reading() as state:
            assert state.answers.verdict(IDS[0]).ruling is None
            assert state.answers.verdict(IDS[1]) is None
