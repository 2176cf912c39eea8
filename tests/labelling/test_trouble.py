"""label_pairs.py when things go wrong, or many come at once: damage, bad input, crashes, other people's files, load."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest

from tests.support.labeller_process import Client, labeller

pytestmark = pytest.mark.process


def test_a_corrupt_database_is_kept_aside_and_the_export_taken_up(questions):
    with labeller(questions) as server:
        ann = Client(server)
        for question in ann.questions(8):
            ann.answer(question["pair"], "same")
        server.stop()
    database = questions / "feedback.sqlite"
    damaged = b"not a database at all" * 300
    database.write_bytes(damaged)
    with labeller(questions) as server:
        assert Client(server).call("progress")["answers"] == 8
        _, err, _ = server.stop()
        assert sum(p["label"] == 1 for p in server.exported()) == 8
    (aside,) = questions.glob("feedback.sqlite.corrupt-*")
    assert aside.read_bytes() == damaged
    assert f"feedback.sqlite is corrupt and was moved to {aside.name}" in err


def test_damage_inside_the_database_is_noticed(questions):
    with labeller(questions) as server:
        server.stop()
    database = questions / "feedback.sqlite"
    content = bytearray(database.read_bytes())
    content[4096 + 20 : 8192] = b"\xa5" * (4096 - 20)
    database.write_bytes(content)
    with labeller(questions) as server:
        server.stop()
    assert len(list(questions.glob("feedback.sqlite.corrupt-*"))) == 1


def test_one_labeller_at_a_time(questions, run_script):
    flags = ["label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "feedback.json", "--port", 0]
    with labeller(questions):
        done = run_script(*flags, code=2)
    assert "feedback.sqlite: in use by another label_pairs.py" in done.stderr


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
    assert f"{folder}/f.sqlite: cannot be written" in done.stderr
    assert "choose a --feedback_file in a folder of your own" in done.stderr


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
    assert "pairs.json: is also the --pairs_file" in done.stderr


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


def test_sigterm_exports_and_ends_well(questions):
    with labeller(questions) as server:
        ann = Client(server)
        ann.answer(ann.questions(1)[0]["pair"], "same")
        out, _, code = server.stop(signal.SIGTERM)
    assert code == 0
    assert "(1 same, 59 unanswered)" in out


def test_twenty_people_at_once_lose_and_double_nothing(questions):
    images = [f"faces/{path.parent.name}/{path.name}" for path in sorted((questions / "faces").glob("*/*.png"))]
    many = [(a, b) for k, a in enumerate(images) for b in images[:k]][:1200]
    (questions / "pairs.json").write_text(json.dumps([{"image1": a, "image2": b, "label": None} for a, b in many]))
    sent, took, failures = [], [], []

    def work(number, server):
        try:
            who, done, holding = Client(server, f"person {number}"), 0, []
            while done < 50:
                if not holding:
                    holding = [q["pair"] for q in who.questions(min(8, 50 - done))]
                event = who.event(holding.pop(0), "same" if done % 2 else "different")
                start = time.perf_counter()
                result = who.call("events", events=[event])
                took.append(time.perf_counter() - start)
                assert result["saved"] == [event["event_id"]]
                sent.append(event)
                done += 1
        except BaseException as error:
            failures.append(error)
            raise

    with labeller(questions) as server:
        threads = [threading.Thread(target=work, args=(number, server)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        server.stop()
        exported = {
            (p["annotator"], p["label"], p["image1"], p["image2"]) for p in server.exported() if p["label"] is not None
        }
    assert len(sent) == len({event["pair_id"] for event in sent}) == len(exported) == 1000
    assert Counter(name for name, *_ in exported) == {f"person {k}": 50 for k in range(20)}
    p50, p95 = 1000 * np.quantile(took, [0.5, 0.95])
    print(f"1000 answers of 20 people at once: p50 {p50:.1f} ms, p95 {p95:.1f} ms")  # pytest -rA shows it
