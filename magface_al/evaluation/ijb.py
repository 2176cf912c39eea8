"""IJB-B and IJB-C under one model after another: pool the templates, verify pairs (1:1), search galleries (1:N)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from magface_al.command.errors import UserError
from magface_al.embedding.store import FeatureStore
from magface_al.evaluation import ijb_meta
from magface_al.evaluation.templates import POOLINGS, Templates, pool_templates, score_template_pairs
from magface_al.metrics.cosine import unit
from magface_al.metrics.identification import Search, search
from magface_al.metrics.roc import FAR_TARGETS, Curve, Ranking, auc, eer, nearest_operating_point, operating_point

RANKS = (1, 5, 10, 20)
FPIRS = (0.01, 0.1)


class Meter(Protocol):
    """A progress bar such as tqdm's."""

    def update(self, n: int) -> object:
        """n more are done."""
        ...


MakeMeter = Callable[[int, str], AbstractContextManager[Meter]]  # how many there are, and what they are


class IJB:
    """The meta files, read once; then call it with a feature store for one model's figures.

    prefix is the folder and the beginning of the files' names (meta/ijbc). Raises UserError for a broken or absent file.
    """

    def __init__(self, prefix: Path, pooling: str, far_rule: str, meter: MakeMeter) -> None:
        self.pooling, self.far_rule, self.meter = POOLINGS[pooling], far_rule, meter
        self.faces_path = ijb_meta.meta_file(prefix, "face_tid_mid.txt")
        self.pairs_path = ijb_meta.meta_file(prefix, "template_pair_label.txt")
        self.probe_path = ijb_meta.meta_file(prefix, "1N_probe_mixed.csv")
        self.faces = ijb_meta.read_faces(prefix, with_detection=self.pooling.detection)
        self.template1, self.template2, self.same = ijb_meta.read_template_pairs(self.pairs_path)
        self.galleries = {path: ijb_meta.read_roster(path) for path in ijb_meta.galleries(prefix)}
        self.probes = ijb_meta.read_roster(self.probe_path) if self.galleries else None

    def rows(self, store: FeatureStore) -> np.ndarray:
        """int64 [N]: where each face stands in the store, -1 for one that is absent."""
        return ijb_meta.match_rows(self.faces.names, store.names)

    def __call__(self, store: FeatureStore, rows: np.ndarray) -> tuple[dict[str, Any], Curve]:
        """(figures for results.json, the ROC thinned out for a picture). rows as `rows` gives them; absent faces are left out."""
        there = rows >= 0
        faces = self.faces
        detection = None if faces.detection is None else faces.detection[there]
        with self.meter(int(there.sum()), "image") as progress:
            templates = pool_templates(
                store.embeddings, rows[there], faces.template[there], faces.media[there], detection, self.pooling, progress.update
            )  # fmt: skip
        figures, curve = self._verify(templates)
        figures = {
            "faces": int(there.sum()),
            "faces_left_out": int((~there).sum()),
            "templates": len(templates.ids),
        } | figures
        if self.probes is not None:
            figures["identification"] = self._identify(templates)
        return figures, curve

    def _verify(self, templates: Templates) -> tuple[dict[str, Any], Curve]:
        sides = [templates.rows(ids, str(self.pairs_path)) for ids in (self.template1, self.template2)]
        with self.meter(len(self.same), "pair") as progress:
            similarity = score_template_pairs(templates.directions, *sides, progress.update)
        fmr, tar = Ranking(similarity, self.same).roc()
        genuine = int(np.count_nonzero(self.same))
        impostors = len(self.same) - genuine
        figures = {"genuine_pairs": genuine, "impostor_pairs": impostors, "auc": auc(fmr, tar), "eer": eer(fmr, tar)}
        return figures | at_fars(fmr, tar, impostors, self.far_rule), thinned(fmr, tar)

    def _identify(self, templates: Templates) -> dict[str, Any]:
        """The CMC in every gallery and in all together; TPIR at FPIR in every gallery, whose strangers are the other's people."""
        assert self.probes is not None
        probes = templates.directions[templates.rows(self.probes.template, str(self.probe_path))]
        entries = [templates.rows(roster.template, str(path)) for path, roster in self.galleries.items()]
        subjects = [roster.subject for roster in self.galleries.values()]
        found: dict[str, Any] = {}
        for path, gallery, subject in zip(self.galleries, entries, subjects, strict=True):
            done = search(probes, self.probes.subject, templates.directions[gallery], subject)
            found[path.stem.rpartition("_")[2]] = of_search(done, FPIRS)
        if len(entries) > 1:
            gallery, subject = np.concatenate(entries), np.concatenate(subjects)
            found["all"] = of_search(search(probes, self.probes.subject, templates.directions[gallery], subject))
        return found


def tinyface(store: FeatureStore) -> dict[str, Any]:
    """Closed-set search of TinyFace's probes among their mates and the distractors. Raises UserError for another store."""
    try:
        probe, gallery, subject = ijb_meta.tinyface_roles(store.names)
    except UserError as error:
        raise UserError(f"{store.path}: {error}") from None
    done = search(unit(store.embeddings[probe]), subject[probe], unit(store.embeddings[gallery]), subject[gallery])
    return {"identification": {"TinyFace": of_search(done)}}


def of_search(done: Search, fpirs: Sequence[float] = ()) -> dict[str, Any]:
    """Rank-k rates, the CMC up to the highest of RANKS, and TPIR at FPIRs, for results.json."""
    cmc = done.cmc(max(RANKS))
    return {
        "probes": len(done.rank),
        "probes_with_mate": int(np.count_nonzero(done.rank)),
        **{f"rank_{rank}": None if cmc is None else float(cmc[rank - 1]) for rank in RANKS},
        **{f"tpir_at_fpir_{fpir:g}": done.tpir(fpir) for fpir in fpirs},
        "cmc": None if cmc is None else cmc.tolist(),
    }


def at_fars(fmr: np.ndarray, tar: np.ndarray, impostors: int, rule: str) -> dict[str, float | None]:
    """tar_at_far_F and far_attained_F of every target, by the rule "at_most" or "nearest"."""
    found: dict[str, float | None] = {}
    for far in FAR_TARGETS:
        point = (
            nearest_operating_point(fmr, tar, far) if rule == "nearest" else operating_point(fmr, tar, far, impostors)
        )
        found[f"tar_at_far_{far:g}"], found[f"far_attained_{far:g}"] = point or (None, None)
    return found


def thinned(fmr: np.ndarray, tar: np.ndarray, points: int = 20_000) -> Curve:
    """At most that many points of a ROC, spread evenly over the logarithm of the FMR."""
    lowest = fmr[min(np.searchsorted(fmr, 0, side="right"), len(fmr) - 1)] or 1.0
    wanted = np.append(0.0, np.geomspace(lowest, 1, points - 1))
    at = np.unique(np.searchsorted(fmr, wanted * (1 + 1e-12), side="right") - 1)
    return fmr[at], tar[at]
