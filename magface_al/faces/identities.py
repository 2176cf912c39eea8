"""Who an image shows: the name of its folder, or what a list says; and groups of images that answers join."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines
from magface_al.command.words import counted
from magface_al.faces.formats import is_image
from magface_al.faces.list_lines import columns

Item = TypeVar("Item", bound=Hashable)


def parent_folder(image: str) -> str:
    """The identity that an image's path implies: the name of its folder ("" for a bare file name)."""
    return Path(image).parent.name


def identity_names(dataset: Path) -> list[str]:
    """The identity folders of a data set: those with an image in them, sorted by name. A folder without is nobody."""
    with os.scandir(dataset) as entries:
        folders = [entry.name for entry in entries if entry.is_dir()]
    return sorted(name for name in folders if _has_image(dataset / name))


def _has_image(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(is_image(entry.name) for entry in entries)


def identity_images(folder: Path) -> list[Path]:
    """The images of one identity folder, sorted by name."""
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(entry.name for entry in entries if is_image(entry.name))]


def identity_folders(dataset: Path) -> dict[str, list[Path]]:
    """Identity folder -> its images, both sorted by name."""
    return {name: identity_images(dataset / name) for name in identity_names(dataset)}


def identities_of(images: Sequence[str], identity_list: Path | None = None) -> list[str]:
    """The identity of each image: from the list if one is given, otherwise its folder. Raises UserError for an absent one."""
    if identity_list is None:
        return [parent_folder(image) for image in images]
    known = read_identity_list(identity_list)
    absent = [image for image in images if image not in known]
    if absent:
        total = counted(len(images), "image")
        are = counted(len(absent), f"of {total} is", f"of {total} are")
        raise UserError(f"{identity_list}: {are} not in it (first: {absent[0]}), expected all of them")
    return [known[image] for image in images]


def read_identity_list(path: Path) -> dict[str, str]:
    """Image -> identity of an identity list, see identity_lines. Raises UserError."""
    return {image: identity for _, image, identity in identity_lines(path)}


def identity_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line number, image, identity) of lines `path identity` or MagFace training lines `path 0 id 0`. Raises UserError."""
    expected = "`path identity` or `path 0 id 0`"
    for number, line in read_lines(path, f"lines of {expected}"):
        found = columns(line, (2, 4))
        if len(found) not in (2, 4):
            raise UserError(
                f"{path}: line {number}: {counted(len(found), 'column')}, expected {expected}, separated by tabs if the path has spaces"
            )
        yield number, found[0], found[1] if len(found) == 2 else found[2]


def connected_components(items: Iterable[Item], edges: Iterable[tuple[Item, Item]]) -> dict[Item, Item]:
    """Union-find: item -> a member that stands for its component, the same for all that the edges connect."""
    parent = {item: item for item in items}

    def root(item: Item) -> Item:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for a, b in edges:
        parent[root(a)] = root(b)
    return {item: root(item) for item in parent}
