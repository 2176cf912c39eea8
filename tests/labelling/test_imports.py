"""Answers from other files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from magface_al.command.errors import UserError
from magface_al.labelling.answers import Answers
from magface_al.labelling.events import pair_id
from magface_al.labelling.imports import events_of_feedback, events_of_label_studio
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
