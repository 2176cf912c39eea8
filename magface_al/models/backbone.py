"""What belongs to weights besides the tensors: who trained them, their input convention, BatchNorm eps and flip rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.faces.preprocess import PRESETS, Preprocessing

if TYPE_CHECKING:
    from torch import nn  # not at run time: flags are made from FAMILIES


@dataclass(frozen=True)
class Family:
    """What all weights of one training code share, and no tensor shows.

    flip is what its published figures do with the mirrored face's raw embedding: "none", or "sum" (added to the face's
    own; AdaFace's sum of unit embeddings weighted by their norms is the same thing).
    """

    preprocessing: str  # a preset's name
    bn_eps: float
    flip: str


# Sources: MagFace models/iresnet.py and inference/gen_feat.py @99bae614; arcface_torch backbones/iresnet.py and
# eval/verification.py @7fadd420; AdaFace net.py and inference.py @c60eaa78; CVLface models/iresnet and
# evaluations/ijbbc_evaluator.py @d3d09c93. MobileFaceNet: TreB1eN's network with InsightFace's MXNet conventions.
FAMILIES = {
    "magface": Family("magface", 2e-5, "none"),
    "arcface": Family("arcface", 1e-5, "sum"),
    "adaface": Family("adaface", 1e-5, "sum"),
    "cvlface": Family("arcface", 1e-5, "sum"),
    "mobilefacenet": Family("arcface-mxnet", 1e-5, "sum"),
}


@dataclass
class Backbone:
    """A loaded network, in inference mode on the CPU, with what is known about it."""

    path: Path
    model: nn.Module
    arch: str
    preprocessing: Preprocessing  # in use: the checkpoint's own, unless a preset was asked for
    own_preprocessing: Preprocessing
    family: str  # of FAMILIES: who trained it; "onnx" for a graph that does not say
    prefix: str
    loaded: int | None  # tensors of the backbone found in the file, of as many; None for an ONNX graph
    ignored: list[str]  # keys of the file that belong to no backbone (classifier shards)
    weights_sha256: str
    file_sha256: str
    bn_eps: float | None = None  # None for an ONNX graph, which has it inside
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def flip(self) -> str:
        """The family's flip rule, "none" or "sum"; "none" where the family is unknown."""
        return FAMILIES[self.family].flip if self.family in FAMILIES else "none"

    def flip_for(self, choice: str) -> str:
        """What --flip means for these weights: "auto" is the family's rule."""
        return self.flip if choice == "auto" else choice

    def coverage(self) -> str:
        """How much of the network the file held, for the screen."""
        return "ONNX graph, run by onnxruntime" if self.loaded is None else f"loaded {self.loaded}/{self.loaded}"

    def describe(self) -> str:
        """One line for the screen."""
        left = f"; {len(self.ignored)} tensors of a classifier left aside" if self.ignored else ""
        conventions = f"input {self.preprocessing.name()}, flip rule {self.flip}"
        return f"{self.arch} ({self.family} weights), {self.coverage()}, {conventions}{left}"

    def origin(self) -> dict[str, Any]:
        """What a feature store records about the weights and the input convention that made it."""
        return {
            "checkpoint": {
                "file": self.path.name,
                "file_sha256": self.file_sha256,
                "weights_sha256": self.weights_sha256,
                "arch": self.arch,
                "family": self.family,
            },
            "preprocessing": self.preprocessing.to_dict(),
            "checkpoint_preprocessing": self.own_preprocessing.to_dict(),
        }

    def card(self) -> dict[str, Any]:
        """What an exported file records about itself, as plain JSON."""
        return {
            **self.manifest,
            "arch": self.arch,
            "family": self.family,
            "preprocessing": self.own_preprocessing.to_dict(),
            "bn_eps": self.bn_eps,
            "flip": self.flip,
            "exported_from": {"file": self.path.name, "weights_sha256": self.weights_sha256},
        }


def recorded_preprocessing(record: dict[str, Any], family: Family) -> Preprocessing:
    """What the file records, otherwise the family's convention."""
    if "preprocessing" in record:
        return Preprocessing.of(record["preprocessing"])
    return PRESETS[family.preprocessing]
