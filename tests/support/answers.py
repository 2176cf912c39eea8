"""Answers to put into a database or a file."""

from __future__ import annotations

import itertools
import uuid

from magface_al.labelling.events import Event

_numbers = itertools.count()
WHEN = "2026-01-02T03:04:05.000+00:00"


def an_event(answer="same", who="ann", pair="0" * 16, kind="answer", **more):
    """An event with an id of its own."""
    return Event(str(uuid.UUID(int=next(_numbers))), kind, pair, who, WHEN, answer, **more)


def an_undo(undone, who=None, pair=None):
    """An undo of an event, by who gave it and about its pair unless told otherwise."""
    return an_event(None, who or undone.annotator, pair or undone.pair_id, "undo", undoes=undone.event_id)


def as_sent(event, **changes):
    """An event as a browser sends it."""
    fields = ("event_id", "kind", "pair_id", "annotator", "answered_at", "answer", "undoes", "seconds")
    return {name: getattr(event, name) for name in fields} | event.details | changes
