"""Answering in a real browser, by keyboard, as people do it. Run by `make test-browser`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import Counter

import numpy as np
import pytest

from magface_al.labelling.events import image_id, pair_id
from magface_al.pairs.pair_file import read_pairs
from tests.support.browser import KEY, LAN_NAME, all_saved, answer_all, picture, shown, start, unlabelled, until
from tests.support.labeller_process import Client, labeller, wait_until
from tests.support.scripts import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.process]


def test_a_session_by_keyboard_and_what_it_is_worth(open_page, run_script, tmp_path):
    def make(name, seed, identities, pairs):
        run_script("create_test_feedback.py", "--synthetic", "--domain", "cctv", "--num_identities", identities,
                   "--images_per_identity", 5, "--num_pairs", pairs, "--seed", seed, "--output_dir", name)  # fmt: skip

    model = ROOT / "assets" / "demo_magface.pth"
    make("learn", 101, 100, 400)
    make("held_out", 102, 60, 600)
    run_script("gen_features.py", "--inf_list", "learn/images.list", "--feat_list", "learn.npy", "--resume", model)
    run_script("build_hard_pairs.py", "--features_list", "learn.npy", "--output_file", "hard.json", "--strategy", "sampled",
               "--candidate_mult", 2, "--pos_target", 180, "--neg_target", 180)  # fmt: skip
    truth = unlabelled(tmp_path / "hard.json", tmp_path / "pairs.json")

    with labeller(tmp_path, "--annotator", "ann", "--checkpoint", model) as server:
        page = start(server, open_page)
        answer_all(page, truth, 40)
        picture(page, "label")
        first = shown(page)
        for key in ("s", "s", "Backspace", "z"):
            page.keyboard.press(key)
        assert shown(page) == first
        all_saved(page)
        server.kill()  # the page stays open
        answer_all_offline = [shown(page)]
        page.keyboard.press(KEY[truth[shown(page)]])
        until(page, "document.getElementById('saved').textContent.startsWith('1 not yet saved')")
        picture(page, "not_saved")
        server.start()
        all_saved(page)
        assert Client(server).call("progress")["answers"] == 41
        page.reload()
        page.wait_for_selector("#left img")
        assert shown(page) not in answer_all_offline
        answer_all(page, truth)
        picture(page, "done")
        command = page.inner_text("#command")
        page.click("text=Review")
        page.wait_for_selector("#cards li")
        assert page.inner_text("#count") == "360 shown"
        page.click("#export")
        page.wait_for_selector("#message:not([hidden])")
        assert "Wrote 360 labels of 360 pairs to feedback.json and feedback.csv" in page.inner_text("#message")
        server.stop()

    assert {pair_id(pair): pair.label for pair in read_pairs(tmp_path / "feedback.json").pairs} == truth
    assert command.startswith("python finetune_on_feedback.py --checkpoint ")
    flags = command.split()[2:] + ["--epochs", "6", "--batch_size", "32", "--lr", "0.0005"]
    run_script("finetune_on_feedback.py", *flags)
    run_script("evaluate_finetuned_model.py", "--checkpoint", model, "--finetuned", "checkpoints_feedback/magface_feedback_best.pth",
               "--feedback_file", "held_out/feedback_pairs_test.json", "--output_dir", "evaluation")  # fmt: skip
    target = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["target"]
    assert target["after"]["eer"] < target["before"]["eer"]
    assert target["change_intervals_95"]["eer"][1] < 0  # 95 % interval over people


def test_twenty_keys_in_one_burst_are_twenty_answers_to_the_right_pairs(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        page.wait_for_timeout(500)
        order = page.evaluate("""() => {
            const seen = [];
            for (let k = 0; k < 20; k++) {
              seen.push([document.getElementById("faces").dataset.pair, "sd"[k % 2]]);
              document.dispatchEvent(new KeyboardEvent("keydown", { key: "sd"[k % 2], bubbles: true }));
            }
            return seen;
        }""")
        all_saved(page)
        server.stop()
        labels = {pair_id(pair): pair.label for pair in read_pairs(tmp_path / "feedback.json").pairs}
    assert len({pair for pair, _ in order}) == 20
    assert {pair: KEY[label] for pair, label in labels.items() if label is not None} == dict(order)


def test_fast_typing_files_every_key(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        page.wait_for_timeout(500)
        page.keyboard.type("sdsdsdsdsdsdsdsdsdsd")
        all_saved(page)
        assert Client(server).call("progress")["mine"] == {"same": 10, "different": 10}


def test_from_key_to_next_pair(open_page, people, tmp_path):
    """Measured, not asserted: from the key's time stamp to the frame in which both next faces are complete."""
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        page.wait_for_timeout(500)
        page.evaluate("""() => {
            window.times = [];
            document.addEventListener("keydown", event => {
              const before = document.getElementById("faces").dataset.pair;
              const look = () => {
                const images = [...document.querySelectorAll("#faces img")];
                const ready = document.getElementById("faces").dataset.pair !== before && images.length === 2
                  && images.every(image => image.complete && image.naturalWidth);
                if (ready) window.times.push(performance.now() - event.timeStamp);
                else requestAnimationFrame(look);
              };
              requestAnimationFrame(look);
            }, true);
        }""")
        for number in range(50):
            page.keyboard.press("s" if number % 2 else "d")
            page.wait_for_timeout(60)
        times = page.evaluate("window.times")
    assert len(times) == 50
    p50, p95 = np.quantile(times, [0.5, 0.95])
    print(f"key to next pair: p50 {p50:.1f} ms, p95 {p95:.1f} ms, worst {max(times):.1f} ms")  # pytest -rA shows it


