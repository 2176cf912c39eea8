"""Who an image shows, by its folder or by a list; and groups of images that answers join."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines


def parent_folder(image: str) -> str:
    """The identity that an image's path implies: the name of its folder ("" for a bare file name)."""
    return Path(image).parent.name


def identities_of(images: Sequence[str], identity_list: Path | None = None) -> list[str]:
    """The identity of each image: from the list if one is given, otherwise its folder. Raises UserError for an absent one."""
    if identity_list is None:
        return [parent_folder(image) for image in images]
    known = read_identity_list(identity_list)
    absent = [image for image in images if image not in known]
    if absent:
        raise UserError(
            f"{identity_list}: {len(absent)} of {len(images)} images are not in it (first: {absent[0]}), expected all of them"
        )
    return [known[image] for image in images]


def read_identity_list(path: Path) -> dict[str, str]:
    """Image -> identity of an identity list, see identity_lines. Raises UserError."""
    return {image: identity for _, image, identity in identity_lines(path)}


def identity_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line number, image, identity) of lines `path identity` or MagFace training lines `path 0 id 0`. Raises UserError."""
    expected = "`path identity` or `path 0 id 0`"
    for number, line in read_lines(path, f"lines of {expected}"):
        columns = line.split()
        if len(columns) not in (2, 4):
            raise UserError(f"{path}: line {number}: {len(columns)} columns, expected {expected}")
        yield number, columns[0], columns[1] if len(columns) == 2 else columns[2]


def connected_components(items: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Union-find: item -> a member that stands for its component, the same for all that the edges connect."""
    parent = {item: item for item in items}

    def root(item: str) -> str:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for a, b in edges:
        parent[root(a)] = root(b)
    return {item: root(item) for item in parent}
