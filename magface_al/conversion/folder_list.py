"""Identity folders as a training list and its map of labels."""

from __future__ import annotations

from pathlib import Path

from magface_al.command.outputs import writable
from magface_al.faces.label_map import beside, folder_labels, write_labels
from magface_al.faces.train_list import Counts, folder_entries, write_train_list


def folder_to_list(dataset: Path, output: Path, label_map: Path | None = None) -> tuple[dict[str, int], Counts]:
    """Write the list, and the map beside it. Returns the labels and the counts. Raises UserError as folder_labels."""
    writable(beside(output))
    labels = folder_labels(dataset, label_map)
    counts = write_train_list(output, folder_entries(dataset, labels))
    write_labels(beside(output), labels)
    return labels, counts
