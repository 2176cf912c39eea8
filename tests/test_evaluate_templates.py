"""evaluate_templates.py on small sets in IJB's and TinyFace's layouts."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from magface_al.command.errors import UserError
from magface_al.evaluation.templates import POOLINGS
from magface_al.evaluation.tinyface import tinyface_roles
from magface_al.metrics.cosine import magnitudes
from tests.support.templates import FACES, TEMPLATES, D, draw_templates, pooled_by_hand


@pytest.fixture
def people():
    return draw_templates()


@pytest.fixture
def ijb(tmp_path, people):
    """A store and meta files in IJB's layout: two galleries of ten people each, the other 40 templates are probes."""
    embeddings, template, media, detection, subject = people
    names = [f"{k + 1}.jpg" for k in range(FACES)]
    order = np.random.default_rng(2).permutation(FACES)
    write_store(tmp_path / "ijbc.npy", [f"aligned/{names[k]}" for k in order], embeddings[order])
    lines = {
        "face_tid_mid.txt": [f"{n} {t} {m}" for n, t, m in zip(names, template, media, strict=True)],
        "name_5pts_score.txt": [f"{n} {'1.5 ' * 10}{s!r}" for n, s in zip(names, detection.tolist(), strict=True)],
        "template_pair_label.txt": [
            f"{a} {b} {int(subject[a] == subject[b])}" for a in range(20) for b in range(20, TEMPLATES)
        ],
        "1N_gallery_G1.csv": ["T,S,F", *(f"{t},{subject[t]},x.jpg" for t in range(10) for _ in range(2))],
        "1N_gallery_G2.csv": ["T,S,F", *(f"{t},{subject[t]},x.jpg" for t in range(10, 20))],
        "1N_probe_mixed.csv": ["T,S,F", *(f"{t},{subject[t]},x.jpg" for t in range(20, TEMPLATES))],
    }
    (tmp_path / "meta").mkdir()
    for name, content in lines.items():
        (tmp_path / "meta" / f"ijbc_{name}").write_text("\n".join(content) + "\n")
    return people


def write_store(path, names, embeddings, flip="none"):
    np.save(path, embeddings)
    path.with_suffix(".paths.txt").write_text("".join(f"{name}\n" for name in names))
    path.with_suffix(".json").write_text(json.dumps({"flip": flip, "arguments": {"root": "."}}))


def results(tmp_path):
    return json.loads((tmp_path / "templates" / "results.json").read_text())["results"]


@pytest.mark.parametrize("pooling", ["magnitude", "insightface"])
def test_ijb_by_hand(run_script, tmp_path, ijb, pooling):
    done = run_script(
        "evaluate_templates.py", "--features_list", "ijbc.npy", "--meta", "meta/ijbc", "--pooling", pooling
    )
    embeddings, template, media, detection, subject = ijb
    pooled = pooled_by_hand(embeddings, template, media, detection, POOLINGS[pooling])
    pairs = np.array([(a, b) for a in range(20) for b in range(20, TEMPLATES)])
    similarity = np.array([pooled[a] @ pooled[b] for a, b in pairs])
    same = subject[pairs[:, 0]] == subject[pairs[:, 1]]
    (found,) = results(tmp_path)
    assert found["auc"] == pytest.approx(roc_auc_score(same, similarity), abs=1e-6)
    impostor = np.sort(similarity[~same])[::-1]
    for far in (0.1, 0.01):
        threshold = impostor[int(far * len(impostor))]
        assert found[f"tar_at_far_{far:g}"] == pytest.approx(np.mean(similarity[same] > threshold))
        assert found[f"far_attained_{far:g}"] <= far
    assert found["tar_at_far_0.001"] is None
    assert "insufficient data" in done.stdout
    assert f"pooling {pooling}, FAR at most the target" in done.stdout
    for gallery, members in (("G1", range(10)), ("G2", range(10, 20)), ("all", range(20))):
        rows = np.array(members)
        mates = [t for t in range(20, TEMPLATES) if subject[t] in subject[rows]]
        first = [subject[rows[np.argmax(pooled[rows] @ pooled[t])]] == subject[t] for t in mates]
        assert found["identification"][gallery]["rank_1"] == pytest.approx(np.mean(first))
        assert found["identification"][gallery]["probes_with_mate"] == len(mates)
    for picture in ("roc.png", "cmc.png"):
        assert cv2.imread(str(tmp_path / "templates" / picture)) is not None


