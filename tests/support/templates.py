"""Templates of drawn embeddings, and their pooling in plain float64 loops."""

from __future__ import annotations

import numpy as np

FACES, TEMPLATES, D = 400, 60, 8


def pooled_by_hand(embeddings, template, media, detection, pooling):
    rows = []
    for t in np.unique(template):
        total = np.zeros(D)
        for m in np.unique(media[template == t]):
            faces = [
                face
                / np.linalg.norm(face)
                * np.linalg.norm(face) ** pooling.magnitude_power
                * (score if pooling.detection else 1)
                for face, score in zip(embeddings.astype(float), detection, strict=True)
            ]
            mean = np.mean([faces[k] for k in range(FACES) if template[k] == t and media[k] == m], axis=0)
            total += mean / np.linalg.norm(mean) if pooling.unit_media else mean
        rows.append(total / np.linalg.norm(total))
    return np.array(rows)


def draw_templates():
    """Faces of 60 templates of 20 people in shuffled order: embeddings, template, media, detection score, subject of a template."""
    rng = np.random.default_rng(3)
    subject = np.arange(TEMPLATES) % 20
    template = rng.permutation(np.concatenate([np.arange(TEMPLATES), rng.integers(TEMPLATES, size=FACES - TEMPLATES)]))
    media = rng.integers(3, size=FACES)  # the same numbers in many templates, as photos and videos of IJB have
    centres = rng.normal(size=(20, D))
    embeddings = (
        centres[subject[template]] * 2 + rng.normal(size=(FACES, D)) * rng.uniform(0.5, 3, (FACES, 1))
    ).astype(np.float32)
    return embeddings, template, media, rng.uniform(0.1, 1, FACES).astype(np.float32), subject
