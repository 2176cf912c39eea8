"""What a labeller has in memory: its pairs, the answers, who is asked what, and what follows from the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from magface_al.labelling.answer_store import Lease
from magface_al.labelling.answers import Answers
from magface_al.labelling.assignment import Assignment, Settings
from magface_al.labelling.catalogue import Catalogue
from magface_al.labelling.consistency import Contradiction, find_contradictions, implied_labels
from magface_al.labelling.events import Event
from magface_al.pairs.pair_file import Pair


@dataclass(frozen=True)
class Derived:
    """What the answers that stand now entail."""

    contradictions: list[Contradiction]  # the first of them
    clashes: int  # how many there are
    implied: dict[tuple[str, str], int]  # Pair.key() -> label; empty unless it is to be filled in (--infer)


class State:
    """Everything but the disk. Only the Labeller makes one, and it alone hands it out: under its lock (Labeller.reading)."""

    def __init__(self, catalogue: Catalogue, answers: Answers, leases: Iterable[Lease], settings: Settings) -> None:
        self.catalogue, self.answers, self.settings = catalogue, answers, settings
        asked = [key for key, known in catalogue.current.items() if known.pair.label is None or settings.relabel]
        self.assignment = Assignment(asked, catalogue.gold, answers, settings, leases)
        self.labelled: dict[str, Pair] = {}  # what is labelled now; gold pairs are tests, no evidence
        self._derived, self._derived_version = Derived([], 0, {}), -1
        for key in catalogue.known:
            self._relabel(key)

    def add(self, event: Event) -> None:
        """Take in an event that is on the disk."""
        self.answers.add(event)
        self.assignment.refresh(event.pair_id)
        self._relabel(event.pair_id)

    def _relabel(self, key: str) -> None:
        """Keep what is labelled in step with an answer."""
        known = self.catalogue.known.get(key)
        verdict = self.answers.verdict(key)
        label = verdict.label if verdict else known.pair.label if known else None
        if known is None or label is None:
            self.labelled.pop(key, None)
        else:
            self.labelled[key] = replace(known.pair, label=label)

    def available(self, annotator: str, client: str = "", *, skipped: bool = False) -> Iterator[str]:
        """The pairs that this annotator could be given now, in order; skipped=True: those that they have skipped."""
        implied = frozenset() if skipped else self.implied_ids()
        return self.assignment.available(annotator, client, implied=implied, skipped=skipped)

    def implied_ids(self) -> frozenset[str]:
        """The pairs that need not be asked, because their labels follow from other answers."""
        implied = self.derived().implied if self.settings.infer else {}
        if not implied:
            return frozenset()
        return frozenset(key for key, known in self.catalogue.current.items() if known.pair.key() in implied)

    def derived(self) -> Derived:
        """The contradictions and implications; worked out again only when answers have come in."""
        if self._derived_version != self.answers.version:
            self._derived, self._derived_version = self._derive(), self.answers.version
        return self._derived

    def _derive(self) -> Derived:
        labelled = list(self.labelled.values())
        contradictions, clashes = find_contradictions(labelled)
        if not self.settings.infer:
            return Derived(contradictions, clashes, {})
        silent = [
            known.pair
            for key, known in self.catalogue.known.items()
            if key not in self.labelled and self.answers.verdict(key) is None
        ]
        return Derived(contradictions, clashes, implied_labels(labelled, silent))
