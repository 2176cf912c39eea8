"""What answers amount to: majority, undo, rulings, agreement, contradictions, implications; and the files they come as."""

from __future__ import annotations

import csv
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from magface_al.command.errors import UserError
from magface_al.labelling.agreement import agreement_table, annotator_table, cohen_kappa
from magface_al.labelling.answers import Answers
from magface_al.labelling.consistency import find_contradictions, implied_labels
from magface_al.labelling.events import Event, pair_id, parse_event
from magface_al.labelling.export import write_csv
from magface_al.labelling.imports import events_of_feedback, events_of_label_studio
from magface_al.pairs.pair_file import Pair, PairFile

numbers = itertools.count()
P, Q = "0" * 16, "1" * 16


def event(answer, who="ann", pair=P, kind="answer", **more):
    return Event(f"event {next(numbers)}", kind, pair, who, "2026-01-02T03:04:05+00:00", answer, **more)


def undo(undone):
    return event(None, undone.annotator, undone.pair_id, "undo", undoes=undone.event_id)


@pytest.mark.parametrize(
    ("said", "answer", "label"),
    [
        (["same"], "same", 1),
        (["different"], "different", 0),
        (["unsure"], "unsure", None),
        (["bad_image"], "bad_image", None),
        (["same", "different"], "disagreement", None),
        (["same", "different", "same"], "same", 1),
        (["unsure", "same"], "same", 1),  # the second person decides
        (["unsure", "same", "unsure"], "unsure", None),
        (["bad_image", "different", "bad_image"], "bad_image", None),
        (["unsure", "same", "different"], "disagreement", None),
        (["skip"], None, None),
        (["skip", "different"], "different", 0),
    ],
)
def test_the_label_is_the_majority_and_abstentions_stay_out(said, answer, label):
    verdict = Answers(event(word, who=f"person {k}") for k, word in enumerate(said)).verdict(P)
    assert (verdict and verdict.answer, verdict and verdict.label) == (answer, label)


def test_the_latest_answer_of_a_person_counts_and_undo_goes_back_step_by_step():
    first, second = event("same"), event("different")
    answers = Answers([first, second])
    assert answers.verdict(P).answer == "different"
    answers.add(undo(second))
    assert answers.verdict(P).answer == "same"
    answers.add(undo(first))
    assert answers.verdict(P) is None
    assert list(answers.history("ann")) == []


def test_an_undo_that_arrives_before_its_answer_withdraws_it_all_the_same():
    first = event("same")
    assert Answers([undo(first), first]).verdict(P) is None


def test_an_event_that_is_sent_twice_counts_once():
    first = event("same")
    answers = Answers([first, first])
    assert len(list(answers.history("ann"))) == 1


def test_a_ruling_beats_any_majority_until_it_is_withdrawn():
    ruling = event("different", "lead", kind="ruling")
    answers = Answers([event("same", "a"), event("same", "b"), ruling, event("same", "c")])
    assert (answers.verdict(P).label, len(answers.verdict(P).votes)) == (0, 3)
    answers.add(undo(ruling))
    assert answers.verdict(P).label == 1


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    one = rng.choice(["same", "different", "unsure"], 60)
    two = np.where(rng.random(60) < 0.7, one, rng.choice(["same", "different", "bad_image"], 60))
    assert cohen_kappa(one, two) == pytest.approx(cohen_kappa_score(one, two), abs=1e-12)


def test_kappa_is_undefined_where_chance_agrees_fully():
    assert cohen_kappa(["same", "same"], ["same", "same"]) is None
    assert cohen_kappa([], []) is None
    assert cohen_kappa(["same", "different"], ["different", "same"]) == pytest.approx(-1)


def test_agreement_pace_and_gold_accuracy_of_each_annotator():
    said = [event("same", "a", P, seconds=1.0), event("different", "a", Q, seconds=3.0), event("same", "b", P, seconds=2.0),
            event("same", "b", Q), event("skip", "c", P)]  # fmt: skip
    answers = Answers(said)
    assert agreement_table(answers, [P, Q]) == [{"annotators": ["a", "b"], "pairs": 2, "agreed": 1, "kappa": 0.0}]
    a, b, c = annotator_table(answers, gold={P: 1, Q: 0})
    assert (a["answers"], a["median_seconds"], a["gold"]["accuracy"]) == (2, 2.0, 1.0)
    assert b["gold"] == {"asked": 2, "right": 1, "wrong": 1, "undecided": 0, "accuracy": 0.5}
    assert c["gold"] == {"asked": 1, "right": 0, "wrong": 0, "undecided": 1, "accuracy": None}


