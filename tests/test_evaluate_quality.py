"""evaluate_quality.py on all pairs of drawn faces."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest


@pytest.fixture
def listed(tmp_path, faces, features):
    """every.json: all pairs of the drawn faces' first 36 images, with who they show; score.txt: a quality for each image."""
    files = sorted(str(path) for path in faces.glob("*/*.png"))[:36]
    people = [path.split("/")[-2] for path in files]
    pairs = [
        {
            "image1": files[i],
            "image2": files[j],
            "label": int(people[i] == people[j]),
            "identity1": people[i],
            "identity2": people[j],
        }
        for i in range(36)
        for j in range(i)
    ]
    (tmp_path / "every.json").write_text(json.dumps(pairs))
    (tmp_path / "score.txt").write_text("".join(f"{path} {k % 7}\n" for k, path in enumerate(files)))
    return ["evaluate_quality.py", "--feedback_file", "every.json", "--features_list", features]


def test_curves_areas_and_pictures(run_script, tmp_path, listed, features):
    done = run_script(*listed, "--fmr", "0.05", "--quality", "age=score.txt", "--resamples", "30")
    found = json.loads((tmp_path / "quality" / "quality.json").read_text())
    stored = dict(
        zip(features.with_suffix(".paths.txt").read_text().splitlines(), np.load(features).astype(float), strict=True)
    )
    pairs = json.loads((tmp_path / "every.json").read_text())
    cosine = {True: [], False: []}
    quality = []
    for pair in pairs:
        a, b = stored[pair["image1"]], stored[pair["image2"]]
        cosine[pair["label"] == 1].append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        quality.append(min(np.linalg.norm(a), np.linalg.norm(b)))
    threshold = sorted(cosine[False], reverse=True)[int(0.05 * len(cosine[False]))]
    assert found["threshold"] == pytest.approx(threshold)
    assert found["fmr"] <= 0.05
    assert found["scores"]["magnitude"]["fnmr"]["0"] == pytest.approx(np.mean(np.array(cosine[True]) <= threshold))
    genuine = np.sort(np.array(quality)[[pair["label"] == 1 for pair in pairs]])
    assert found["scores"]["magnitude"]["curve"]["share"][:3] == pytest.approx(
        [np.mean(genuine < q) for q in np.unique(genuine)[:3]]
    )
    low, high = found["scores"]["age"]["area_interval_95"]
    assert low <= found["scores"]["age"]["area"] <= high
    assert (tmp_path / "quality" / "quality.md").read_text() in done.stdout
    for name in ("error_vs_discard", "magnitude_histogram", "age_histogram"):
        assert cv2.imread(str(tmp_path / "quality" / f"{name}.png")) is not None


def test_magface_s_rule_under_its_own_name(run_script, tmp_path, listed):
    assert "threshold rule magface" in run_script(*listed, "--threshold_rule", "magface").stdout
    assert json.loads((tmp_path / "quality" / "quality.json").read_text())["threshold"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fmr", "0.001"], "at least 1000 impostors to show an FMR of 0.001; bring more pairs, or a higher --fmr"),
        (
            ["--fmr", "0.05", "--quality", "age=absent.txt"],
            "absent.txt: No such file or directory, expected lines of `path score`",
        ),
        (
            ["--fmr", "0.05", "--quality", "age=bad.txt"],
            "bad.txt: line 1: 'a.jpg high', expected `path score` with a finite score",
        ),
        (["--fmr", "0.05", "--quality", "age=few.txt"], "few.txt: 36 of 36 images have no score"),
        (["--fmr", "0.05", "--quality", "magnitude=score.txt"], "expected a name of its own without a slash"),
        (["--fmr", "1"], "1 is outside (0, 1)"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(run_script, tmp_path, listed, flags, message):
    (tmp_path / "bad.txt").write_text("a.jpg high\n")
    (tmp_path / "few.txt").write_text("a.jpg 1\n")
    assert message in run_script(*listed, *flags, code=2).stderr