def test_keys_that_are_not_meant_count_for_nothing(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        first = shown(page)
        for key in ("Control+d", "Alt+s", "q", "Escape", "Tab", " "):
            page.keyboard.press(key)
        page.keyboard.press("h")
        page.keyboard.press("s")  # while help is open
        page.keyboard.press("Escape")
        assert shown(page) == first
        page.keyboard.down("s")
        for _ in range(5):
            page.keyboard.down("s")  # held: Chromium marks these as repeats
        page.keyboard.up("s")
        all_saved(page)
        assert Client(server).call("progress")["answers"] == 1


def test_every_key_and_button_does_what_it_says(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        expected = Counter()
        for key, answer in [("s", "same"), ("ArrowRight", "same"), ("d", "different"), ("ArrowLeft", "different"), ("u", "unsure"), ("k", "skip"), ("1", "same"), ("2", "different"), ("3", "unsure")]:  # fmt: skip
            before = shown(page)
            page.keyboard.press(key)
            until(page, "before => document.getElementById('faces').dataset.pair !== before", before)
            expected[answer] += 1
        for name in ("Different", "Unsure", "Same", "Skip"):
            page.get_by_role("button", name=re.compile(f"^{name}")).click()
            expected[name.lower()] += 1
        sides = {}
        for key in ("ArrowLeft", "ArrowRight", "b"):
            sides[shown(page)] = key
            page.keyboard.press("b")
            picture(page, "bad_image")
            page.keyboard.press(key)
            expected["bad_image"] += 1
        page.keyboard.press("b")
        page.keyboard.press("Escape")
        page.keyboard.press("b")
        page.click("text=Both")
        expected["bad_image"] += 1
        all_saved(page)
        ann = Client(server)
        assert ann.call("progress")["mine"] == expected
        server.stop()
        for pair in read_pairs(tmp_path / "feedback.json").pairs:
            if key := sides.get(pair_id(pair)):
                left = pair.extra["left"]
                right = {"image1": "image2", "image2": "image1"}[left]
                assert pair.extra["bad"] == {"ArrowLeft": left, "ArrowRight": right, "b": "both"}[key]
                assert pair.label is None


def test_undo_reaches_back_over_a_reload(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        order = []
        for _ in range(12):
            order.append(shown(page))
            page.keyboard.press("s")
        all_saved(page)
        page.reload()
        page.wait_for_selector("#left img")
        for pair in reversed(order):
            page.keyboard.press("z")
            until(page, "pair => document.getElementById('faces').dataset.pair === pair", pair)
        page.keyboard.press("z")
        page.wait_for_selector("#message:not([hidden])")
        assert page.inner_text("#message") == "Nothing left to undo."
        all_saved(page)
        assert Client(server).call("progress")["answers"] == 0


def test_the_model_keeps_its_opinion_to_itself(open_page, people, tmp_path):
    people()
    path = tmp_path / "learn" / "pairs.json"
    content = json.loads(path.read_text())
    content["pairs"] = [{**pair, "similarity": 0.1234} for pair in content["pairs"]]
    path.write_text(json.dumps(content))
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        assert "0.123" not in page.inner_text("body")
        assert "identity" not in page.content()
        page.keyboard.press("s")
        page.keyboard.press("m")
        assert "similarity 0.123" in page.inner_text("#opinion")
        page.keyboard.press("s")
        page.keyboard.press("m")
        assert not page.is_visible("#opinion")
        all_saved(page)
        server.stop()
        shown_with = [
            p.get("opinion_shown")
            for p in json.loads((tmp_path / "feedback.json").read_text())["pairs"]
            if p["label"] == 1
        ]
        assert sorted(map(bool, shown_with)) == [False, True]


def test_faces_swap_in_place_and_the_sides_stay_true(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        pair, sides = shown(page), [page.get_attribute(f"#{side} img", "src") for side in ("left", "right")]
        page.keyboard.press("r")
        assert [page.get_attribute(f"#{side} img", "src") for side in ("right", "left")] == sides
        assert page.get_attribute("#left img", "alt") == "left face"
        assert shown(page) == pair
        page.keyboard.press("b")
        page.keyboard.press("ArrowLeft")
        all_saved(page)
        server.stop()
        answered = next(p for p in read_pairs(tmp_path / "feedback.json").pairs if pair_id(p) == pair)
        bad = getattr(answered, answered.extra["bad"])
        assert answered.extra["left"] == answered.extra["bad"]
        assert sides[1].endswith(image_id(bad))  # what had been on the right


def test_faces_are_large_sharp_and_can_be_enlarged(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        image = page.locator("#left img")
        assert image.bounding_box()["width"] > 400
        assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
        page.keyboard.press("x")
        assert wait_until(lambda: image.bounding_box()["width"] > 1000)
        picture(page, "enlarged")
        page.locator("#faces figure").first.click()
        assert wait_until(lambda: image.bounding_box()["width"] < 700)


def test_a_deleted_image_is_named_and_can_be_skipped(open_page, people, tmp_path):
    people(pairs=20)
    gone = tmp_path / "learn" / read_pairs(tmp_path / "learn" / "pairs.json").pairs[0].image1
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        gone.unlink()
        page = open_page(server)
        page.wait_for_selector(".missing")
        picture(page, "missing")
        first = shown(page)
        assert "This picture is missing: the image cannot be read: No such file or directory." in page.inner_text(
            "#faces"
        )
        assert page.locator("[data-answer=same]").is_disabled()
        page.keyboard.press("s")
        assert shown(page) == first
        page.keyboard.press("k")
        until(page, "first => document.getElementById('faces').dataset.pair !== first", first)
        all_saved(page)
        assert Client(server).call("progress")["mine"] == {"skip": 1}


def test_the_end_says_what_comes_next(open_page, people, tmp_path):
    truth = people(identities=4, pairs=8)
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        page.keyboard.press("k")
        page.keyboard.press("u")
        answer_all(page, truth)
        assert "settled: " in page.inner_text("#done-counts")
        assert page.inner_text("#command").startswith("python finetune_on_feedback.py")
        assert "1 pair waits for somebody else" in page.inner_text("#done-others")
        page.click("#skipped-button")
        page.wait_for_selector("#work:not([hidden])")
        page.keyboard.press(KEY[truth[shown(page)]])
        page.wait_for_selector("#done:not([hidden])")
        assert not page.is_visible("#skipped-button")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("text=Copy")
        page.wait_for_selector("text=Copied")
        assert page.evaluate("navigator.clipboard.readText()") == page.inner_text("#command")


def test_served_to_the_network_it_works_without_what_browsers_keep_for_secure_pages(open_page, people, tmp_path):
    truth = people(identities=4, pairs=8)
    flags = ["--annotator", "ann", "--host", "0.0.0.0", "--allowed_host", LAN_NAME]
    with labeller(tmp_path, *flags, pairs="learn/pairs.json") as server:
        page = start(server, open_page, host=LAN_NAME)
        assert not page.evaluate("isSecureContext")
        answer_all(page, truth)
        all_saved(page)
        page.click("text=Copy")
        assert page.evaluate("getSelection().toString()") == page.inner_text("#command")
        assert Client(server).call("progress")["settled"] == 8


def test_each_browser_has_a_name_of_its_own(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--overlap", 2, pairs="learn/pairs.json") as server:
        for name in ("Ann <b>", "Bob"):
            page = open_page(server)
            page.wait_for_selector("#name-dialog[open]")
            picture(page, "name")
            page.fill("#name", name)
            page.keyboard.press("Enter")
            page.wait_for_selector("#left img")
            assert page.inner_text("#who") == name
            page.keyboard.press("s")
            all_saved(page)
            page.reload()
            page.wait_for_selector("#left img")
            assert page.inner_text("#who") == name
        assert [row["annotator"] for row in Client(server).call("report")["annotators"]] == ["Ann <b>", "Bob"]


@pytest.mark.parametrize("path", ["/", "/grid", "/review"])
def test_a_feedback_file_that_cannot_be_written_is_told_until_it_can(open_page, people, tmp_path, path):
    people(identities=3, images=5, pairs=6)
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        ann = Client(server)
        page = open_page(server, path)
        assert page.is_hidden("#trouble")
        (tmp_path / "feedback.json").unlink()
        (tmp_path / "feedback.json" / "in the way").mkdir(parents=True)
        ann.answer(ann.questions(1)[0]["pair"], "same")
        page.wait_for_selector("#trouble:not([hidden])")
        picture(page, "trouble")
        assert "directory" in page.inner_text("#trouble")
        if path == "/":
            page.keyboard.press("s")
            all_saved(page)
            assert page.is_visible("#trouble"), "the next question does not hide it"
        shutil.rmtree(tmp_path / "feedback.json")
        ann.answer(ann.questions(1)[0]["pair"], "same")
        page.wait_for_selector("#trouble", state="hidden")


def test_answers_that_cannot_be_saved_stay_in_the_browser_and_the_page_says_why(open_page, people, tmp_path):
    people(identities=3, images=5, pairs=6)
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        page.route("**/api/events", lambda route: route.fulfill(status=503, json={"error": "the database is gone"}))
        page.keyboard.press("s")
        page.keyboard.press("d")
        until(page, "document.getElementById('saved').textContent.includes('the database is gone')")
        assert page.inner_text("#saved").startswith("2 not yet saved (the labeller answered 503: ")
        assert Client(server).call("progress")["answers"] == 0
        page.reload()
        page.wait_for_selector("#left img")
        until(page, "document.getElementById('saved').textContent.startsWith('2 not yet saved')")
        page.unroute("**/api/events")
        all_saved(page)
        assert Client(server).call("progress")["answers"] == 2


def test_the_next_command_can_be_copied_into_a_shell_whatever_the_files_are_called(open_page, people, tmp_path):
    people(identities=3, images=5, pairs=6)
    feedback = "it's $HOME & more.json"
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json", feedback=feedback) as server:
        page = open_page(server, "/review")
        until(page, "document.getElementById('command').textContent !== ''")
        words = shlex.split(page.text_content("#command"))
        assert words[words.index("--feedback_file") + 1] == feedback
