"""The command that fine-tuning suggests is run as it is printed: what it evaluates is honest."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from magface_al.command.run import Run
from magface_al.faces.identities import parent_folder
from magface_al.finetuning.held_out import suggest_evaluation
from magface_al.finetuning.recipe import SplitRecipe
from magface_al.pairs.chosen import is_mined
from magface_al.pairs.pair_file import Pair, PairFile, read_pairs


def suggested(done):
    """The words of the first command that a run suggests."""
    return shlex.split(re.search(r"^next:\n  python (.*)$", done.stdout, re.MULTILINE)[1])


def finetune(run_script, checkpoint, pairs, *flags):
    quick = ["--epochs", 1, "--trainable", "head", "--val_split", 0.4, "--force_cpu", "--output_dir", "out"]
    return run_script("finetune_on_feedback.py", "--checkpoint", checkpoint, "--feedback_file", pairs, *quick, *flags)


@pytest.mark.slow(5)
def test_hard_pairs_get_no_verdict_and_the_suggested_command_gives_one(run_script, tmp_path, pairs, tiny_checkpoint):
    done = finetune(run_script, tiny_checkpoint, pairs)
    assert re.search(r"note: validation: (\d+) of \1 pairs were chosen by a model's errors \(strategy exact\); its figures choose an epoch and are no measure of the gain", done.stderr)  # fmt: skip
    assert re.search(r"of the answered validation pairs \((\d+) of \1 chosen by a model's errors\);", done.stdout)
    script, *flags = suggested(done)
    chosen = [*flags[:-1], "out/val_pairs.json"]

    done = run_script(script, *chosen)
    assert "chosen by a model's errors (strategy exact): the change below overstates the gain" in done.stdout
    assert "no verdict: no pairs drawn at random" in done.stdout
    target = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["target"]
    assert target["verdict"] is None
    assert target["chosen_by_errors"] == target["pairs"]
    assert suggested(done) == [script, *flags]  # it knows the file beside it

    done = run_script(script, *flags)
    target = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["target"]
    assert target["verdict"].startswith(("better: EER", "worse: EER", "no improvement shown: EER"))
    assert f"verdict: {target['verdict']}" in done.stdout
    assert target["chosen_by_errors"] == 0

    honest, train = read_pairs(tmp_path / flags[-1]), read_pairs(tmp_path / "out" / "train_pairs.json")
    people = {parent_folder(image) for image in honest.images()}
    assert not people & {parent_folder(image) for image in train.images()}
    assert len(honest.images()) == 5 * len(people)  # also those that no error put into a pair
    assert len({pair.key() for pair in honest.pairs}) == len(honest.pairs)
    for pair in honest.pairs:
        assert pair.extra["strategy"] == "random"
        assert pair.label == (parent_folder(pair.image1) == parent_folder(pair.image2))


@pytest.mark.slow(4)
def test_random_pairs_are_evaluated_as_they_are(run_script, tmp_path, faces, tiny_checkpoint):
    run_script("create_test_feedback.py", "--dataset", faces, "--num_pairs", 120)
    done = finetune(run_script, tiny_checkpoint, "test_feedback/feedback_pairs_test.json")
    script, *flags = suggested(done)
    assert flags[-1] == "out/val_pairs.json"
    assert not (tmp_path / "out" / "val_random_pairs.json").exists()
    assert "chosen by a model's errors" not in done.stdout + done.stderr
    assert "verdict: " in run_script(script, *flags).stdout


@pytest.fixture
def nameless(pairs, tmp_path):
    """The hard pairs, answered by people: nobody says who is on them; and as many pairs of a random slice among all images."""
    content = json.loads(pairs.read_text())
    for pair in content["pairs"]:
        del pair["identity1"], pair["identity2"]
    images = sorted({pair[key] for pair in content["pairs"] for key in ("image1", "image2")})
    drawn = [
        {"image1": one, "image2": two, "label": int(parent_folder(one) == parent_folder(two)), "holdout": True,
         "strategy": "random_slice", "inclusion_probability": 0.5}
        for k, one in enumerate(images) for two in images[:k]
    ]  # fmt: skip
    known = {tuple(sorted((pair["image1"], pair["image2"]))) for pair in content["pairs"]}
    drawn = [pair for pair in drawn if tuple(sorted((pair["image1"], pair["image2"]))) not in known]

    def write(*kinds):
        content["pairs"] = [*content["pairs"], *(drawn if "slice" in kinds else [])]
        pairs.write_text(json.dumps(content))
        return pairs

    return write


@pytest.mark.slow(5)
def test_nameless_people_are_judged_on_the_random_slice(run_script, tmp_path, nameless, tiny_checkpoint):
    script, *flags = suggested(finetune(run_script, tiny_checkpoint, nameless("slice")))
    assert flags[-1] == "out/val_random_pairs.json"
    done = run_script(script, *flags)
    assert "\nverdict: " in done.stdout
    honest, train = read_pairs(tmp_path / flags[-1]), read_pairs(tmp_path / "out" / "train_pairs.json")
    assert all(pair.is_holdout() and pair.extra["inclusion_probability"] == 0.5 for pair in honest.pairs)
    assert not {parent_folder(image) for image in honest.images()} & {parent_folder(image) for image in train.images()}


@pytest.mark.slow(3)
def test_without_names_or_a_slice_the_next_step_is_to_ask(run_script, tmp_path, nameless, tiny_checkpoint):
    done = finetune(run_script, tiny_checkpoint, nameless())
    command = (
        "choose_pairs.py --features_list FEATURES --output_file ask_random.json --strategy random --random_share 0.9"
    )
    assert suggested(done) == command.split()
    assert "a verdict needs answers about random pairs of people never trained on" in done.stderr
    done = run_script(
        "evaluate_finetuned_model.py", "--checkpoint", tiny_checkpoint, "--finetuned", "out/magface_feedback_best.pth",
        "--feedback_file", "out/val_pairs.json",
    )  # fmt: skip
    assert "no verdict: no pairs drawn at random" in done.stdout
    assert suggested(done) == command.split()


@pytest.mark.slow(4)
def test_people_who_were_trained_on_get_no_verdict(run_script, tmp_path, faces, tiny_checkpoint):
    run_script("create_test_feedback.py", "--dataset", faces, "--num_pairs", 120)
    feedback = tmp_path / "test_feedback" / "feedback_pairs_test.json"
    content = json.loads(feedback.read_text())
    for pair in content["pairs"]:
        pair.pop("strategy", None)
    feedback.write_text(json.dumps(content))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "val_random_pairs.json").write_text(
        "{}"
    )  # of an earlier run, whose validation people these are not
    done = finetune(run_script, tiny_checkpoint, feedback, "--split_by", "pair")
    assert suggested(done)[0] == "create_test_feedback.py"
    assert not (tmp_path / "out" / "val_random_pairs.json").exists()
    for part in ("val", "train"):
        done = run_script(
            "evaluate_finetuned_model.py", "--checkpoint", tiny_checkpoint, "--finetuned", "out/magface_feedback_best.pth",
            "--feedback_file", f"out/{part}_pairs.json",
        )  # fmt: skip
        assert "people of these pairs were trained on: the change below overstates the gain" in done.stdout
        assert "\nno verdict: people of these pairs were trained on, expected pairs of others" in done.stdout
        target = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["target"]
        assert (target["verdict"], target["drawn_at_random"]) == (None, None)
        assert suggested(done)[0] == "create_test_feedback.py"


def test_pairs_split_regardless_of_people_are_not_suggested(tmp_path):
    folders(tmp_path)
    random = {"strategy": "random"}
    train = [mined("p0/0.png", "p1/0.png", **random), mined("p0/0.png", "p0/1.png", **random)]
    val = [mined("p0/1.png", "p1/1.png", **random), mined("p1/1.png", "p1/2.png", **random)]
    (command,) = suggest(tmp_path, [train, val, []], split_by="pair")
    assert "create_test_feedback.py" in command
    (command,) = suggest(tmp_path, [train, val, []])
    assert command.endswith("val_pairs.json")


def folders(tmp_path, people=6, images=3):
    for person in range(people):
        (tmp_path / f"p{person}").mkdir()
        for image in range(images):
            (tmp_path / f"p{person}" / f"{image}.png").touch()
    return tmp_path


def mined(one, two, **extra):
    who = {"identity1": parent_folder(one), "identity2": parent_folder(two)}
    label = int(who["identity1"] == who["identity2"])
    return Pair(one, two, label, {"strategy": "exact", **who, **extra})


def suggest(tmp_path, parts, slices=(), split_by="identity"):
    feedback = PairFile(tmp_path / "f.json", [pair for part in parts for pair in part])
    run = Run("x.py", {})
    suggest_evaluation(parts, feedback, slices, [], tmp_path, SplitRecipe(seed=1, split_by=split_by), run)
    return run._next


def test_random_pairs_are_of_people_whom_no_other_part_shows(tmp_path):
    folders(tmp_path)
    train = [mined("p0/0.png", "p1/0.png"), Pair("p5/2.png", "p0/1.png", 0, {"strategy": "exact"})]  # p5 without a name
    val = [mined("p2/0.png", "p0/2.png")]
    test = [mined("p1/1.png", "p3/0.png"), mined("./p4/0.png", "p4/1.png"), mined("p5/0.png", "p5/1.png")]
    (command,) = suggest(tmp_path, [train, val, test])
    assert command.endswith("test_random_pairs.json")
    drawn = read_pairs(tmp_path / "test_random_pairs.json")
    assert {parent_folder(image) for image in drawn.images()} == {"p3", "p4"}
    assert len(drawn.pairs) == 6 + 9  # every pair of six images, none of them twice under two names


def test_images_outside_of_a_folder_of_that_name_are_drawn_alone(tmp_path):
    folders(tmp_path)
    val = [mined("p0/0.png", "p0/1.png"), mined("p1/0.png", "p0/1.png")]
    val = [Pair(p.image1, p.image2, p.label, {**p.extra, "identity1": f"x{p.extra['identity1']}", "identity2": f"x{p.extra['identity2']}"}) for p in val]  # fmt: skip
    suggest(tmp_path, [[], val, []])
    assert len(read_pairs(tmp_path / "val_random_pairs.json").images()) == 3


def test_a_file_of_an_earlier_run_does_not_stay(tmp_path):
    (tmp_path / "val_random_pairs.json").write_text("{}")
    (command,) = suggest(tmp_path, [[], [Pair("a", "b", 1, {"strategy": "exact"})], []])
    assert command.startswith("python choose_pairs.py")
    assert not (tmp_path / "val_random_pairs.json").exists()


def test_slices_leave_out_whom_the_answers_make_one_with_somebody_seen(tmp_path):
    train = [Pair("a", "b", 1, {"strategy": "exact"})]
    val = [Pair("c", "d", 0, {"strategy": "exact"})]
    slices = [Pair(one, two, label, {"strategy": "random_slice", "holdout": True})
              for one, two, label in (("b", "e", 1), ("e", "f", 0), ("g", "h", 1), ("g", "c", 0))]  # fmt: skip
    suggest(tmp_path, [train, val, []], slices)
    kept = read_pairs(tmp_path / "val_random_pairs.json").pairs
    assert [(pair.image1[-1], pair.image2[-1]) for pair in kept] == [("g", "h"), ("g", "c")]
    assert not any(map(is_mined, kept))
