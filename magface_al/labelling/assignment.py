"""Who is asked what: every pair once (or --overlap times), a second person where one was unsure, gold mixed in.

A pair that has been handed to somebody's browser is leased to it, so that no one else is given it meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from magface_al.labelling.answer_store import Lease
from magface_al.labelling.answer_words import LABEL_OF, SKIP
from magface_al.labelling.answers import Answers
from magface_al.labelling.events import draw

LEASE_SECONDS = 600.0  # a browser renews its leases every minute; one closed without a word gives them up after this
IDLE_SECONDS = 20.0  # for so long somebody who found nothing to do counts as waiting; their page asks every 2 s


@dataclass(frozen=True)
class Settings:
    """How questions are dealt out."""

    overlap: int = 1  # people who are asked about each pair
    gold_share: float = 0.05  # of the questions
    infer: bool = False  # what follows from other answers is filled in instead of being asked
    relabel: bool = False  # pairs that have a label already are asked, too


@dataclass(frozen=True)
class Handout:
    """The answer to one browser: pairs to add, pairs to drop, and what changes among the leases."""

    fresh: list[str]
    dropped: list[str]
    leases: list[Lease]
    released: list[tuple[str, str, str]]  # (pair_id, annotator, client)


class Assignment:
    """The open questions, in the order of the pairs file, and who holds which of them."""

    def __init__(
        self,
        pair_ids: Iterable[str],
        gold_ids: Iterable[str],
        answers: Answers,
        settings: Settings,
        leases: Iterable[Lease] = (),
    ) -> None:
        self.answers, self.overlap, self.gold_share = answers, settings.overlap, settings.gold_share
        self.gold = list(gold_ids)
        self.asked = dict.fromkeys(pair_ids)
        self.open = {pair_id: None for pair_id in self.asked if not self.settled(pair_id)}
        self.idle: dict[str, float] = {}  # annotator -> when they last found nothing to do
        self.leases: dict[str, dict[tuple[str, str], float]] = {}
        for lease in leases:
            self.leases.setdefault(lease.pair_id, {})[lease.annotator, lease.client] = lease.expires

    def settled(self, pair_id: str, held_by_others: int = 0) -> bool:
        """Whether nobody else need be asked: answered `overlap` times, or that and one more with somebody unsure."""
        verdict = self.answers.verdict(pair_id)
        votes = verdict.votes if verdict else []
        if verdict and verdict.ruling:
            return True
        decided = sum(vote.answer in LABEL_OF for vote in votes)
        return decided + held_by_others >= self.overlap or len(votes) + held_by_others >= self.overlap + 1

    def refresh(self, pair_id: str) -> None:
        """Take note of an answer to this pair, or of one withdrawn."""
        if pair_id not in self.asked or self.settled(pair_id):
            self.open.pop(pair_id, None)
            self.leases.pop(pair_id, None)
        else:
            self.open.setdefault(pair_id, None)

    def available(
        self, annotator: str, client: str, *, implied: frozenset[str] = frozenset(), skipped: bool = False
    ) -> Iterator[str]:
        """The pairs that this annotator could be given now, in order: those that this browser already holds come first.

        implied pairs follow from other answers and are not asked. skipped=True gives what the annotator has skipped.
        """
        now = time.time()
        mine = [pair_id for pair_id, held in self.leases.items() if held.get((annotator, client), 0) >= now]
        first = [pair_id for pair_id in mine if pair_id in self.open]
        held_here = set(first)
        elsewhere = []  # in another window of the same person: last
        for pair_id in [*first, *(pair_id for pair_id in self.open if pair_id not in held_here)]:
            if pair_id in implied or not self._may_ask(pair_id, annotator, skipped, now):
                continue
            held = self.leases.get(pair_id, {})
            if pair_id not in held_here and any(name == annotator and end >= now for (name, _), end in held.items()):
                elsewhere.append(pair_id)
            else:
                yield pair_id
        yield from elsewhere

    def _may_ask(self, pair_id: str, annotator: str, skipped: bool, now: float) -> bool:
        held, latest = self.leases.get(pair_id), self.answers.latest(pair_id)
        if not held and not latest:
            return not skipped
        mine = latest.get(annotator)
        if (mine is not None and mine.answer != SKIP) or (mine is not None) != skipped:
            return False
        holders = {name for (name, _), expires in (held or {}).items() if expires >= now}
        return not self.settled(pair_id, len(holders - {annotator} - set(self.answers.votes(pair_id))))

    def next(
        self,
        annotator: str,
        client: str,
        holding: Sequence[str],
        count: int,
        *,
        pending: Sequence[str] = (),
        implied: frozenset[str] = frozenset(),
        skipped: bool = False,
    ) -> Handout:
        """Up to count new pairs for this browser.

        holding  what it has already, in the order in which it will show them. When somebody else has nothing to do, the
                 second half of it goes back, so that nobody waits for another's full queue.
        pending  what it has answered, with the answer still on its way
        """
        now = time.time()
        gone = {pair_id for pair_id in holding if pair_id in implied or not self._keeps(pair_id, annotator, now)}
        kept = [pair_id for pair_id in holding if pair_id not in gone]
        if any(name != annotator and now - since < IDLE_SECONDS for name, since in self.idle.items()):
            gone |= {pair_id for pair_id in kept[(len(kept) + 1) // 2 :] if pair_id in self.asked}
            kept, count = [pair_id for pair_id in kept if pair_id not in gone], 0 if len(kept) > 1 else 1
        held, fresh = {*kept, *gone, *pending}, list[str]()
        answered = sum(1 for _ in self.answers.history(annotator))
        for pair_id in self.available(annotator, client, implied=implied, skipped=skipped):
            if len(fresh) >= count:
                break
            if pair_id in held:
                continue
            fresh += self._gold_due(annotator, answered + len(kept) + len(fresh), held | set(fresh))
            fresh.append(pair_id)
        if self.open and not kept and not fresh and not pending:
            self.idle[annotator] = now
        else:
            self.idle.pop(annotator, None)
        released = self.release(annotator, client, gone)
        leases = [self.lease(pair_id, annotator, client) for pair_id in [*kept, *fresh] if pair_id in self.asked]
        return Handout(fresh, [pair_id for pair_id in holding if pair_id in gone], leases, released)

    def lease(self, pair_id: str, annotator: str, client: str) -> Lease:
        """Keep a pair for this browser for a while."""
        lease = Lease(pair_id, annotator, client, time.time() + LEASE_SECONDS)
        self.leases.setdefault(pair_id, {})[annotator, client] = lease.expires
        return lease

    def _keeps(self, pair_id: str, annotator: str, now: float) -> bool:
        """Whether a pair that the browser holds may stay there: it has not been settled or given away meanwhile."""
        if pair_id not in self.asked:
            return True  # gold, which everybody is asked
        mine = self.answers.latest(pair_id).get(annotator)
        return self._may_ask(pair_id, annotator, mine is not None and mine.answer == SKIP, now)

    def _gold_due(self, annotator: str, number: int, held: set[str]) -> list[str]:
        """A gold pair in front of this annotator's question of this number, or nothing."""
        if not self.gold or draw(f"gold {annotator} {number}") >= self.gold_share:
            return []
        left = (
            pair_id for pair_id in self.gold if pair_id not in held and annotator not in self.answers.votes(pair_id)
        )
        return list(islice(left, 1))

    def release(self, annotator: str, client: str, pair_ids: Iterable[str]) -> list[tuple[str, str, str]]:
        """Give pairs back that a closed window held; returns the leases to be removed."""
        gone = [pair_id for pair_id in pair_ids if (annotator, client) in self.leases.get(pair_id, {})]
        for pair_id in gone:
            del self.leases[pair_id][annotator, client]
        return [(pair_id, annotator, client) for pair_id in gone]
