"""Who is on the images of pairs: as the pairs say, or as their answers imply; and answers that contradict each other."""

from __future__ import annotations

from collections.abc import Sequence

from magface_al.command.words import counted
from magface_al.faces.identities import connected_components
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair


def given_names(pairs: Sequence[Pair]) -> dict[str, str]:
    """Image -> who is on it, where a pair says so (identity1, identity2)."""
    return {
        name: str(pair.extra[key]) for pair in pairs for name, key in _named(pair) if pair.extra.get(key) is not None
    }


def name_people(pairs: Sequence[Pair]) -> bool:
    """Whether the pairs say of each of their images who is on it."""
    known = given_names(pairs)
    return all(name in known for pair in pairs for name, _ in _named(pair))


def image_identities(pairs: Sequence[Pair]) -> dict[str, str]:
    """Image -> identity: the pairs' identity1/identity2 where given, otherwise what the answers imply.

    Images without a given identity that are joined by "same" answers (directly or through others) get one identity.
    """
    known = given_names(pairs)
    same = [(pair.image1, pair.image2) for pair in pairs if pair.label == SAME]
    groups = connected_components([name for pair in pairs for name, _ in _named(pair)], same)
    return {name: known.get(name, f"group of {group}") for name, group in groups.items()}


def pair_identities(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """The person on each side of every pair, as image_identities has them."""
    identity = image_identities(pairs)
    return [identity[pair.image1] for pair in pairs], [identity[pair.image2] for pair in pairs]


def _named(pair: Pair) -> tuple[tuple[str, str], tuple[str, str]]:
    return (pair.image1, "identity1"), (pair.image2, "identity2")


def contradictions(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs called different whose two images the "same" answers connect: one of those answers is wrong."""
    same = [(pair.image1, pair.image2) for pair in pairs if pair.label == SAME]
    groups = connected_components([name for pair in pairs for name, _ in _named(pair)], same)
    return [pair for pair in pairs if pair.label == DIFFERENT and groups[pair.image1] == groups[pair.image2]]


def contradictions_note(wrong: Sequence[Pair]) -> str:
    """What to tell of contradictions, of which there is one at least."""
    return (
        f"{counted(len(wrong), 'pair is', 'pairs are')} answered different although other answers make them one person "
        f"(first: {wrong[0].image1} and {wrong[0].image2}); some of these answers are wrong"
    )
