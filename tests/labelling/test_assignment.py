"""Who is asked what, by a labeller that several people use at once."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from tests.support.labeller_process import Client, labeller

pytestmark = pytest.mark.process


def test_no_pair_is_given_to_two_people(questions):
    with labeller(questions) as server:
        given = defaultdict(set)
        people = [Client(server, name) for name in ("ann", "bob", "cid")]
        while fresh := [(who, q["pair"]) for who in people for q in who.questions(5)]:
            for who, pair in fresh:
                given[pair].add(who.annotator)
                who.answer(pair, "same")
        assert len(given) == 60
        assert {len(who) for who in given.values()} == {1}


def test_who_finds_nothing_to_do_is_given_half_of_anothers_queue(questions):
    with labeller(questions) as server:
        ann, bob = Client(server, "ann"), Client(server, "bob")
        held = [q["pair"] for q in ann.questions(50)]
        held += [q["pair"] for q in ann.questions(50, holding=held)]
        assert len(held) == 60
        assert bob.questions(10) == []
        result = ann.call("next", count=10, holding=held)
        assert (result["pairs"], result["dropped"]) == ([], held[30:])
        assert {q["pair"] for q in bob.questions(50)} == set(held[30:])


def test_leases_outlast_a_restart_and_end_when_the_page_closes(questions):
    with labeller(questions) as server:
        ann, bob = Client(server, "ann"), Client(server, "bob")
        held = {q["pair"] for q in ann.questions(20)}
        server.kill()
        server.start()
        bob = Client(server, "bob")
        taken = []
        while more := bob.questions(50, holding=taken):
            taken += [q["pair"] for q in more]
        assert len(taken) == 40
        assert not held & set(taken)
        ann = Client(server, "ann")
        ann.call("release", pairs=sorted(held))
        assert bob.questions(50, holding=taken) == []  # ann released from another window than the one that holds them


def test_the_window_that_closes_gives_its_pairs_back(questions):
    with labeller(questions) as server:
        ann, bob = Client(server, "ann"), Client(server, "bob")
        held = [q["pair"] for q in ann.questions(50)]
        ann.call("release", pairs=held)
        assert len(bob.questions(50)) == 50


@pytest.mark.parametrize("overlap", [2, 3])
def test_overlap_asks_exactly_that_many_people(questions, overlap):
    with labeller(questions, "--overlap", overlap) as server:
        given = Counter()
        people = [Client(server, f"person {k}") for k in range(4)]
        while fresh := [(who, q["pair"]) for who in people for q in who.questions(7)]:
            for who, pair in fresh:
                given[pair] += 1
                who.answer(pair, "different")
        assert set(given.values()) == {overlap}
        assert len(given) == 60
        report = people[0].call("report")["agreement"]
        assert sum(row["pairs"] for row in report) == 60 * overlap * (overlap - 1) / 2
        server.stop()
        assert {len(pair["answers"]) for pair in server.exported()} == {overlap}


def test_unsure_and_bad_images_are_asked_of_a_second_person_and_stay_out(questions):
    with labeller(questions) as server:
        ann, bob, cid = (Client(server, name) for name in ("ann", "bob", "cid"))
        first, second, third = (q["pair"] for q in ann.questions(3))
        ann.answer(first, "unsure")
        ann.answer(second, "bad_image", bad="both")
        ann.answer(third, "same")
        assert not {first, second, third} & {q["pair"] for q in ann.questions(50)}
        asked = [q["pair"] for q in bob.questions(3)]
        assert {first, second} <= set(asked)
        assert third not in asked
        bob.answer(first, "different")
        bob.answer(second, "unsure")
        assert not {first, second} & {q["pair"] for q in cid.questions(50)}
        server.stop()
        labels = {pair["mine"][0]: pair["label"] for pair in server.exported()}
        assert (labels[0], labels[1], labels[2], labels[3]) == (0, None, 1, None)
        assert server.exported()[0]["answers"][0]["answer"] == "unsure"


def test_skipped_pairs_come_again_when_asked_for(questions):
    with labeller(questions) as server:
        ann, bob = Client(server, "ann"), Client(server, "bob")
        pair = ann.questions(1)[0]["pair"]
        ann.answer(pair, "skip")
        assert pair not in {q["pair"] for q in ann.questions(50)}
        assert ann.call("progress")["skipped"] == 1
        assert [q["pair"] for q in ann.questions(10, skipped=True)] == [pair]
        ann.call("release", pairs=[pair])
        assert bob.questions(1)[0]["pair"] == pair
