"""What is left of the answers when the labeller is killed, or its files are taken away from it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.support.answers import WHEN
from tests.support.labeller_process import Client, labeller, wait_until
from tests.support.scripts import ROOT

pytestmark = pytest.mark.process

EXPORT = ("label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "feedback.json", "--export_only")


def start_and_kill(folder, seconds):
    """Kill the labeller so long after it has created its database, unless it was done before."""
    command = [sys.executable, ROOT / EXPORT[0], *EXPORT[1:]]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    wait_until(lambda: (folder / "feedback.sqlite").exists() or process.poll() is not None)
    time.sleep(seconds)
    process.kill()
    process.wait()


def test_kill_9_during_an_import_loses_no_answer(tmp_path, run_script):
    names = [(f"{number}.png", f"{number + 1}.png") for number in range(6000)]
    asked = [{"image1": a, "image2": b, "label": None} for a, b in names]
    given = [{**pair, "label": k % 2, "answer": ("different", "same")[k % 2], "annotator": "ann", "labeled_at": WHEN}
             for k, pair in enumerate(asked)]  # fmt: skip
    (tmp_path / "pairs.json").write_text(json.dumps(asked))
    (tmp_path / "feedback.json").write_text(json.dumps(given))
    rng = random.Random(1)
    for _ in range(6):
        start_and_kill(tmp_path, rng.uniform(0, 0.8))
    done = run_script(*EXPORT)
    assert "wrote 6000 pairs (3000 same, 3000 different) to feedback.json" in done.stdout
    exported = json.loads((tmp_path / "feedback.json").read_text())["pairs"]
    assert Counter((pair["annotator"], pair["labeled_at"], pair["label"]) for pair in exported) == {
        ("ann", WHEN, 1): 3000, ("ann", WHEN, 0): 3000}  # fmt: skip
    assert not [pair for pair in exported if "answers" in pair]  # nor is one there twice


def test_a_database_that_is_deleted_is_noticed_said_and_written_anew(questions):
    with labeller(questions) as server:
        ann = Client(server)
        first, second = ann.questions(2)
        ann.answer(first["pair"], "same")
        (questions / "feedback.sqlite").unlink()
        event = ann.event(second["pair"], "different")
        body = json.dumps({"annotator": "ann", "client": ann.window, "events": [event]})
        refused = ann.request("POST", "/api/events", body, content_type="application/json")
        assert refused.status >= 500  # whereupon a browser keeps what it has
        ann.connection.close()
        assert "feedback.sqlite was deleted, moved or replaced" in ann.call("progress")["export_error"]
        _, err, code = server.stop()
        assert code == 1
        assert "error: feedback.sqlite was deleted, moved or replaced while the labeller ran" in err
        assert "were written to it anew: end the labeller and start it again; feedback.json has them all, too" in err
        assert [pair["label"] for pair in server.exported()].count(1) == 1
        before = server.token
        server.start()
        assert server.token == before  # so the open page goes on, and sends what it kept
        ann.connection.close()
        assert ann.call("progress")["answers"] == 1
        assert ann.call("events", events=[event])["saved"] == [event["event_id"]]
        assert server.stop()[2] == 0


def test_a_feedback_file_that_cannot_be_written_over_ends_the_run_in_words(questions):
    with labeller(questions) as server:
        ann = Client(server)
        (questions / "feedback.json").write_text('{"pairs": [ an editor is at work')
        ann.answer(ann.questions(1)[0]["pair"], "same")
        assert wait_until(lambda: ann.call("progress")["export_error"])
        _, err, code = server.stop()
    assert code == 1
    assert "feedback.json could not be written (feedback.json: line 1: not JSON" in err
    assert "the answers are safe in feedback.sqlite" in err
    assert "Traceback" not in err
    assert (questions / "feedback.json").read_text() == '{"pairs": [ an editor is at work'
