"""One self-contained page of a model's errors: figures, curves and a gallery to sort and filter. Nothing is fetched."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template

import cv2
import numpy as np


@dataclass(frozen=True)
class ErrorCard:
    """One wrongly judged pair: faces uint8 BGR, names as the pairs file has them, and where its folder is."""

    kind: str  # "false positive" or "false negative"
    faces: tuple[np.ndarray, np.ndarray]
    names: tuple[str, str]
    magnitudes: tuple[float, float]
    similarity: float
    folder: str


def error_page(title: str, figures: Sequence[tuple[str, str]], curves_png: bytes, cards: Sequence[ErrorCard]) -> str:
    """The page as HTML. figures are (name, value) rows; every text is escaped, every picture is inside the page."""
    template = Template(resources.files("magface_al.pictures").joinpath("error_page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(title),
        figures="\n".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in figures
        ),
        curves=_data_uri(curves_png, "png"),
        cards="\n".join(_card(card) for card in cards),
        false_positives=sum(card.kind == "false positive" for card in cards),
        false_negatives=sum(card.kind == "false negative" for card in cards),
    )


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
