"""The labeller's state under damage and load: nothing that was answered is lost or doubled."""

from __future__ import annotations

import json
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
