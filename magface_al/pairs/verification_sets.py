"""Verification sets by their files: a `.bin`, our pairs JSON, LFW's pairs.txt, or a list as MagFace's evaluation uses.

LFW (vis-www.cs.umass.edu/lfw README, View 2): `name i j` is a pair of one person, `name1 i name2 j` of two, the file of
an image is name/name_000i; a first line of fold counts is skipped.
MagFace (eval/eval_recognition/eval_1v1.py @99bae614): the last column is the label, and pair k is images 2k and 2k + 1 of
an img.list beside the list. Without an img.list the first two columns are the images. CPLFW's label -1 means different.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.faces.formats import IMAGE_SUFFIXES
from magface_al.pairs.bin_file import read_bin
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair, PairFile, read_pairs

LABELS = {"1": SAME, "0": DIFFERENT, "-1": DIFFERENT}
Line = tuple[int, list[str]]  # its number and its columns


def read_verification_set(path: Path, roots: Sequence[Path] = ()) -> PairFile:
    """Read a set of labelled pairs of any of the four kinds. Raises UserError naming file, line and cure.

    path may be a folder with pair.list and img.list in it, as MagFace's eval.sh expects. Relative image paths start from
    the list's folder, from the first of `roots` that has the set's first image, or from the working directory.
    """
    if path.is_dir():
        path = path / "pair.list"
    if path.suffix == ".bin":
        return read_bin(path)
    if path.suffix == ".json":
        pair_file = read_pairs(path).labelled()
        return _rooted(pair_file, roots) if "root" not in pair_file.extra else pair_file
    lines = _lines(path)
    lfw = lines[1:] if len(lines[0][1]) <= 2 and all(word.isdigit() for word in lines[0][1]) else lines
    if lfw and _is_lfw(lfw[0][1]):
        return _lfw(path, lfw, roots)
    return _rooted(PairFile(path, _labelled(path, lines)), roots)


def _lines(path: Path) -> list[Line]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file, expected a .bin, a pairs JSON, LFW's pairs.txt or a pair list"
        ) from None
    except UnicodeDecodeError:
        raise UserError(
            f"{path}: not text, expected LFW's pairs.txt or a pair list; a set of images ends in .bin"
        ) from None
    lines = [(number, line.split("\t") if "\t" in line else line.split()) for number, line in enumerate(text.splitlines(), 1)
             if line.strip()]  # fmt: skip
    if not lines:
        raise UserError(f"{path}: no pairs in it, expected one a line")
    return [(number, [word.strip() for word in columns]) for number, columns in lines]


def _is_lfw(columns: list[str]) -> bool:
    numbers = columns[1:] if len(columns) == 3 else columns[1::2] if len(columns) == 4 else []
    return bool(numbers) and all(word.isdigit() for word in numbers) and not columns[0].isdigit()


def _lfw(path: Path, lines: list[Line], roots: Sequence[Path]) -> PairFile:
    def pairs(suffix: str) -> list[Pair]:
        found = []
        for number, columns in lines:
            if not _is_lfw(columns):
                raise UserError(f"{path}: line {number}: expected `name i j` or `name1 i name2 j`")
            first, second = (columns[0], columns[1]), (columns[-2] if len(columns) == 4 else columns[0], columns[-1])
            images = [f"{name}/{name}_{int(index):04d}{suffix}" for name, index in (first, second)]
            label = SAME if len(columns) == 3 else DIFFERENT
            found.append(Pair(*images, label, {"identity1": first[0], "identity2": second[0]}))
        return found

    sets = (_rooted(PairFile(path, pairs(suffix)), roots) for suffix in IMAGE_SUFFIXES)
    present = (pair_file for pair_file in sets if pair_file.locate(pair_file.pairs[0].image1).exists())
    return next(present, None) or _rooted(PairFile(path, pairs(IMAGE_SUFFIXES[0])), roots)


def _labelled(path: Path, lines: list[Line]) -> list[Pair]:
    for number, columns in lines:
        if columns[-1] not in LABELS:
            raise UserError(
                f"{path}: line {number}: the last column is {columns[-1]!r}, expected 1 (same) or 0 (different)"
            )
    image_list = path.parent / "img.list"
    if image_list.exists():
        return _beside(path, lines, image_list)
    for number, columns in lines:
        if len(columns) != 3:
            raise UserError(
                f"{path}: line {number}: {len(columns)} columns, expected `image1 image2 label`; a list of labels alone needs "
                "MagFace's img.list beside it"
            )
        if columns[0].isdigit() and columns[1].isdigit():
            raise UserError(
                f"{path}: line {number}: images are given as numbers, expected paths; use the set's .bin instead"
            )
    return [Pair(columns[0], columns[1], LABELS[columns[2]]) for _, columns in lines]


def _beside(path: Path, lines: list[Line], image_list: Path) -> list[Pair]:
    images = [columns[0] for _, columns in _lines(image_list)]
    if len(images) != 2 * len(lines):
        raise UserError(
            f"{path}: {len(lines)} pairs, but {image_list.name} beside it has {len(images)} images, expected two a pair"
        )
    pairs = []
    for k, (number, columns) in enumerate(lines):
        first, second = images[2 * k], images[2 * k + 1]
        named = [Path(name).name for name in columns[:-1]]
        if len(named) == 2 and named != [Path(first).name, Path(second).name]:
            raise UserError(
                f"{path}: line {number}: names {columns[0]} and {columns[1]}, but {image_list.name} has {first} and {second} there"
            )
        pairs.append(Pair(first, second, LABELS[columns[-1]]))
    return pairs


def _rooted(pair_file: PairFile, roots: Sequence[Path]) -> PairFile:
    """The set with the first root that has its first image."""
    first = pair_file.pairs[0].image1
    root = next((root for root in roots if (root / first).exists()), None)
    return (
        pair_file if root is None else PairFile(pair_file.path, pair_file.pairs, {**pair_file.extra, "root": str(root)})
    )
