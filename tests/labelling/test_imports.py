"""Answers from other files."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import datetime
from pathlib import Path

import pytest

from magface_al.command.errors import UserError
from magface_al.labelling.answer_store import StoredPair
from magface_al.labelling.answers import Answers
from magface_al.labelling.events import LONGEST_ANSWER, pair_id
from magface_al.labelling.export import answered_pair
from magface_al.labelling.imports import as_asked, events_of_feedback, events_of_label_studio
from magface_al.pairs.pair_file import Pair, PairFile


def test_an_exported_feedback_file_gives_its_answers_back():
    vote = {"annotator": "a", "answer": "same", "labeled_at": "2026-01-02T03:04:05+00:00", "seconds": 1.0}
    pairs = [
        Pair("a", "b", 1, vote),
        Pair("a", "c", 0, {"answers": [vote, {**vote, "answer": "different", "annotator": "lead", "ruling": True}]}),
        Pair("a", "d", None, {"answer": "unsure", "annotator": "a"}),
        Pair("a", "e", 1, {"inferred": True, "answer": "same"}),
        Pair("a", "f", 0),  # labelled by some other tool
        Pair("a", "g", None),
    ]
    feedback = PairFile(path=Path("f.json"), pairs=pairs)
    events = events_of_feedback(feedback)
    answers = Answers([*events, *events_of_feedback(feedback)])
    assert [answers.verdict(pair_id(pair)) and answers.verdict(pair_id(pair)).answer for pair in pairs] == [
        "same", "different", "unsure", None, "different", None]  # fmt: skip
    assert answers.annotators() == ["a", "imported", "lead"]
    assert len(events) == 5


def label_studio(choice, image1="/data/local-files/?d=faces/x/1.jpg", who=7, **more):
    annotation = {"id": 1, "completed_by": who, "created_at": "2026-01-02T03:04:05Z", "lead_time": 2.5,
                  "result": [{"type": "choices", "from_name": "same", "value": {"choices": [choice]}}], **more}  # fmt: skip
    return {
        "id": 1,
        "data": {"left": image1, "right": "https://host/files/y/2.jpg?x=1", "text": "?"},
        "annotations": [annotation],
    }


def test_label_studio_answers_find_their_pairs(tmp_path):
    path = tmp_path / "ls.json"
    pairs = [Pair("faces/x/1.jpg", "faces/y/2.jpg", None), Pair("faces/x/2.jpg", "faces/y/2.jpg", None)]
    tasks = [label_studio("Same"), label_studio("No", "s3://bucket/faces/x/2.jpg", {"email": "a@b.c"}),
             label_studio("Same", "elsewhere.jpg"), label_studio("Same", was_cancelled=True)]  # fmt: skip
    path.write_text(json.dumps(tasks))
    events, unknown = events_of_label_studio(path, pairs)
    assert unknown == 1
    assert [(e.pair_id, e.answer, e.annotator, e.seconds) for e in events] == [
        (pair_id(pairs[0]), "same", "label studio 7", 2.5), (pair_id(pairs[1]), "different", "a@b.c", 2.5)]  # fmt: skip
    assert [e.event_id for e in events_of_label_studio(path, pairs)[0]] == [e.event_id for e in events]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pairs": []}, "expected a list of tasks"),
        ([{"image1": "a"}], 'task 0: "data" or "annotations" is missing'),
        ([label_studio("Perhaps")], "task 0: the choice is 'Perhaps', expected one of Same, Different"),
    ],
)
def test_label_studio_files_that_are_none_are_refused(tmp_path, content, message):
    path = tmp_path / "ls.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        events_of_label_studio(path, [Pair("x/1.jpg", "y/2.jpg", None)])
    assert message in str(error.value)


JUNK = [
    None,
    True,
    7,
    1.7e308,
    "",
    "\ud800",
    "http://[",
    "a/" * 5000,
    [],
    [7],
    ["Same", {}],
    [[]],
    {},
    {"choices": [[]]},
    {"id": {}},
]


def places(value, at=()):
    """Every place inside a JSON value, itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from places(inner, (*at, key))


def with_junk(content):
    """The content once for each place in it and each thing that it could not be meant to hold."""
    for at in places(content):
        for junk in JUNK:
            changed = copy.deepcopy(content)
            inner = changed
            for key in at[:-1]:
                inner = inner[key]
            inner[at[-1]] = junk
            yield changed


def kept(events):
    """Checks that events can be stored, shown and exported again."""
    for event in events:
        json.dumps(dataclasses.asdict(event), allow_nan=False).encode()
        assert event.seconds is None or event.seconds <= LONGEST_ANSWER
        assert datetime.fromisoformat(event.answered_at).tzinfo is not None
        assert set(event.details) <= {"left", "bad", "mode", "opinion_shown", "source"}


def test_a_label_studio_file_may_hold_anything_anywhere(tmp_path):
    path = tmp_path / "ls.json"
    pairs = [Pair("faces/x/1.jpg", "faces/y/2.jpg", None)]
    read = 0
    for content in with_junk([label_studio("Same", who={"email": "a@b.c"})]):
        path.write_text(json.dumps(content))
        try:
            events, _ = events_of_label_studio(path, pairs)
        except UserError as error:
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
        else:
            kept(events)
            read += 1
    assert read > 100


def test_a_feedback_file_may_hold_anything_beside_its_labels():
    vote = {"annotator": "a", "answer": "bad_image", "bad": "both", "left": "image1", "mode": "grid", "opinion_shown": True,
            "labeled_at": "2026-01-02T03:04:05+00:00", "seconds": 1.0}  # fmt: skip
    whole = {**vote, "answers": [vote, {**vote, "ruling": True}], "inferred": False, "previous_label": 1}
    for single in (vote, whole):
        for extra in with_junk(single):
            pair = Pair("a", "b", 1, extra)
            events = events_of_feedback(PairFile(Path("f.json"), [pair]))
            kept(events)
            stored = as_asked(StoredPair(pair_id(pair), pair, Path()))
            assert stored.pair.label in (0, 1, None)
            for event in events:
                assert answered_pair(stored, Answers([event]), {}).extra["annotator"]


def test_times_and_durations_that_are_none_are_not_taken_over():
    pairs = [Pair("a", f"{k}", 1, {"answer": "same", "labeled_at": when, "seconds": seconds}) for k, (when, seconds) in enumerate(
        [("2026-01-02T03:04:05", 1.7e308), ("yesterday", -1), ("9999-12-31T23:59:59-14:00", 86_401)])]  # fmt: skip
    events = events_of_feedback(PairFile(Path("f.json"), pairs))
    assert [event.seconds for event in events] == [None] * 3
    assert events[0].answered_at == "2026-01-02T03:04:05.000+00:00"
    assert max(event.answered_at for event in events) < "2100"


def test_an_address_of_many_parts_is_looked_up_at_once(tmp_path):
    path = tmp_path / "ls.json"
    path.write_text(json.dumps([label_studio("Same", "a/" * 400_000 + "1.jpg")]))
    assert events_of_label_studio(path, [Pair("b/" * 1000 + "1.jpg", "faces/y/2.jpg", None)])[1] == 0
