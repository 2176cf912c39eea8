"""Where a feature store comes from: what its manifest says of the run that made it, and whether a model fits to that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magface_al.command.errors import UserError
from magface_al.command.files import is_path, read_json
from magface_al.command.words import shown
from magface_al.faces.preprocess import Preprocessing


class Origin:
    """The manifest of a store, `entries`, as far as others read it. Raises UserError where a key is not what it was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Any] = read_json(path)
        if not isinstance(self.entries, dict):
            raise self._wrong(f"a {type(self.entries).__name__}", "a JSON object")

    def _wrong(self, found: str, expected: str) -> UserError:
        return UserError(
            f"{self.path}: {found}, expected {expected} as gen_features.py writes it beside a feature store; run it again"
        )

    def _at(self, *keys: str) -> Any:
        found: Any = self.entries
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def _text(self, *keys: str) -> str:
        found = self._at(*keys)
        if not isinstance(found, str) or not is_path(found):
            raise self._wrong(f'key "{".".join(keys)}" is {shown(found)}', "a text")
        return found

    def _convention(self, key: str) -> Preprocessing:
        try:
            return Preprocessing.of(self._at(key))
        except ValueError as error:
            raise self._wrong(f'key "{key}": {error}', "channel order, mean, std and size") from None

    def root(self) -> str:
        """The folder that relative names start from, as --root of the run."""
        return self._text("arguments", "root")

    def flip(self) -> str:
        """What was done with the mirrored face."""
        return self._text("flip") if "flip" in self.entries else "none"

    def rows(self) -> int | None:
        """How many embeddings were written; None where the manifest does not say."""
        rows = self._at("rows")
        return rows if type(rows) is int else None

    def file_sha256(self) -> str:
        """Of the file of weights."""
        return self._text("checkpoint", "file_sha256")

    def weights_sha256(self) -> str:
        """Of the weights themselves, whatever file they are in."""
        return self._text("checkpoint", "weights_sha256")

    def own_convention(self) -> Preprocessing:
        """The input convention that the weights record."""
        return self._convention("checkpoint_preprocessing")

    def check(self, store: Path, weights_sha256: str, preprocessing: Preprocessing, checkpoint: Path) -> None:
        """Refuse a store that other weights or another input convention made. Raises UserError."""
        recorded = self._convention("preprocessing")
        if self.weights_sha256() != weights_sha256:
            raise UserError(
                f"{store}: made with other weights ({self._text('checkpoint', 'file')}, {self.weights_sha256()[:12]}), expected "
                f"those of {checkpoint} ({weights_sha256[:12]}); run gen_features.py with this checkpoint"
            )
        if recorded != preprocessing:
            raise UserError(
                f"{store}: its images were read as {recorded.name()}, expected {preprocessing.name()} as for {checkpoint}; "
                "run gen_features.py again, or give the --preprocessing it was made with"
            )


def is_manifest(path: Path) -> bool:
    """Whether a file is a manifest, of whatever script and version: JSON that names its script."""
    try:
        entries = read_json(path)
    except UserError:
        return False
    return isinstance(entries, dict) and "script" in entries
