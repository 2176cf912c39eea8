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
from magface_al.command.files import exists, read_lines
from magface_al.command.numbers import is_whole
from magface_al.command.words import counted
from magface_al.faces import formats
from magface_al.faces.list_lines import columns
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
    lfw = lines[1:] if len(lines[0][1]) <= 2 and all(is_whole(word) for word in lines[0][1]) else lines
    if lfw and _is_lfw(lfw[0][1]):
        return _lfw(path, lfw, roots)
    return _rooted(PairFile(path, _labelled(path, lines)), roots)


def _lines(path: Path) -> list[Line]:
    lines: list[Line] = []
    for number, line in read_lines(path, "a .bin, a pairs JSON, LFW's pairs.txt or a pair list"):
        lines.append((number, columns(line)))
    if not lines:
        raise UserError(f"{path}: no pairs in it, expected one a line")
    return lines


def _is_lfw(words: list[str]) -> bool:
    numbers = words[1:] if len(words) == 3 else words[1::2] if len(words) == 4 else []
    return bool(numbers) and all(is_whole(word) for word in numbers) and not is_whole(words[0])


def _lfw(path: Path, lines: list[Line], roots: Sequence[Path]) -> PairFile:
    def pairs(suffix: str) -> list[Pair]:
        found = []
        for number, words in lines:
            if not _is_lfw(words):
                raise UserError(f"{path}: line {number}: expected `name i j` or `name1 i name2 j`")
            name1, name2 = words[0], words[-2] if len(words) == 4 else words[0]
            image1, image2 = (
                f"{name}/{name}_{int(index):04d}{suffix}" for name, index in ((name1, words[1]), (name2, words[-1]))
            )
            label = SAME if len(words) == 3 else DIFFERENT
            found.append(Pair(image1, image2, label, {"identity1": name1, "identity2": name2}))
        return found

    sets = (_rooted(PairFile(path, pairs(suffix)), roots) for suffix in formats.IMAGE_SUFFIXES)
    present = (pair_file for pair_file in sets if exists(pair_file.locate(pair_file.pairs[0].image1)))
    return next(present, None) or _rooted(PairFile(path, pairs(formats.IMAGE_SUFFIXES[0])), roots)


def _labelled(path: Path, lines: list[Line]) -> list[Pair]:
    for number, words in lines:
        if words[-1] not in LABELS:
            raise UserError(
                f"{path}: line {number}: the last column is {words[-1]!r}, expected 1 (same) or 0 (different)"
            )
    image_list = path.parent / "img.list"
    if image_list.exists():
        return _beside(path, lines, image_list)
    for number, words in lines:
        if len(words) != 3:
            raise UserError(
                f"{path}: line {number}: {counted(len(words), 'column')}, expected `image1 image2 label`; a list of labels alone needs "
                "MagFace's img.list beside it"
            )
        if is_whole(words[0]) and is_whole(words[1]):
            raise UserError(
                f"{path}: line {number}: images are given as numbers, expected paths; use the set's .bin instead"
            )
    return [Pair(words[0], words[1], LABELS[words[2]]) for _, words in lines]


def _beside(path: Path, lines: list[Line], image_list: Path) -> list[Pair]:
    images = [words[0] for _, words in _lines(image_list)]
    if len(images) != 2 * len(lines):
        raise UserError(
            f"{path}: {counted(len(lines), 'pair')}, but {image_list.name} beside it has {counted(len(images), 'image')}, expected two a pair"
        )
    pairs = []
    for k, (number, words) in enumerate(lines):
        first, second = images[2 * k], images[2 * k + 1]
        named = [Path(name).name for name in words[:-1]]
        if len(named) == 2 and named != [Path(first).name, Path(second).name]:
            raise UserError(
                f"{path}: line {number}: names {words[0]} and {words[1]}, but {image_list.name} has {first} and {second} there"
            )
        pairs.append(Pair(first, second, LABELS[words[-1]]))
    return pairs


def _rooted(pair_file: PairFile, roots: Sequence[Path]) -> PairFile:
    """The set with the first root that has its first image."""
    first = pair_file.pairs[0].image1
    root = next((root for root in roots if exists(root / first)), None)
    return (
        pair_file if root is None else PairFile(pair_file.path, pair_file.pairs, {**pair_file.extra, "root": str(root)})
    )
