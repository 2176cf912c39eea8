"""One self-contained page of a model's errors: figures, curves and a gallery to sort and filter. Nothing is fetched."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

import cv2
import numpy as np

from magface_al.embedding.pair_scores import PairScores
from magface_al.pictures.curves import score_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ErrorCard:
    """One wrongly judged pair: faces uint8 BGR, names as the pairs file has them, and where its folder is."""

    kind: str  # "false positive" or "false negative"
    faces: tuple[np.ndarray, np.ndarray]
    names: tuple[str, str]
    magnitudes: tuple[float, float]
    similarity: float
    folder: str


@dataclass(frozen=True)
class Picture:
    """What is drawn of the scores of all pairs at a threshold, and in words what it shows."""

    draw: Callable[[PairScores, float], Figure]
    shows: str


PICTURES = {  # by the name of the file beside the page; in the page they stand in this order
    "scores.png": Picture(
        lambda scores, threshold: score_figure(scores.similarity, scores.pair_file.labels(), threshold),
        "similarity histogram with the threshold, ROC curve and DET curve",
    ),
}


def error_page(
    title: str, figures: Sequence[tuple[str, str]], pictures: Mapping[str, bytes], cards: Sequence[ErrorCard]
) -> str:
    """The page as HTML. figures are (name, value) rows, pictures the PNG bytes of PICTURES by their names.

    Every text is escaped, every picture is inside the page.
    """
    template = Template(resources.files("magface_al.pictures").joinpath("error_page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(title),
        figures="\n".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in figures
        ),
        pictures="\n".join(_picture(PICTURES[name].shows, png) for name, png in pictures.items()),
        cards="\n".join(_card(card) for card in cards),
        false_positives=sum(card.kind == "false positive" for card in cards),
        false_negatives=sum(card.kind == "false negative" for card in cards),
    )


def _picture(shows: str, png: bytes) -> str:
    alt = html.escape(shows, quote=True)
    return f'<div class="scroll"><img class="curves" src="{_data_uri(png, "png")}" alt="{alt}"></div>'


def _card(card: ErrorCard) -> str:
    names = [html.escape(name, quote=True) for name in card.names]
    faces = "".join(
        f'<figure><img loading="lazy" width="112" height="112" src="{_face(face)}" alt="face: {name}">'
        f"<figcaption>{name}<br>magnitude {magnitude:.1f}</figcaption></figure>"
        for face, name, magnitude in zip(card.faces, names, card.magnitudes, strict=True)
    )
    return (
        f'<li data-kind="{card.kind}" data-similarity="{card.similarity:.6f}" data-magnitude="{min(card.magnitudes):.4f}" '
        f'data-name="{" ".join(names)}"><h3>{card.kind} <span>{card.similarity:.3f}</span></h3>'
        f'<div class="faces">{faces}</div><p><a href="{html.escape(card.folder, quote=True)}/">{html.escape(card.folder)}</a></p></li>'
    )


def _face(face: np.ndarray) -> str:
    return _data_uri(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes(), "jpeg")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
