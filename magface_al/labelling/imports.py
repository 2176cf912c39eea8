"""Answers that were given elsewhere: an earlier feedback JSON, or Label Studio."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from magface_al.command.errors import UserError
from magface_al.command.files import read_json
from magface_al.labelling.answer_store import StoredPair
from magface_al.labelling.answer_words import (
    ANSWER_DIFFERENT,
    ANSWER_OF,
    ANSWER_SAME,
    ANSWERS,
    BAD_IMAGE,
    UNSURE,
)
from magface_al.labelling.events import (
    Event,
    annotator_name,
    known_details,
    pair_id,
    seconds_or_none,
    time_or,
    utc_now,
)
from magface_al.labelling.export import ANSWER_KEYS, stated_votes
from magface_al.pairs.pair_file import Pair, PairFile

_LABEL_STUDIO_CHOICES = {
    **dict.fromkeys(("same", "same person", "yes", "match", "1"), ANSWER_SAME),
    **dict.fromkeys(("different", "different people", "different persons", "no", "no match", "0"), ANSWER_DIFFERENT),
    **dict.fromkeys(("unsure", "not sure", "unknown", "can't tell"), UNSURE),
    **dict.fromkeys(("bad image", "bad_image", "bad"), BAD_IMAGE),
}

_MOST_PARTS = 50  # of a path, from its end, by which an image is found


def events_of_feedback(feedback: PairFile, asked: Sequence[Pair] = ()) -> list[Event]:
    """The answers that a feedback file (or any labelled pairs file) holds; inferred labels are none.

    The label is what every script reads: one that says something else than the answer beside it was changed by hand, and
    counts as a ruling. No label beside "same" or "different" was taken away by hand: the ruling is unsure.

    asked  pairs of the pairs file: what that says itself (a bare label, say) is no answer
    """
    events = []
    said_before = {pair.key(): _said(pair) for pair in asked}
    for pair in feedback.pairs:
        stated, label = pair.extra.get("answer"), ANSWER_OF.get(pair.label) if pair.label is not None else None
        says_nothing = stated is None and label is None and "answers" not in pair.extra
        if says_nothing or said_before.get(pair.key()) == _said(pair):
            continue
        key = pair_id(pair)
        for vote in [] if pair.extra.get("inferred") else _votes(pair, label):
            if vote.get("answer") in ANSWERS:
                kind = "ruling" if vote.get("ruling") is True else "answer"
                events.append(_event(key, kind, vote.get("annotator"), vote["answer"], vote, feedback.path.name))
        if stated is not None and stated != label and (label or stated in (ANSWER_SAME, ANSWER_DIFFERENT)):
            later = {"labeled_at": f"later than {pair.extra.get('labeled_at')}"}  # so that it can be changed again
            events.append(_event(key, "ruling", None, label or UNSURE, later, feedback.path.name))
    return events


def _votes(pair: Pair, label: str | None) -> list[dict[str, Any]]:
    if isinstance(pair.extra.get("answers"), list) or pair.extra.get("answer") is not None:
        return stated_votes(pair)
    return [{**pair.extra, "answer": label}]  # somebody's label, from wherever


def _said(pair: Pair) -> tuple[Any, ...]:
    """All that an entry says of who is on its images."""
    return pair.label, *(pair.extra.get(name) for name in ("answer", "annotator", "labeled_at", "answers"))


def as_asked(stored: StoredPair) -> StoredPair:
    """A pair of a feedback file as it stood in the pairs file: without what was answered."""
    extra = {name: value for name, value in stored.pair.extra.items() if name not in ANSWER_KEYS}
    before = stored.pair.extra.get("previous_label")
    return replace(stored, pair=replace(stored.pair, label=before if before in (0, 1) else None, extra=extra))


def _event(key: str, kind: str, who: Any, answer: str, vote: Mapping[str, Any], source: str) -> Event:
    """An event whose id depends on its content, so that importing a file twice changes nothing."""
    try:
        annotator = annotator_name(who)
    except ValueError:
        annotator = "imported"
    when = vote.get("labeled_at")
    identity = f"{kind} {key} {annotator} {answer} {when if isinstance(when, str) else None}"
    return Event(
        event_id=str(uuid.uuid5(uuid.NAMESPACE_URL, identity.encode("utf-8", "backslashreplace").decode())),
        kind=kind,
        pair_id=key,
        annotator=annotator,
        answered_at=time_or(when, utc_now()),
        answer=answer,
        seconds=seconds_or_none(vote.get("seconds")),
        details={**known_details(vote, answer), "source": source},
    )


def beside_damage(events: Iterable[Event], damaged: Collection[object]) -> list[Event]:
    """The events, those whose ids stand in damaged rows of the database under others: such rows stay, and take no event in.

    The others follow from the ids, so that importing a file twice still changes nothing.
    """
    return [replace(event, event_id=_undamaged(event.event_id, damaged)) for event in events]


def _undamaged(event_id: str, damaged: Collection[object]) -> str:
    while event_id in damaged:
        event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, event_id))
    return event_id


def events_of_label_studio(path: Path, pairs: Sequence[Pair]) -> tuple[list[Event], int]:
    """The answers in a Label Studio file (its JSON, not JSON-MIN), and how many tasks name no pair of ours.

    A task belongs to the pair whose two images its data name, in any two fields, whole or from the end of a path or
    address. Raises UserError naming the task.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(f"{path}: expected a list of tasks, as Label Studio exports it under the name JSON")
    names = _Names(pairs)
    events: list[Event] = []
    unknown = 0
    for index, task in enumerate(tasks):
        data, annotations = task.get("data"), task.get("annotations")
        if not isinstance(data, dict) or not isinstance(annotations, list):
            raise UserError(
                f'{path}: task {index}: "data" or "annotations" is missing, expected the format called JSON'
            )
        pair = names.pair_of(data)
        if pair is None:
            unknown += 1
            continue
        for annotation in annotations:
            if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
                answer = _choice(path, index, annotation)
                vote = {"labeled_at": annotation.get("created_at"), "seconds": annotation.get("lead_time")}
                events.append(_event(pair_id(pair), "answer", _annotator(annotation), answer, vote, path.name))
    return events, unknown


