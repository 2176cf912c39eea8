"""RecordIO and .bin sets as folders of image files, byte for byte; a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.files import read_json, sha256
from magface_al.command.replacing import is_temporary, replacing, write_json
from magface_al.faces.formats import suffix_of
from magface_al.faces.label_map import LABELS, write_labels
from magface_al.faces.list_lines import line_of, list_file, listable
from magface_al.faces.recordio import RecordFile, image_records
from magface_al.faces.train_list import Counts, Entry, write_train_list
from magface_al.pairs.bin_file import read_bin
from magface_al.pairs.pair_file import PairFile

SOURCE = "source.json"  # in the folder: what it is being unpacked from


def note_source(folder: Path, source: Path) -> None:
    """Note in the folder what it is filled from. Raises UserError if it has other things in it already.

    A RecordIO file is known by its size and its index: reading hundreds of gigabytes twice would take longer than going on.
    """
    listable(folder)
    index = source.with_suffix(".idx")
    whole = index if index.exists() else source
    made_from = {"file": source.name, "bytes": source.stat().st_size, "sha256_of": whole.name, "sha256": sha256(whole)}
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / SOURCE
    others = [path.name for path in folder.iterdir() if not is_temporary(path.name)]
    if others and (not note.exists() or read_json(note) != made_from):
        raise UserError(
            f"{folder}: has other things in it than {source}, expected a new or empty folder, or an interrupted run of this one"
        )
    write_json(note, made_from)


def rec_to_folder(rec: Path, folder: Path, progress: Callable[[], object]) -> tuple[Counts, int]:
    """Write LABEL/KEY.jpg for every image, train.list and labels.tsv. Returns the counts and how many files were there already.

    Labels are those of the records, six digits wide, so that order by name is order by number. progress is called once an
    image. Raises UserError for a broken file, with what came before it in place.
    """
    labels: dict[str, int] = {}
    kept = 0

    def entries(records: RecordFile) -> Iterator[Entry]:
        nonlocal kept
        for key, label, image in image_records(records):
            person = f"{label:06d}"
            labels[person] = label
            path = folder / person / f"{key:09d}{suffix_of(image)}"
            kept += not _keep(path, image)
            progress()
            yield str(path), label

    with RecordFile(rec) as records:
        note_source(folder, rec)
        counts = write_train_list(folder / "train.list", entries(records))
        write_labels(folder / LABELS, labels)
    return counts, kept


def bin_to_folder(path: Path, folder: Path) -> tuple[PairFile, int]:
    """Write images/000000.jpg, ..., pair.list (`a b 1`) and img.list, as MagFace's evaluation wants them.

    Returns the set and how many files were there already. Raises UserError as read_bin.
    """
    pair_file = read_bin(path)
    places: dict[str, Path] = {}
    kept = 0
    note_source(folder, path)
    for number, (name, image) in enumerate(pair_file.held.items()):
        places[name] = folder / "images" / f"{number:06d}{suffix_of(image)}"
        kept += not _keep(places[name], image)
    with list_file(folder / "img.list") as write_image, list_file(folder / "pair.list") as write_pair:
        for pair in pair_file.pairs:
            first, second = places[pair.image1], places[pair.image2]
            write_image(line_of(first))
            write_image(line_of(second))
            write_pair(line_of(first, second, pair.label))
    return pair_file, kept


def _keep(path: Path, image: bytes) -> bool:
    """Write the file unless an earlier run has. Files are written whole, so one of the right length is right."""
    if path.exists() and path.stat().st_size == len(image):
        return False
    with replacing(path, "wb") as file:
        file.write(image)
    return True
