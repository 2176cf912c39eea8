"""Pooling, 1:1 and 1:N against plain float64 loops, and the script on small sets in IJB's and TinyFace's layouts."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from magface_al.command.errors import UserError
from magface_al.evaluation import templates
from magface_al.evaluation.ijb_meta import match_rows
from magface_al.evaluation.templates import POOLINGS, pool_templates, score_template_pairs
from magface_al.evaluation.tinyface import tinyface_roles
from magface_al.metrics.cosine import magnitudes, unit
from magface_al.metrics.identification import search

FACES, TEMPLATES, D = 400, 60, 8


@pytest.fixture
def people():
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


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("rows_at_once", [1, 37, 16384], ids=["a template a block", "small blocks", "one block"])
def test_pooling_agrees_with_a_loop_whatever_the_block_size(people, name, rows_at_once, monkeypatch):
    monkeypatch.setattr(templates, "ROWS", rows_at_once)
    embeddings, template, media, detection, _ = people
    place = np.random.default_rng(0).permutation(FACES)  # the store has the faces in another order
    stored = np.empty_like(embeddings)
    stored[place] = embeddings
    done = []
    pooled = pool_templates(stored, place, template + 7, media, detection, POOLINGS[name], done.append)
    assert np.array_equal(pooled.ids, np.arange(TEMPLATES) + 7)
    assert pooled.directions == pytest.approx(
        pooled_by_hand(embeddings, template, media, detection, POOLINGS[name]), abs=1e-5
    )
    assert sum(done) == FACES


def test_poolings_weigh_as_they_say():
    two = np.array([[4, 0], [0, 1]], np.float32)  # a face of magnitude 4 to the east, one of 1 to the north
    detection = np.array([0.5, 1.0], np.float32)

    def east_over_north(name, media):
        x, y = pool_templates(
            two, np.arange(2), np.zeros(2, int), np.array(media), detection, POOLINGS[name]
        ).directions[0]
        return x / y

    found = {name: east_over_north(name, [0, 1]) for name in POOLINGS}
    expected = {"magnitude": 4, "uniform": 1, "detection": 0.5, "insightface": 2, "magface": 1, "adaface": 16}
    assert found == pytest.approx(expected)
    assert east_over_north("magface", [0, 0]) == pytest.approx(4)  # in one media the magnitudes count


def test_pairs_are_scored_in_blocks(people, monkeypatch):
    monkeypatch.setattr(templates, "PAIRS", 7)
    directions = unit(people[0])
    rows = np.random.default_rng(1).integers(FACES, size=(2, 100))
    expected = [float(directions[a].astype(float) @ directions[b]) for a, b in rows.T]
    assert score_template_pairs(directions, *rows) == pytest.approx(expected, abs=1e-6)


def test_ranks_agree_with_sorting(people):
    embeddings, template, _, _, subject = people
    faces, person = unit(embeddings), subject[template]
    known = person[200:] < 15  # the gallery lacks five of the twenty people
    found = search(faces[:200], person[:200], faces[200:][known], person[200:][known])
    for probe in range(200):
        order = np.argsort(-(faces[200:][known] @ faces[probe]))
        hits = np.flatnonzero(person[200:][known][order] == person[probe])
        assert found.rank[probe] == (hits[0] + 1 if len(hits) else 0)
    cmc = found.cmc(20)
    assert cmc[4] == pytest.approx(np.mean(found.rank[found.rank > 0] <= 5))
    assert (np.diff(cmc) >= 0).all()
    strangers = np.sort(found.best[found.rank == 0])
    threshold = next(t for t in strangers if np.mean(strangers > t) <= 0.1)
    expected = np.mean(
        [rank == 1 and mate > threshold for rank, mate in zip(found.rank, found.mate, strict=True) if rank]
    )
    assert found.tpir(0.1) == pytest.approx(expected)
    assert found.tpir(0.001) is None  # some fifty strangers cannot show it


def test_a_network_that_sees_everybody_alike_identifies_nobody():
    same = np.tile(np.array([1, 0], np.float32), (6, 1))
    found = search(same, np.arange(6), same, np.arange(6))
    assert found.rank.tolist() == [6] * 6
    assert found.cmc(3).tolist() == [0, 0, 0]
    assert search(same, np.arange(6), same, np.arange(6) + 10).cmc(3) is None


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


def test_images_are_found_by_their_file_names():
    assert match_rows(["2.jpg", "loose/1.jpg", "9.jpg"], ["x/1.jpg", "y\\2.jpg"]).tolist() == [1, 0, -1]
    with pytest.raises(UserError, match="two images called 1.jpg"):
        match_rows(["1.jpg"], ["a/1.jpg", "b/1.jpg"])


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
