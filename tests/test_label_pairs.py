"""label_pairs.py through its command line and over HTTP: what becomes of the answers, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections import Counter

import pytest

from magface_al.pairs.pair_file import read_pairs
from tests.support.labeller_process import Client, ids_by_images, labeller, wait_until, write_chain

pytestmark = pytest.mark.process


def test_an_answer_is_exported_with_everything_else_kept(questions):
    with labeller(questions) as server:
        ann = Client(server)
        first, second = ann.questions(2)
        ann.answer(first["pair"], "same", left="image2", opinion_shown=True)
        ann.answer(second["pair"], "bad_image", bad="image1")
        assert wait_until(lambda: any(p["label"] == 1 for p in server.exported())), "no export after a pause"
        out, err, code = server.stop()
    assert (code, err) == (0, "")
    assert "wrote 60 pairs (1 same, 59 unanswered) to feedback.json" in out
    assert "python finetune_on_feedback.py --checkpoint magface_epoch_00025.pth --feedback_file feedback.json" in out
    content = json.loads((questions / "feedback.json").read_text())
    before = json.loads((questions / "pairs.json").read_text())
    assert content["strategy"] == "random"
    answer = {"answer": "same", "annotator": "ann", "labeled_at": "2026-05-04T03:02:01.000+00:00", "seconds": 1.5}
    assert content["pairs"][0] == {**before["pairs"][0], **answer, "label": 1, "left": "image2", "opinion_shown": True}
    assert content["pairs"][1] == {
        **before["pairs"][1],
        **answer,
        "label": None,
        "answer": "bad_image",
        "bad": "image1",
    }
    assert content["pairs"][2:] == before["pairs"][2:]
    feedback = read_pairs(questions / "feedback.json")
    assert feedback.locate(feedback.pairs[0].image1).is_file()


def test_images_are_found_from_another_folder(questions, run_script):
    (questions / "elsewhere").mkdir()
    run_script("label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "elsewhere/f.json", "--export_only")
    feedback = read_pairs(questions / "elsewhere" / "f.json")
    assert feedback.locate(feedback.pairs[0].image1).is_file()


def test_the_address_stays_the_same_over_a_restart(questions):
    with labeller(questions) as server:
        ann, before = Client(server), server.address
        server.kill()
        server.start()
        assert server.address == before
        ann.connection.close()
        assert ann.call("progress")["pairs"] == 60  # the open page goes on with its cookie


def test_the_feedback_file_is_whole_whenever_it_is_read(questions):
    with labeller(questions) as server:
        ann = Client(server)
        stop = threading.Event()
        lengths = []

        def read():
            while not stop.is_set():
                lengths.append(len(server.exported()))

        reader = threading.Thread(target=read)
        reader.start()
        for question in ann.questions(20):
            ann.answer(question["pair"], "same")
            ann.call("export")
        stop.set()
        reader.join()
    assert set(lengths) == {60}
    assert not list(questions.glob("*.part"))


def test_sending_an_event_again_changes_nothing(questions):
    with labeller(questions) as server:
        ann = Client(server)
        question = ann.questions(1)[0]
        event = ann.answer(question["pair"], "same")
        for _ in range(3):
            assert ann.call("events", events=[event, event])["saved"] == [event["event_id"]] * 2
        assert ann.call("progress")["answers"] == 1
        ann.undo(event)
        ann.call("events", events=[event])  # a late retry of an answer that was undone
        assert ann.call("progress")["answers"] == 0


def test_undo_goes_any_number_of_steps_back(questions):
    with labeller(questions) as server:
        ann = Client(server)
        for question in ann.questions(50):
            ann.answer(question["pair"], "same")
        while history := ann.call("history")["answers"]:
            for step in history:
                ann.undo({"event_id": step["event_id"], "pair_id": step["question"]["pair"]})
        assert ann.call("progress")["answers"] == 0
        assert len(ann.questions(50)) == 50


def test_bad_events_are_refused_one_by_one(questions):
    with labeller(questions) as server:
        ann = Client(server)
        good = ann.event(ann.questions(1)[0]["pair"], "same")
        result = ann.call("events", events=[ann.event("f" * 16, "same"), good, {"event_id": 3, "answer": "same"}, "x"])
        assert result["saved"] == [good["event_id"]]
        reasons = [entry["reason"] for entry in result["refused"]]
        assert reasons[0] == "this pair is not in the pairs file"
        assert "event_id is '3'" in reasons[1]
        assert reasons[2] == "an event is not an object"


def test_the_page_gets_no_names_and_both_orders(questions):
    with labeller(questions) as server:
        ann = Client(server)
        questions = ann.questions(50)
        assert "person" not in json.dumps(questions)
        left = {question["pair"]: question["left"] for question in questions}
        count = Counter(side["side"] for side in left.values())
        assert min(count["image1"], count["image2"]) > 10
        assert {question["pair"]: question["left"] for question in ann.questions(50)} == left
        ann.call("release", pairs=list(left))
        others = {question["pair"]: question["left"] for question in Client(server, "bob").questions(50)}
        assert sum(others[pair] != left[pair] for pair in others) > 10


def test_gold_pairs_measure_each_annotator_and_are_not_exported(questions):
    content = json.loads((questions / "pairs.json").read_text())
    gold, content["pairs"] = content["pairs"][:10], content["pairs"][10:]
    (questions / "gold.json").write_text(json.dumps([{**pair, "label": k % 2} for k, pair in enumerate(gold)]))
    (questions / "pairs.json").write_text(json.dumps(content))
    with labeller(questions, "--gold", "gold.json", "--gold_share", 0.3, "--overlap", 2) as server:
        for name, answer in (("ann", "same"), ("bob", "unsure")):
            who, asked = Client(server, name), []
            while fresh := who.questions(9):
                asked += [q["pair"] for q in fresh]
                for question in fresh:
                    who.answer(question["pair"], answer)
            assert len(asked) == len(set(asked)) == 60
        ann, bob = Client(server).call("report")["annotators"]
        assert ann["gold"] == {"asked": 10, "right": 5, "wrong": 5, "undecided": 0, "accuracy": 0.5}
        assert bob["gold"]["undecided"] == 10
        server.stop()
        assert len(server.exported()) == 50


def test_contradictions_are_found_and_resolved_by_a_ruling(tmp_path):
    write_chain(tmp_path, "ab? bc? ac? xy?")
    with labeller(tmp_path) as server:
        ann, pair = Client(server), ids_by_images(server)
        for name, answer in (("ab", "same"), ("bc", "same"), ("ac", "different")):
            ann.answer(pair[name], answer)
        assert ann.call("progress")["contradictions"] == 1
        (found,) = ann.call("contradictions")["contradictions"]
        assert found["different"]["pair"] == pair["ac"]
        assert [row["pair"] for row in found["chain"]] == [pair["ab"], pair["bc"]]
        assert len(found["faces"]) == 3
        assert ann.call("review", show="contradiction")["total"] == 3
        ruling = ann.event(pair["bc"], "different", kind="ruling", mode="review")
        ann.call("events", events=[ruling])
        assert ann.call("progress")["contradictions"] == 0
        row = next(row for row in ann.call("review")["rows"] if row["pair"] == pair["bc"])
        assert (row["answer"], row["ruling"]["event_id"], row["votes"][0]["answer"]) == (
            "different",
            ruling["event_id"],
            "same",
        )
        ann.undo(ruling)
        assert ann.call("progress")["contradictions"] == 1
        ann.call("events", events=[ann.event(pair["bc"], "different", kind="ruling")])
        server.stop()
        answers = server.exported()[1]
    assert (answers["label"], answers["answers"][-1]["ruling"]) == (0, True)


def test_infer_fills_in_what_follows_instead_of_asking(tmp_path):
    write_chain(tmp_path, "ab? bc? ac? cd? bd? xy?")
    with labeller(tmp_path, "--infer") as server:
        ann, pair = Client(server), ids_by_images(server)
        event = ann.answer(pair["ab"], "same")
        ann.answer(pair["bc"], "same")
        ann.answer(pair["cd"], "different")
        assert [q["pair"] for q in ann.questions(10)] == [pair["xy"]]
        assert ann.call("review", show="inferred")["total"] == 2
        ann.call("export")
        inferred = [(p["image1"][0] + p["image2"][0], p["label"]) for p in server.exported() if p.get("inferred")]
        assert inferred == [("ac", 1), ("bd", 0)]
        ann.undo(event)
        server.stop()
        assert [p["image1"][0] + p["image2"][0] for p in server.exported() if p.get("inferred")] == ["bd"]
    with labeller(tmp_path) as server:  # without the flag nothing is filled in
        server.stop()
        assert not [p for p in server.exported() if p.get("inferred")]


def test_the_grid_puts_one_face_against_those_that_its_pairs_name(tmp_path):
    write_chain(tmp_path, "ab? pq? ac? da? ae? af? ag? ah? ai? aj? bc?")
    with labeller(tmp_path) as server:
        ann, bob, pair = Client(server), Client(server, "bob"), ids_by_images(server)
        grid = ann.call("grid", holding=[])["grid"]
        pairs = [candidate["pair"] for candidate in grid["candidates"]]
        assert pairs == [pair[name] for name in ("ab", "ac", "ad", "ae", "af", "ag", "ah", "ai")]
        assert len({c["image"] for c in grid["candidates"]} | {grid["anchor"]}) == 9
        assert not set(pairs) & {c["pair"] for c in bob.call("grid", holding=[])["grid"]["candidates"]}
        assert pair["ab"] not in {c["pair"] for c in ann.call("grid", holding=pairs)["grid"]["candidates"]}
        events = [ann.event(key, "same" if k < 2 else "different", mode="grid") for k, key in enumerate(pairs)]
        ann.call("events", events=events)
        server.stop()
        assert Counter(p["label"] for p in server.exported()) == {None: 3, 1: 2, 0: 6}


def test_review_filters_and_searches(questions):
    with labeller(questions, "--overlap", 2) as server:
        ann, bob = Client(server, "ann"), Client(server, "bob")
        pairs = [q["pair"] for q in ann.questions(5)]
        for pair, mine, theirs in zip(pairs, ("same", "same", "different", "unsure", "same"), ("same", "different", "different", "same", "same"), strict=True):  # fmt: skip
            ann.answer(pair, mine)
            bob.answer(pair, theirs, seconds=0.01 if mine == "unsure" else 2.0)

        def total(**wanted):
            return ann.call("review", **wanted)["total"]

        assert (total(), total(show="same"), total(show="different"), total(show="disagreement")) == (5, 3, 1, 2)
        assert (total(show="hasty"), total(by="bob"), total(by="nobody")) == (1, 5, 0)
        name = ann.call("review")["rows"][0]["names"][0]
        assert 0 < total(search=name.upper()) < 5
        assert len(ann.call("review", count=2, offset=4)["rows"]) == 1
        (row,) = ann.call("report")["agreement"]
        assert (row["pairs"], row["agreed"]) == (5, 3)


def test_pairs_added_to_the_file_are_asked_and_earlier_answers_stay(questions):
    content = json.loads((questions / "pairs.json").read_text())
    (questions / "first.json").write_text(json.dumps({"pairs": content["pairs"][:20]}))
    (questions / "second.json").write_text(json.dumps({"pairs": [
        {**p, "image1": p["image2"], "image2": p["image1"]} for p in content["pairs"][10:]]}))  # fmt: skip
    with labeller(questions, pairs="first.json") as server:
        ann = Client(server)
        for question in ann.questions(15):
            ann.answer(question["pair"], "same")
        server.stop()
    with labeller(questions, pairs="second.json") as server:
        assert Client(server).call("progress")["settled"] == 5
        server.stop()
        exported = server.exported()
    assert len(exported) == 60  # 50 of the second file, then 10 answered ones that only the first had
    assert [p["label"] for p in exported] == [1] * 5 + [None] * 45 + [1] * 10


def test_labels_in_the_pairs_file_are_kept_and_asked_only_with_relabel(tmp_path, run_script):
    write_chain(tmp_path, "ab=1 bc=0")
    flags = ["label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "feedback.json", "--port", 0]
    done = run_script(*flags, code=2)
    assert "pairs.json: all its pairs have labels; --relabel asks about them all the same" in done.stderr
    with labeller(tmp_path, "--relabel") as server:
        ann = Client(server)
        ann.answer(ann.questions(1)[0]["pair"], "different")
        server.stop()
        first, second = server.exported()
    (tmp_path / "feedback.sqlite").unlink()
    with labeller(
        tmp_path, "--relabel"
    ) as server:  # only the answer is read back, not the label that came with the pair
        assert Client(server).call("progress")["settled"] == 1
    assert (first["label"], first["previous_label"], second["label"]) == (0, 1, 0)
    assert "previous_label" not in second


def test_one_labeller_at_a_time(questions, run_script):
    flags = ["label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "feedback.json", "--port", 0]
    with labeller(questions):
        done = run_script(*flags, code=2)
    assert "feedback.json: another run is writing it" in done.stderr


@pytest.mark.parametrize("name", ["feedback.csv", "feedback.sqlite"])
def test_a_feedback_file_by_the_name_of_the_csv_or_the_database_is_refused(questions, run_script, name):
    done = run_script("label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", name, "--export_only", code=2)
    assert f"--feedback_file {name}: the CSV or the database gets that name too" in done.stderr
    assert not list(questions.glob("feedback.*"))


def test_the_port_in_use_is_named(questions, run_script):
    with labeller(questions) as server:
        flags = ["--pairs_file", "pairs.json", "--feedback_file", "other.json", "--port", server.port]
        done = run_script("label_pairs.py", *flags, code=2)
    assert f"127.0.0.1:{server.port}: Address already in use; choose another --port" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(questions, run_script):
    folder = questions / "readonly"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # root writes everywhere but in /proc
        folder = "/proc"
    done = run_script("label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", f"{folder}/f.json", code=2)
    assert f"{folder}/f.json: cannot be written" in done.stderr
    assert "in a folder of your own" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "pairs.json: line 1: not JSON"),
        ("[]", "pairs.json: the list of pairs is empty"),
        ([{"image1": "a", "image4": "b", "label": None}], 'pairs.json: pair 0: key "image2" is missing'),
    ],
)
def test_malformed_pairs_files_are_refused(write_pairs_file, run_script, tmp_path, content, message):
    write_pairs_file(content)
    done = run_script("label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "f.json", code=2)
    assert message in done.stderr
    assert not (tmp_path / "f.sqlite").exists()


def test_pairs_and_feedback_must_be_two_files(questions, run_script):
    done = run_script("label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "./pairs.json", code=2)
    assert "pairs.json: would be written over, and is an input (--pairs_file)" in done.stderr


@pytest.mark.parametrize(
    ("flag", "name"), [("--pairs_file", "f.csv"), ("--pairs_file", "f.sqlite"), ("--gold", "f.json.bak")]
)
def test_what_stands_beside_the_feedback_file_is_no_input_either(questions, run_script, flag, name):
    """Seen at the start: the page would otherwise take answers that no export can write."""
    (questions / name).write_text(json.dumps([{"image1": "a", "image2": "b", "label": 1}]))
    before = (questions / name).read_bytes()
    files = {"--pairs_file": "pairs.json", flag: name}
    words = [word for item in files.items() for word in item]
    done = run_script("label_pairs.py", *words, "--feedback_file", "f.json", code=2)
    assert f"{name}: would be written over, and is an input ({flag})" in done.stderr
    assert [path.name for path in questions.glob("f.*")] == [name]
    assert (questions / name).read_bytes() == before


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_the_message_says_what_to_install(questions, run_process, package):
    (questions / f"{package}.py").write_text(f"raise ModuleNotFoundError('no', name='{package}')")
    environment = {**os.environ, "PYTHONPATH": str(questions)}
    flags = ["label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "f.json"]
    done = run_process(*flags, code=2, env=environment)
    message = f"{package} is not installed and is needed for the web page: pip install {package}, or pip install -e '.[label]'"
    assert message in done.stderr
    assert not (questions / "f.sqlite").exists()
    run_process(*flags, "--export_only", env=environment)  # which needs no server


def test_import_from_label_studio_and_export_without_a_server(questions, run_script):
    pairs = json.loads((questions / "pairs.json").read_text())["pairs"]
    tasks = [{"data": {"image1": p["image1"], "image2": p["image2"]}, "annotations": [
        {"completed_by": {"email": "a@b.c"}, "created_at": "2026-01-02T03:04:05Z", "lead_time": 2,
         "result": [{"value": {"choices": ["Same"]}}]}]} for p in pairs[:7]]  # fmt: skip
    (questions / "ls.json").write_text(json.dumps([*tasks, {"data": {}, "annotations": []}]))
    flags = [
        "--pairs_file",
        "pairs.json",
        "--feedback_file",
        "f.json",
        "--export_only",
        "--import_label_studio",
        "ls.json",
    ]
    for _ in range(2):  # twice changes nothing
        done = run_script("label_pairs.py", *flags, "--csv_file", "out.csv")
        assert "read 7 answers from ls.json" in done.stdout
        assert "1 task that names no pair of pairs.json is left out" in done.stderr
        assert "wrote 60 pairs (7 same, 53 unanswered) to f.json" in done.stdout
    rows = list(csv.DictReader((questions / "out.csv").read_text().splitlines()))
    assert [row["annotator"] for row in rows[:8]] == ["a@b.c"] * 7 + [""]
    assert json.loads((questions / "f.manifest.json").read_text())["labelled"] == 7


def test_without_a_screen_the_address_is_left_to_the_user(questions, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with labeller(questions, "--open_browser") as server:
        Client(server)
        assert "no browser was found here; open the address yourself" in server.stop()[1]