def _choice(path: Path, index: int, annotation: Mapping[str, Any]) -> str:
    results = annotation.get("result")
    values = (
        [result.get("value") for result in results if isinstance(result, dict)] if isinstance(results, list) else []
    )
    choices = next((value["choices"] for value in values if isinstance(value, dict) and "choices" in value), None)
    chosen = choices[0] if isinstance(choices, list) and choices else ""
    answer = _LABEL_STUDIO_CHOICES.get(chosen.strip().lower()) if isinstance(chosen, str) else None
    if answer is None:
        found = repr(chosen[:80]) if isinstance(chosen, str) else f"a {type(chosen).__name__}"
        raise UserError(
            f"{path}: task {index}: the choice is {found}, expected one of Same, Different, Unsure, Bad image (or yes, no)"
        )
    return answer


def _annotator(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("email") or who.get("username") or who.get("id")
    if isinstance(who, str):
        return who
    return f"label studio {who}" if isinstance(who, int) else "label studio"


class _Names:
    """Finds the pair that a task's data name."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = {pair.key(): pair for pair in pairs}
        names = {name for pair in pairs for name in (pair.image1, pair.image2)}
        self.by_ending: dict[str, set[str]] = {}
        for name in names:
            parts = PurePosixPath(name).parts[-_MOST_PARTS:]
            for start in range(len(parts)):
                self.by_ending.setdefault("/".join(parts[start:]), set()).add(name)

    def pair_of(self, data: Mapping[str, Any]) -> Pair | None:
        found = [name for value in data.values() if isinstance(value, str) for name in [self._name(value)] if name]
        if len(found) != 2:
            return None
        return self.pairs.get((min(found), max(found)))

    def _name(self, value: str) -> str | None:
        """The one image whose name ends as the value does: a path, a URL, or /data/local-files/?d=path."""
        try:
            address = urlsplit(value)
            text = parse_qs(address.query).get("d", [unquote(address.path) or value])[0]
        except ValueError:  # no address ("http://[")
            text = value
        parts = PurePosixPath(text).parts[-_MOST_PARTS:]
        for start in range(len(parts)):
            names = self.by_ending.get("/".join(parts[start:]), set())
            if len(names) == 1:
                return next(iter(names))
        return None
