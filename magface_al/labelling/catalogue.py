"""The pairs that a labeller knows: those of the pairs file, those answered earlier, gold; and where their images are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from magface_al.command.files import exists
from magface_al.labelling.answer_store import StoredPair
from magface_al.labelling.events import image_id, pair_id
from magface_al.pairs.pair_file import Pair, PairFile


class Catalogue:
    """Pairs by their ids. Nothing in it changes once it is made, so any thread may read it.

    current     id -> pair of the pairs file, in its order; without those that are gold
    known       the same, and after them the earlier ones: pairs that were asked about when the pairs file named others
    gold        id -> true label of the pairs mixed in to measure people; gold_pairs has the pairs themselves
    root        the folder from which the current pairs' relative names start
    repeated    how many entries of the pairs file name a pair that it names before
    """

    def __init__(
        self,
        pair_file: PairFile,
        earlier: Callable[[Collection[str]], Iterable[StoredPair]],
        gold_file: PairFile | None = None,
    ) -> None:
        """earlier(ids)  the pairs that were asked about at any time, without those ids"""
        self.pair_file, self.root = pair_file, folder_of_images(pair_file)
        self.gold_pairs = stored_pairs(gold_file) if gold_file else {}
        self.gold = {key: int(known.pair.label or 0) for key, known in self.gold_pairs.items()}
        named = stored_pairs(pair_file)
        self.repeated = len(pair_file.pairs) - len(named)
        self.current = {key: known for key, known in named.items() if key not in self.gold}
        self.known = dict(self.current)
        for known in earlier(named):
            if known.pair_id not in self.gold:
                self.known[known.pair_id] = known
        self._images = self._find_images(gold_file)

    def __contains__(self, key: str) -> bool:
        """Whether an answer may be about this pair."""
        return key in self.known or key in self.gold

    def pair(self, key: str) -> Pair:
        """The pair with this id, gold or not."""
        return (self.known.get(key) or self.gold_pairs[key]).pair

    def image_path(self, image: str) -> Path | None:
        """The file behind an image id; None if no pair names it. The file may be gone."""
        found = self._images.get(image)
        if found is None:
            return None
        place, name = found
        return place / name if isinstance(place, Path) else place.locate(name)

    def _find_images(self, gold_file: PairFile | None) -> dict[str, tuple[PairFile | Path, str]]:
        """image_id -> where its name starts from: the pairs file that names it, or the folder kept from an earlier one."""
        images: dict[str, tuple[PairFile | Path, str]] = {}
        for key, known in self.known.items():
            if key not in self.current:
                for name in (known.pair.image1, known.pair.image2):
                    images.setdefault(image_id(name), (known.folder, name))
        for source in (gold_file, self.pair_file):
            if source is not None:
                images |= {image_id(name): (source, name) for name in source.images()}
        return images


def stored_pairs(pair_file: PairFile) -> dict[str, StoredPair]:
    """id -> pair of a pairs file, with the folder of its images; of a pair that stands there twice the last one counts."""
    folder = folder_of_images(pair_file)
    return {key: StoredPair(key, pair, folder) for pair in pair_file.pairs for key in [pair_id(pair)]}


def folder_of_images(pair_file: PairFile) -> Path:
    """The folder from which most of the file's relative names start: its own, its "root", or the working directory."""
    places = [pair_file.path.parent, Path(str(pair_file.extra.get("root", ""))), Path()]
    names = {name for pair in pair_file.pairs[:100] for name in (pair.image1, pair.image2)}
    found = [sum(exists(place / name) for name in names) for place in places]
    return places[found.index(max(found))].resolve()
