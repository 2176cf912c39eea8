"""IJB-B and IJB-C under one model after another: pool the templates, verify pairs (1:1), search galleries (1:N)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.embedding.store import FeatureStore
from magface_al.evaluation import ijb_meta
from magface_al.evaluation.far_rules import FarRule, at_fars
from magface_al.evaluation.galleries import FPIRS, of_search
from magface_al.evaluation.results import markdown_table
from magface_al.evaluation.templates import Pooling, Templates, pool_templates, score_template_pairs
from magface_al.metrics.identification import search
from magface_al.metrics.roc import FAR_TARGETS, LABELS, Curve, Ranking, auc, eer, percent


class IJB:
    """The meta files, read once, before any feature store; then call it with a store for one model's figures.

    prefix is the folder and the beginning of the files' names (meta/ijbc). Raises UserError for a broken or absent file.
    """

    def __init__(self, prefix: Path, pooling: Pooling, far_rule: FarRule, run: Run) -> None:
        self.pooling, self.far_rule, self.run = pooling, far_rule, run
        self.faces_path = ijb_meta.meta_file(prefix, "face_tid_mid.txt")
        self.pairs_path = ijb_meta.meta_file(prefix, "template_pair_label.txt")
        self.probe_path = ijb_meta.meta_file(prefix, "1N_probe_mixed.csv")
        self.faces = ijb_meta.read_faces(prefix, with_detection=pooling.detection)
        self.template1, self.template2, self.same = ijb_meta.read_template_pairs(self.pairs_path)
        self.genuine = int(np.count_nonzero(self.same))
        self.impostors = len(self.same) - self.genuine
        self.galleries = {path: ijb_meta.read_roster(path) for path in ijb_meta.galleries(prefix)}
        self.probes = ijb_meta.read_roster(self.probe_path) if self.galleries else None
        run.input(self.faces_path, counted(len(self.faces.names), "face"))
        run.input(self.pairs_path, f"{counted(len(self.same), 'template pair')} ({self.genuine} genuine)")
        for path, roster in self.galleries.items():
            run.input(path, f"a gallery of {counted(len(roster.template), 'template')}")
        if not self.galleries:
            run.note(f"no {prefix.name}_1N_gallery_*.csv in {prefix.parent}, so there is no 1:N search")

    def __call__(self, store: FeatureStore, allow_failures: bool) -> tuple[dict[str, Any], Curve]:
        """(figures for results.json, the ROC thinned out for a picture). allow_failures: leave out faces that the store lacks."""
        rows = self._rows(store, allow_failures)
        there = rows >= 0
        faces = self.faces
        detection = None if faces.detection is None else faces.detection[there]
        with tqdm(total=int(there.sum()), unit="image", unit_scale=True) as progress:
            templates = pool_templates(
                store.embeddings,
                rows[there],
                faces.template[there],
                faces.media[there],
                detection,
                self.pooling,
                progress.update,
            )
        counts = {"faces": int(there.sum()), "faces_left_out": int((~there).sum()), "templates": len(templates.ids)}
        figures, curve = self._verify(templates)
        if self.probes is not None:
            figures["identification"] = self._identify(templates)
        return counts | figures, curve

    def _rows(self, store: FeatureStore, allow_failures: bool) -> np.ndarray:
        """int64 [N]: where each face stands in the store, -1 for one that is absent. Raises UserError unless it may be."""
        rows = ijb_meta.match_rows(self.faces.names, store.names)
        absent = np.flatnonzero(rows < 0)
        if len(absent):
            first = self.faces.names[absent[0]]
            message = f"{store.path}: {len(absent)} of {counted(len(rows), 'face')} have no embedding (first: {first})"
            if not allow_failures or len(absent) == len(rows):
                raise UserError(f"{message}; embed them, or give --allow_failures to leave them out")
            self.run.note(f"{message}; they are left out")
        return rows

    def _verify(self, templates: Templates) -> tuple[dict[str, Any], Curve]:
        rows1, rows2 = (templates.rows(ids, str(self.pairs_path)) for ids in (self.template1, self.template2))
        with tqdm(total=len(self.same), unit="pair", unit_scale=True) as progress:
            similarity = score_template_pairs(templates.directions, rows1, rows2, progress.update)
        fmr, tar = Ranking(similarity, self.same).roc()
        figures = {
            "genuine_pairs": self.genuine,
            "impostor_pairs": self.impostors,
            "auc": auc(fmr, tar),
            "eer": eer(fmr, tar),
        }
        return figures | at_fars(fmr, tar, self.impostors, self.far_rule), thinned(fmr, tar)

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


def verification_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """1:1, a row a model; empty where no pairs were verified."""
    verified = {model: result for model, result in results.items() if "auc" in result}
    names = [*(f"tar_at_far_{far:g}" for far in reversed(FAR_TARGETS)), "auc", "eer"]
    rows = [[model, of["flip"], *(percent(name, of[name]) for name in names)] for model, of in verified.items()]
    return markdown_table(["1:1", "flip", *(LABELS[name] for name in names)], rows, left=2) if rows else ""


def thinned(fmr: np.ndarray, tar: np.ndarray, points: int = 20_000) -> Curve:
    """At most that many points of a ROC, spread evenly over the logarithm of the FMR."""
    lowest = fmr[min(int(np.searchsorted(fmr, 0, side="right")), len(fmr) - 1)] or 1.0
    wanted = np.append(0.0, np.geomspace(lowest, 1, points - 1))
    at = np.unique(np.searchsorted(fmr, wanted * (1 + 1e-12), side="right") - 1)
    return fmr[at], tar[at]
