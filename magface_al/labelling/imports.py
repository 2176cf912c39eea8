"""Answers that were given elsewhere: an earlier feedback JSON, or Label Studio."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from magface_al.command.errors import UserError
from magface_al.command.files import read_json
from magface_al.labelling.answer_words import ANSWER_DIFFERENT, ANSWER_OF, ANSWER_SAME, ANSWERS, BAD_IMAGE, UNSURE
from magface_al.labelling.events import Event, annotator_name, pair_id, utc_now
from magface_al.pairs.pair_file import Pair, PairFile

_LABEL_STUDIO_CHOICES = {
    **dict.fromkeys(("same", "same person", "yes", "match", "1"), ANSWER_SAME),
    **dict.fromkeys(("different", "different people", "different persons", "no", "no match", "0"), ANSWER_DIFFERENT),
    **dict.fromkeys(("unsure", "not sure", "unknown", "can't tell"), UNSURE),
    **dict.fromkeys(("bad image", "bad_image", "bad"), BAD_IMAGE),
}


def events_of_feedback(feedback: PairFile, known: Collection[str] = ()) -> list[Event]:
    """The answers that a feedback file (or any labelled pairs file) holds; inferred labels are none.

    known  ids of the pairs that the pairs file labels itself: a bare label of one of them comes from there
    """
    events = []
    for pair in feedback.pairs:
        if pair.extra.get("inferred") or ("answer" not in pair.extra and pair_id(pair) in known):
            continue
        votes = pair.extra.get("answers")
        if not isinstance(votes, list):
            answer = pair.extra.get("answer", ANSWER_OF.get(pair.label) if pair.label is not None else None)
            votes = [{**pair.extra, "answer": answer}]
        for vote in votes:
            if isinstance(vote, dict) and vote.get("answer") in ANSWERS:
                kind = "ruling" if vote.get("ruling") else "answer"
                details = {key: vote[key] for key in ("left", "bad", "mode", "opinion_shown") if key in vote}
                events.append(
                    _event(pair, kind, vote.get("annotator"), vote["answer"], vote, feedback.path.name, details)
                )
    return events


def _event(
    pair: Pair, kind: str, who: Any, answer: str, vote: Mapping[str, Any], source: str, details: Mapping[str, Any]
) -> Event:
    """An event whose id depends on its content, so that importing a file twice changes nothing."""
    try:
        annotator = annotator_name(who)
    except ValueError:
        annotator = "imported"
    when, seconds = vote.get("labeled_at"), vote.get("seconds")
    identity = f"{kind} {pair_id(pair)} {annotator} {answer} {when}"
    return Event(
        event_id=str(uuid.uuid5(uuid.NAMESPACE_URL, identity)),
        kind=kind,
        pair_id=pair_id(pair),
        annotator=annotator,
        answered_at=when if isinstance(when, str) else utc_now(),
        answer=answer,
        seconds=float(seconds) if type(seconds) is int or type(seconds) is float else None,
        details={**details, "source": source},
    )


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
                events.append(_event(pair, "answer", _annotator(annotation), answer, vote, path.name, {}))
    return events, unknown


def _choice(path: Path, index: int, annotation: Mapping[str, Any]) -> str:
    results = annotation.get("result")
    values = [
        r["value"]["choices"] for r in results or () if isinstance(r, dict) and "choices" in (r.get("value") or {})
    ]
    chosen = str(values[0][0]).strip() if values and values[0] else ""
    if chosen.lower() not in _LABEL_STUDIO_CHOICES:
        raise UserError(
            f"{path}: task {index}: the choice is {chosen!r}, expected one of Same, Different, Unsure, Bad image (or yes, no)"
        )
    return _LABEL_STUDIO_CHOICES[chosen.lower()]


def _annotator(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("email") or who.get("username") or who.get("id")
    return "label studio" if who is None else f"label studio {who}" if isinstance(who, int) else str(who)


class _Names:
    """Finds the pair that a task's data name."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = {pair.key(): pair for pair in pairs}
        names = {name for pair in pairs for name in (pair.image1, pair.image2)}
        self.by_ending: dict[str, set[str]] = {}
        for name in names:
            parts = PurePosixPath(name).parts
            for start in range(len(parts)):
                self.by_ending.setdefault("/".join(parts[start:]), set()).add(name)

    def pair_of(self, data: Mapping[str, Any]) -> Pair | None:
        found = [name for value in data.values() if isinstance(value, str) for name in [self._name(value)] if name]
        if len(found) != 2:
            return None
        return self.pairs.get((min(found), max(found)))

    def _name(self, value: str) -> str | None:
        """The one image whose name ends as the value does: a path, a URL, or /data/local-files/?d=path."""
        address = urlsplit(value)
        text = parse_qs(address.query).get("d", [unquote(address.path) or value])[0]
        parts = PurePosixPath(text).parts
        for start in range(len(parts)):
            names = self.by_ending.get("/".join(parts[start:]), set())
            if len(names) == 1:
                return next(iter(names))
        return None
