"""Labelled faces to train on, from several sources as one.

Class numbers are dense: each source's people are numbered in the order of their ids and follow those of the source
before, so the same person in two sources is two classes. The map back is kept (classes.tsv).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from magface_al.command.errors import UserError
from magface_al.faces.list_lines import list_file
from magface_al.faces.sources import Source, open_source


class TrainingSet:
    """Sources as one: labels int64 [N] over all of them, num_classes of them in all."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self._class_offsets = np.cumsum([0, *(len(source.classes) for source in sources)])
        self._image_offsets = np.cumsum([0, *(len(source.labels) for source in sources)])
        self.num_classes = int(self._class_offsets[-1])
        offset_labels = [
            source.labels + offset for source, offset in zip(sources, self._class_offsets[:-1], strict=True)
        ]
        self.labels = np.concatenate(offset_labels)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Path | bytes:
        """See Source."""
        source, within = self._place(index)
        return source.read(within)

    def name(self, index: int) -> str:
        """See Source."""
        source, within = self._place(index)
        return source.name(within)

    def _place(self, index: int) -> tuple[Source, int]:
        number = int(np.searchsorted(self._image_offsets, index, side="right")) - 1
        return self.sources[number], int(index - self._image_offsets[number])

    def fingerprint(self) -> str:
        """SHA-256 over every image's listed place and class, not its pixels: another list, order or numbering has another."""
        digest = hashlib.sha256(self.labels.tobytes())
        for source in self.sources:
            digest.update(source.listing())
        return digest.hexdigest()

    def write_classes(self, path: Path) -> None:
        """Write `class <tab> id <tab> images <tab> source` for every class."""
        counts = np.bincount(self.labels, minlength=self.num_classes)
        with list_file(path) as write:
            write("class\tid\timages\tsource")
            for source, offset in zip(self.sources, self._class_offsets[:-1], strict=True):
                for number, identity in enumerate(source.classes, int(offset)):
                    write(f"{number}\t{identity}\t{counts[number]}\t{source.description}")


@contextmanager
def open_training_set(
    paths: Sequence[Path], root: Path = Path(), num_classes: int | None = None
) -> Iterator[TrainingSet]:
    """Open lists, folders of identity folders, folders with a train.rec, and .rec files. Raises UserError.

    Relative paths of a list start from root. num_classes: ids are class numbers below it and stay as they are; only
    one source can have that.
    """
    if num_classes is not None and len(paths) > 1:
        raise UserError(
            f"--num_classes {num_classes}: {len(paths)} sources are renumbered one after the other; leave it out"
        )
    with ExitStack() as stack:
        yield TrainingSet([stack.enter_context(open_source(path, root, num_classes)) for path in paths])