def test_many_models_without_galleries_and_the_upstream_reading(run_script, tmp_path, ijb):
    write_store(tmp_path / "noise.npy", [f"{k + 1}.jpg" for k in range(FACES)], np.random.default_rng(0).normal(size=(FACES, D)).astype(np.float32), "sum")  # fmt: skip
    for name in ("G1", "G2"):
        (tmp_path / "meta" / f"ijbc_1N_gallery_{name}.csv").unlink()
    done = run_script(
        "evaluate_templates.py",
        "--features_list",
        "ijbc.npy",
        "noise.npy",
        "--meta",
        "meta/ijbc",
        "--far_rule",
        "nearest",
    )
    assert "so there is no 1:N search" in done.stderr
    good, noise = results(tmp_path)
    assert (good["flip"], noise["flip"]) == ("none", "sum")
    assert good["auc"] > 0.9 > 0.65 > noise["auc"]
    assert good["tar_at_far_1e-06"] is not None  # as upstream reads it, however few the pairs
    assert not (tmp_path / "templates" / "cmc.png").exists()


def test_absent_faces_stop_the_work_unless_allowed(run_script, tmp_path, ijb):
    embeddings = ijb[0]
    write_store(tmp_path / "part.npy", [f"{k + 1}.jpg" for k in range(1, FACES)], embeddings[1:])
    flags = ["evaluate_templates.py", "--features_list", "part.npy", "--meta", "meta/ijbc"]
    assert "1 of 400 faces have no embedding (first: 1.jpg); embed them" in run_script(*flags, code=2).stderr
    run_script(*flags, "--allow_failures")
    assert results(tmp_path)[0]["faces_left_out"] == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("face_tid_mid.txt", "1.jpg 1\n", "ijbc_face_tid_mid.txt: line 1: '1.jpg 1', expected `image template media`"),
        ("name_5pts_score.txt", "1.jpg 0.5\n", "399 of 400 faces have no detection score (first: 2.jpg)"),
        ("name_5pts_score.txt", "1.jpg high\n", "line 1: '1.jpg high', expected an image, ten coordinates and a score"),
        ("template_pair_label.txt", "1 2 3\n", "expected lines of `template template label` with labels 1 and 0"),
        ("template_pair_label.txt", "1 2 1\n1 x 0\n", "could not convert string 'x'"),
        ("template_pair_label.txt", "1 999 1\n1 2 0\n", "template 999 has no images"),
        ("1N_gallery_G1.csv", "T,S\n0,a\n", "expected lines of template,subject after a header line"),
    ],
)
def test_broken_meta_files_are_refused_in_words(run_script, tmp_path, ijb, name, content, message):
    (tmp_path / "meta" / f"ijbc_{name}").write_text(content)
    flags = ["--features_list", "ijbc.npy", "--meta", "meta/ijbc", "--pooling", "detection"]
    assert message in run_script("evaluate_templates.py", *flags, code=2).stderr


def test_tinyface_by_hand(run_script, tmp_path, people):
    embeddings, template, _, _, subject = people
    person = subject[template]
    folders = np.array(["Probe", "Gallery_Match", "Gallery_Distractor"])[np.arange(FACES) % 3]
    names = [
        f"tinyface/Testing_Set/{folder}/{who}_{k}.jpg"
        for k, (folder, who) in enumerate(zip(folders, person, strict=True))
    ]
    write_store(tmp_path / "tiny.npy", names, embeddings)
    run_script("evaluate_templates.py", "--features_list", "tiny.npy", "--tinyface")
    found = results(tmp_path)[0]["identification"]["TinyFace"]
    directions = embeddings / magnitudes(embeddings)[:, None]
    gallery = np.flatnonzero(folders != "Probe")
    hits = {1: [], 5: [], 20: []}
    for probe in np.flatnonzero(folders == "Probe"):
        order = gallery[np.argsort(-(directions[gallery] @ directions[probe]))]
        mate = (folders[order] == "Gallery_Match") & (person[order] == person[probe])
        for rank, of_rank in hits.items():
            of_rank.append(mate[:rank].any())
    assert {rank: found[f"rank_{rank}"] for rank in hits} == pytest.approx(
        {rank: np.mean(of) for rank, of in hits.items()}
    )


def test_a_store_that_is_no_tinyface_is_refused(run_script, tmp_path, people):
    write_store(tmp_path / "other.npy", [f"a/{k}.jpg" for k in range(FACES)], people[0])
    done = run_script("evaluate_templates.py", "--features_list", "other.npy", "--tinyface", code=2)
    assert "other.npy: no images of TinyFace's folders Probe and Gallery_Match" in done.stderr
    with pytest.raises(UserError, match="begins with the person's number"):
        tinyface_roles(["Probe/x_1.jpg", "Gallery_Match/1_1.jpg"])


def test_an_absent_meta_file_is_named_with_what_meta_is(run_script, tmp_path, people):
    write_store(tmp_path / "ijbc.npy", [f"{k}.jpg" for k in range(FACES)], people[0])
    done = run_script("evaluate_templates.py", "--features_list", "ijbc.npy", "--meta", "meta/ijbb", code=2)
    assert "ijbb_face_tid_mid.txt: No such file or directory, expected lines of `image template media`" in done.stderr
    assert "--meta is the folder and the beginning of the files' names, as meta/ijbc" in done.stderr
