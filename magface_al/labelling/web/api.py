"""What the pages may ask: JSON objects in, JSON objects out. Checks what comes in and calls the Labeller; knows no web server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from magface_al.labelling import views
from magface_al.labelling.events import annotator_name
from magface_al.labelling.labeller import Labeller
from magface_al.labelling.review import Filter
from magface_al.labelling.web.bodies import Body

MOST_EVENTS = 500  # in one call
MOST_QUESTIONS = 50
UNDO_STEPS = 50  # fetched at once
LONGEST_CLIENT = 40  # characters; a UUID has 36


@dataclass(frozen=True)
class Site:
    """What the pages need to know besides the pairs."""

    annotator: str | None  # the name from the command line; None: each browser asks once
    store_id: str  # tells answers of this database from those of another that ran on the same port
    next_commands: list[str]
    csv_path: Path


class Api:
    """A method for each call. They raise KeyError, TypeError or ValueError for a bad body."""

    def __init__(self, labeller: Labeller, site: Site) -> None:
        self._labeller, self._site = labeller, site

    def calls(self) -> dict[str, Callable[[Body], Body]]:
        """Name -> call: all that a page can ask for. What does not stand here is not served."""
        return {
            "session": self.session,
            "events": self.events,
            "next": self.next,
            "release": self.release,
            "grid": self.grid,
            "history": self.history,
            "progress": self.progress,
            "review": self.review,
            "contradictions": self.contradictions,
            "report": self.report,
            "export": self.export,
        }

    def session(self, _: Body) -> Body:
        """What a page asks first, and again and again for what troubles the labeller."""
        site, trouble = self._site, self._labeller.export_error
        return {
            "annotator": site.annotator,
            "store": site.store_id,
            "next": site.next_commands,
            "export_error": trouble,
        }

    def events(self, body: Body) -> Body:
        """Answers and undos; what is named "saved" in the result is on the disk."""
        entries = body["events"]
        if not isinstance(entries, list) or len(entries) > MOST_EVENTS:
            raise ValueError(f"events is not a list of at most {MOST_EVENTS}")
        return self._labeller.record(entries, _client(body))

    def next(self, body: Body) -> Body:
        """More questions for a window, and which of those that it holds it should drop."""
        count, skipped = max(0, min(int(body["count"]), MOST_QUESTIONS)), body.get("skipped") is True
        holding, pending = _ids(body, "holding"), _ids(body, "pending")
        return self._labeller.next(_annotator(body), _client(body), holding, pending, count, skipped)

    def release(self, body: Body) -> Body:
        """A window closes and gives its pairs back."""
        self._labeller.release(_annotator(body), _client(body), _ids(body, "pairs"))
        return {}

    def grid(self, body: Body) -> Body:
        """One face and up to eight others, or null."""
        return {"grid": self._labeller.grid(_annotator(body), _client(body), _ids(body, "holding"))}

    def history(self, body: Body) -> Body:
        """The annotator's latest answers, for undo."""
        annotator = _annotator(body)
        with self._labeller.reading() as state:
            return {"answers": views.history(state, annotator, UNDO_STEPS)}

    def progress(self, body: Body) -> Body:
        """Counts, pace, what is left."""
        annotator = _annotator(body)
        with self._labeller.reading() as state:
            return {**views.progress(state, annotator), "export_error": self._labeller.export_error}

    def review(self, body: Body) -> Body:
        """A page of the gallery."""
        wanted = Filter(*(str(body.get(key) or "") for key in ("show", "by", "search")))
        offset, count = max(0, int(body.get("offset", 0))), max(1, min(int(body.get("count", 60)), 1000))
        with self._labeller.reading() as state:
            return views.review(state, wanted, offset, count)

    def contradictions(self, _: Body) -> Body:
        """Answers that cannot all be true."""
        with self._labeller.reading() as state:
            return {"contradictions": views.contradictions(state)}

    def report(self, _: Body) -> Body:
        """Agreement, pace, accuracy on gold."""
        with self._labeller.reading() as state:
            return views.report(state)

    def export(self, _: Body) -> Body:
        """Write the feedback file and the CSV now."""
        feedback_path, csv_path = self._labeller.feedback_path, self._site.csv_path
        pairs = self._labeller.export(csv_path)
        labelled = sum(pair.label is not None for pair in pairs)
        return {"feedback": str(feedback_path), "csv": str(csv_path), "pairs": len(pairs), "labelled": labelled}


def _annotator(body: Body) -> str:
    return annotator_name(body["annotator"])


def _client(body: Body) -> str:
    """The browser window, as it calls itself."""
    client = body.get("client") or ""
    if not isinstance(client, str) or len(client) > LONGEST_CLIENT or not client.isprintable():
        raise ValueError(f"client is {str(client)[:80]!r}, expected at most {LONGEST_CLIENT} printable characters")
    return client


def _ids(body: Body, key: str) -> list[str]:
    names = body.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{key} is not a list of texts")
    return names[:1000]