def pairs_of(text):
    """'ab=1 bc=0' as pairs."""
    return [Pair(item[0], item[1], {"1": 1, "0": 0}[item[3]]) for item in text.split()]


def test_a_triangle_that_cannot_be_is_shown_by_its_shortest_chain():
    (found,), count = find_contradictions(pairs_of("ab=1 bc=1 cd=1 bd=1 ad=0 xy=1 xz=0"))
    assert count == 1
    assert found.faces() == ["a", "b", "d"]
    assert [pair.key() for pair in found.chain] == [("a", "b"), ("b", "d")]


def test_the_chain_of_a_contradiction_is_a_shortest_path():
    scipy = pytest.importorskip("scipy.sparse.csgraph")
    rng = np.random.default_rng(4)
    names = [f"{k:02d}" for k in range(30)]
    edges = {tuple(sorted(rng.choice(30, 2, replace=False).tolist())) for _ in range(45)}
    same = [Pair(names[a], names[b], 1) for a, b in edges]
    different = [Pair(names[a], names[b], 0) for a, b in itertools.combinations(range(30), 2) if (a, b) not in edges][
        ::9
    ]
    matrix = np.zeros((30, 30))
    for a, b in edges:
        matrix[a, b] = matrix[b, a] = 1
    distance = scipy.shortest_path(matrix, unweighted=True)
    found, count = find_contradictions(same + different, most=10_000)
    expected = [pair for pair in different if np.isfinite(distance[int(pair.image1), int(pair.image2)])]
    assert count == len(found) == len(expected) > 5
    for contradiction in found:
        ends = int(contradiction.different.image1), int(contradiction.different.image2)
        assert len(contradiction.chain) == distance[ends]
        assert (contradiction.faces()[0], contradiction.faces()[-1]) == (names[ends[0]], names[ends[1]])


def test_what_follows_from_the_answers():
    answered = pairs_of("ab=1 bc=1 cd=0 de=1 xy=1 yz=1 xz=0 xq=0")
    others = [Pair(a, b, None) for a, b in ("ac", "ae", "bd", "be", "aq", "dq", "zq", "ap")]
    implied = implied_labels(answered, others)
    # a b c are one person, d e another; x y z contradict themselves, so nothing follows from them
    assert implied == {("a", "c"): 1, ("a", "e"): 0, ("b", "d"): 0, ("b", "e"): 0}


def test_a_pair_keeps_its_id_whichever_way_round_it_stands():
    assert pair_id(Pair("a", "b", None)) == pair_id(Pair("b", "a", 1)) != pair_id(Pair("a", "c", None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "maybe"}, "answer is 'maybe'"),
        ({"event_id": "1"}, "event_id is '1'"),
        ({"pair_id": "../../etc"}, "pair_id is '../../etc'"),
        ({"annotator": " "}, "annotator is ' '"),
        ({"annotator": "x" * 61}, "expected a name of 1 to 60"),
        ({"annotator": "a\nb"}, "printable"),
        ({"seconds": float("nan")}, "seconds is 'nan'"),
        ({"seconds": True}, "seconds is 'True'"),
        ({"answered_at": "yesterday"}, "answered_at is 'yesterday'"),
        ({"kind": "undo", "undoes": "x"}, "undoes is 'x'"),
        ({"kind": "delete"}, "kind is 'delete'"),
        ({"bad": "nose", "answer": "bad_image"}, "bad is 'nose'"),
    ],
)
def test_a_bad_event_is_refused_with_a_reason(change, message):
    good = {"event_id": "01234567-89ab-4def-8123-456789abcdef", "pair_id": P, "annotator": "ann", "answer": "same"}
    assert parse_event(good).answer == "same"
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_event({**good, **change})


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


def test_csv_has_a_line_a_pair_and_no_formulas(tmp_path):
    vote = {"annotator": "a", "answer": "same", "labeled_at": "2026", "seconds": 1.0}
    write_csv(tmp_path / "f.csv", [Pair("=cmd()", "b,c.jpg", 1, vote), Pair("x", "y", None)])
    rows = list(csv.DictReader((tmp_path / "f.csv").read_text().splitlines()))
    assert (rows[0]["image1"], rows[0]["image2"], rows[0]["label"], rows[0]["votes"]) == (
        "'=cmd()",
        "b,c.jpg",
        "1",
        "a: same",
    )
    assert (rows[1]["label"], rows[1]["inferred"]) == ("", "0")
