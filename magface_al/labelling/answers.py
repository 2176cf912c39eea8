"""What stands now, derived from the log: who said what about each pair, and what that amounts to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from magface_al.labelling.answer_words import ANSWER_DIFFERENT, ANSWER_SAME, LABEL_OF, SKIP, UNABLE
from magface_al.labelling.events import Event

DISAGREEMENT = "disagreement"


@dataclass(frozen=True)
class Verdict:
    """What the answers to one pair amount to: the label (1, 0, None), in a word, and the answers behind it."""

    label: int | None
    answer: str  # of VOTES, or DISAGREEMENT
    votes: list[Event]
    ruling: Event | None

    @property
    def deciding(self) -> list[Event]:
        """The ruling if there is one, otherwise all votes."""
        return [self.ruling] if self.ruling else self.votes


def undo_fault(undo: Event, undone: Event) -> str | None:
    """Why an undo does not withdraw the event that it names; None if it does.

    An answer is withdrawn by who gave it. A ruling, which overrules everybody, can be withdrawn by everybody.
    """
    if undone.kind == "undo":
        return "what it names is an undo"
    if undone.pair_id != undo.pair_id:
        return "what it names is about another pair"
    if undone.kind == "answer" and undone.annotator != undo.annotator:
        return "what it names is another person's answer"
    return None


class Answers:
    """The standing answers. An undo withdraws the event that it names, in whichever order the two arrive, if it may."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.version = 0
        self._by_id: dict[str, Event] = {}
        self._withdrawn: set[str] = set()
        self._waiting: dict[str, list[Event]] = defaultdict(list)  # undos, by the event that has not arrived yet
        self._of_pair: dict[str, list[Event]] = defaultdict(list)
        self._of_annotator: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in an event; one that is already known changes nothing."""
        if event.event_id in self._by_id:
            return
        self.version += 1
        self._by_id[event.event_id] = event
        if event.kind == "undo":
            self._take_undo(event)
            return
        self._of_pair[event.pair_id].append(event)
        self._of_annotator[event.annotator].append(event)
        for undo in self._waiting.pop(event.event_id, ()):
            self._take_undo(undo)

    def _take_undo(self, undo: Event) -> None:
        undone = self._by_id.get(undo.undoes or "")
        if undone is None:
            self._waiting[undo.undoes or ""].append(undo)
        elif undo_fault(undo, undone) is None:
            self._withdrawn.add(undone.event_id)

    def event(self, event_id: str) -> Event | None:
        """The event with this id, withdrawn or not."""
        return self._by_id.get(event_id)

    def events(self) -> Iterable[Event]:
        """Every event, withdrawn or not, in the order in which they arrived."""
        return self._by_id.values()

    def pairs(self) -> Iterator[str]:
        """The ids of the pairs that have a vote or a ruling."""
        return (pair_id for pair_id in list(self._of_pair) if self.verdict(pair_id) is not None)

    def annotators(self) -> list[str]:
        """Everybody who has ever answered."""
        return sorted(self._of_annotator)

    def latest(self, pair_id: str) -> dict[str, Event]:
        """Each annotator's latest standing answer to a pair, skips included."""
        if pair_id not in self._of_pair:
            return {}
        return {event.annotator: event for event in self._standing(pair_id, "answer")}

    def votes(self, pair_id: str) -> dict[str, Event]:
        """Each annotator's standing answer to a pair; who skipped it has given none."""
        return {name: event for name, event in self.latest(pair_id).items() if event.answer != SKIP}

    def verdict(self, pair_id: str) -> Verdict | None:
        """The latest ruling, or else the majority; None if nobody has answered.

        Unsure and bad image abstain: one "same" after one "unsure" is same (that is what the second person is asked
        for), but a label needs more votes than the other label and no fewer than there are abstentions.
        """
        if pair_id not in self._of_pair:
            return None
        votes = list(self.votes(pair_id).values())
        rulings = list(self._standing(pair_id, "ruling"))
        if rulings:
            answer = rulings[-1].answer or ""
            return Verdict(LABEL_OF.get(answer), answer, votes, rulings[-1])
        if not votes:
            return None
        count = Counter(event.answer or "" for event in votes)
        same, different = count[ANSWER_SAME], count[ANSWER_DIFFERENT]
        abstentions = len(votes) - same - different
        if same != different and max(same, different) >= abstentions:
            answer = ANSWER_SAME if same > different else ANSWER_DIFFERENT
        elif same and different:
            answer = DISAGREEMENT
        else:
            answer = max(UNABLE, key=lambda name: count[name])
        return Verdict(LABEL_OF.get(answer), answer, votes, None)

    def history(self, annotator: str) -> Iterator[Event]:
        """The annotator's answers that undo would step through, newest first."""
        for event in reversed(self._of_annotator.get(annotator, [])):
            if event.kind == "answer" and event.event_id not in self._withdrawn:
                yield event

    def _standing(self, pair_id: str, kind: str) -> Iterator[Event]:
        events = self._of_pair.get(pair_id, ())
        return (event for event in events if event.kind == kind and event.event_id not in self._withdrawn)
