"""The labeller in a real browser, by keyboard, as people use it. Run by `make test-browser`.

LABEL_SCREENSHOTS=DIR keeps a picture of every page there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from labeller_process import ROOT, Client, labeller, wait_until

from magface_al.labelling.events import pair_id
from magface_al.pairs import read_pairs

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SCREENSHOTS = os.environ.get("LABEL_SCREENSHOTS")
KEY = {1: "s", 0: "d"}


@pytest.fixture(scope="module")
def chromium():
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing: make test-browser installs it, or set CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open the labeller in a browser profile of its own; what the page complains about fails the test at its end."""
    contexts, complaints, requests = [], [], []

    def open_one(server, path="", **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(server.address)
        page.wait_for_url(f"{server.site}/")
        if path:
            page.goto(f"{server.site}{path}")
        return page

    yield open_one
    for context in contexts:
        context.close()
    harmless = re.compile(r"status of 404|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    assert not [text for text in complaints if not harmless.search(text)]
    assert {urlsplit(url).hostname for url in requests} <= {"localhost"}, "the page asked another host for something"
    assert len({urlsplit(url).port for url in requests}) <= 1


@pytest.fixture
def people(run_script, tmp_path):
    """learn/pairs.json: unanswered pairs of drawn people; returns pair id -> the truth, which no page is told."""

    def draw(identities=12, images=4, pairs=60, strip=True):
        run_script("create_test_feedback.py", "--synthetic", "--domain", "cctv", "--num_identities", identities,
                   "--images_per_identity", images, "--num_pairs", pairs, "--output_dir", "learn")  # fmt: skip
        return unlabelled(tmp_path / "learn" / "feedback_pairs_test.json", tmp_path / "learn" / "pairs.json")

    return draw


def unlabelled(source, target):
    """Write the pairs of source without labels and names of people; pair id -> label."""
    content = json.loads(source.read_text())
    truth = {pair_id(pair): pair.label for pair in read_pairs(source).pairs}
    plain = [
        {**{k: v for k, v in pair.items() if not k.startswith("identity")}, "label": None} for pair in content["pairs"]
    ]
    target.write_text(json.dumps({**content, "pairs": plain}))
    return truth


def until(page, expression, arg=None):
    """Wait for a JavaScript expression. Not page.wait_for_function: it evaluates text in the page, which the policy forbids."""
    assert wait_until(lambda: page.evaluate(expression, arg), 20), expression


def shown(page):
    return page.get_attribute("#faces", "data-pair")


def start(server, open_page, **options):
    page = open_page(server, **options)
    page.wait_for_selector("#left img")
    return page


def answer_all(page, truth, most=10**6):
    """Press the right key for each pair, as it comes; returns how many."""
    for number in range(most):
        page.keyboard.press(KEY[truth[shown(page)]])
        if number % 25 == 24:
            until(page, "document.getElementById('saved').textContent === 'all saved'")
        until(page, "!document.querySelector('#done').hidden || document.querySelector('#left img')")
        if page.is_visible("#done"):
            return number + 1
    return most


def all_saved(page):
    until(page, "document.getElementById('saved').textContent === 'all saved'")


def picture(page, name, **options):
    if SCREENSHOTS:
        page.wait_for_timeout(300)
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.jpg", type="jpeg", quality=80, **options)


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


def test_from_key_to_next_pair(open_page, people, tmp_path, capsys):
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
    with capsys.disabled():
        print(
            f"\nkey to next pair: p50 {np.quantile(times, 0.5):.1f} ms, p95 {np.quantile(times, 0.95):.1f} ms, worst {max(times):.1f} ms"
        )


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


def test_faces_are_large_sharp_and_can_be_enlarged(open_page, people, tmp_path):
    people()
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        image = page.locator("#left img")
        assert image.bounding_box()["width"] > 400
        assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
        page.keyboard.press("x")
        page.wait_for_timeout(300)
        picture(page, "enlarged")
        assert image.bounding_box()["width"] > 1000
        page.locator("#faces figure").first.click()
        page.wait_for_timeout(300)
        assert image.bounding_box()["width"] < 700


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
        assert "1 pairs wait for somebody else" in page.inner_text("#done-others")
        page.click("#skipped-button")
        page.wait_for_selector("#work:not([hidden])")
        page.keyboard.press(KEY[truth[shown(page)]])
        page.wait_for_selector("#done:not([hidden])")
        assert not page.is_visible("#skipped-button")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.click("text=Copy")
        page.wait_for_selector("text=Copied")
        assert page.evaluate("navigator.clipboard.readText()") == page.inner_text("#command")


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


def test_the_grid_files_what_is_marked(open_page, people, tmp_path):
    people(identities=3, images=5, pairs=60)
    truth = unlabelled(tmp_path / "learn" / "feedback_pairs_test.json", tmp_path / "learn" / "pairs.json")
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        ann = Client(server)
        page = open_page(server, "/grid")
        done = 0
        while done < len(truth):
            page.wait_for_selector("#work:not([hidden]) .candidate, #done:not([hidden])")
            if page.is_visible("#done"):
                break
            candidates = page.locator(".candidate").count()
            done += 1
            page.keyboard.press("1")
            page.keyboard.press("2")
            page.keyboard.press("2")
            page.locator(".candidate").last.click()
            if done == 1:
                picture(page, "grid")
                assert page.inner_text(".candidate:nth-child(1) span") == ("1 same" if candidates > 1 else "1 unsure")
            page.keyboard.press("Enter") if done > 1 else page.click("#file")
            page.wait_for_timeout(150)
        all_saved(page)
        progress = ann.call("progress")
        assert progress["answers"] == len(truth)
        assert progress["mine"]["same"] > done / 2
        page.keyboard.press("z")
        page.wait_for_selector("#work:not([hidden]) .candidate")
        all_saved(page)
        page.wait_for_timeout(200)
        assert ann.call("progress")["answers"] < len(truth)


def test_a_contradiction_is_shown_and_resolved(open_page, people, tmp_path):
    people(identities=3, images=5, pairs=6)
    names = sorted(str(path.relative_to(tmp_path / "learn")) for path in (tmp_path / "learn" / "images").glob("*/*"))[
        :4
    ]
    a, b, c, d = names
    pairs = [{"image1": x, "image2": y, "label": None} for x, y in ((a, b), (b, c), (a, c), (c, d))]
    (tmp_path / "learn" / "pairs.json").write_text(json.dumps(pairs))
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        for key in "ssd":
            page.keyboard.press(key)
        page.wait_for_selector("#clash:not([hidden])")
        assert "An answer contradicts others" in page.inner_text("#clash")
        page.keyboard.press("c")
        page.wait_for_selector(".triangle")
        picture(page, "contradiction")
        assert page.locator(".triangle .chain img").count() == 3
        page.locator(".triangle .cards li").nth(2).get_by_role("button", name="Same").click()
        page.wait_for_selector("#contradictions[hidden]", state="attached")
        assert Client(server).call("progress")["contradictions"] == 0
        card = page.locator("#cards li", has_text="changed by ann")
        assert card.locator("h3").inner_text().startswith("same")
        card.get_by_role("button", name="Withdraw change").click()
        page.wait_for_selector(".triangle")


def test_review_filters_and_escapes_hostile_names(open_page, people, tmp_path):
    people(identities=3, images=5, pairs=6)
    source = next((tmp_path / "learn" / "images").glob("*/*"))
    hostile = "<img src=x onerror=alert(1)>"
    (tmp_path / "learn" / hostile).mkdir()
    shutil.copy(source, tmp_path / "learn" / hostile / "1.png")
    path = tmp_path / "learn" / "pairs.json"
    content = json.loads(path.read_text())
    content["pairs"].insert(0, {"image1": f"{hostile}/1.png", "image2": content["pairs"][0]["image1"], "label": None})
    path.write_text(json.dumps(content))
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        page.on("dialog", lambda dialog: pytest.fail("a file name ran as a script"))
        for key in "sdu":
            page.keyboard.press(key)
        all_saved(page)
        page.goto(f"{server.site}/review")
        page.wait_for_selector("#cards li")
        assert page.inner_text("#count") == "3 shown"
        assert hostile in page.inner_text("#cards")
        page.select_option("#show", "unsure")
        until(page, "document.getElementById('count').value === '1 shown'")
        page.select_option("#show", "all")
        page.fill("#search", "ONERROR")
        until(page, "document.getElementById('count').value === '1 shown'")


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".hidden-text, :disabled, option")) continue;
    let ground = element;
    while (ground && rgb(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
    const one = light(rgb(getComputedStyle(element).color)), two = light(rgb(getComputedStyle(ground ?? document.body).backgroundColor));
    found.push([(Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05), element.tagName, walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_is_readable_fits_and_can_be_used_by_keyboard(open_page, people, tmp_path, scheme, width):
    people(identities=4, images=4, pairs=20)
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page, color_scheme=scheme, viewport={"width": width, "height": 760})
        for key in "sdu":
            page.keyboard.press(key)
        all_saved(page)
        for path, ready in (("/", "#left img"), ("/grid", ".candidate img"), ("/review", "#cards li img")):
            page.goto(f"{server.site}{path}")
            page.wait_for_selector(ready)
            page.wait_for_timeout(600)
            name = f"{path.strip('/') or 'label'}_{scheme}_{width}"
            picture(page, name)
            texts = page.evaluate(CONTRAST)
            assert len(texts) > 10
            assert texts[0][0] >= 4.5, f"{name}: {texts[:3]}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert not page.evaluate("[...document.images].filter(image => !image.alt).length")
            nameless = "[...document.querySelectorAll('button, a, input, select')].filter(e => e.checkVisibility() && !(e.ariaLabel || e.innerText?.trim() || e.labels?.length)).length"
            assert not page.evaluate(nameless), name
            small = "[...document.querySelectorAll('main button')].filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 43).length"
            assert not page.evaluate(small), f"{name}: too small for a thumb"
            assert_focus_order(page, name)
            page.click("#help-button")
            picture(page, f"help_{name}")
            assert page.evaluate(CONTRAST)[0][0] >= 4.5
            page.keyboard.press("Escape")


def assert_focus_order(page, name):
    """Tab reaches every control in the order in which it stands, and what has the focus shows it."""
    page.evaluate("document.activeElement?.blur()")
    page.keyboard.press("Home")
    wanted = page.evaluate("""() => [...document.querySelectorAll("a, button, input, select, [tabindex='0']")].filter(e => e.checkVisibility() && !e.disabled)
        .map((e, k) => { e.dataset.order = k; return k; })""")
    reached = []
    for _ in wanted[:40]:
        page.keyboard.press("Tab")
        order, outline = page.evaluate(
            "[Number(document.activeElement.dataset.order), getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached.append(order)
        assert outline == "solid", f"{name}: the focus is not visible on control {order}"
    assert reached == wanted[:40], name


def test_two_people_in_two_browsers_share_the_work(open_page, people, tmp_path):
    people(identities=6, pairs=40)
    with labeller(tmp_path, pairs="learn/pairs.json") as server:

        def enter(name):
            page = open_page(server)
            page.wait_for_selector("#name-dialog[open]")
            page.fill("#name", name)
            page.keyboard.press("Enter")
            page.wait_for_selector("#left img, #done:not([hidden])")
            return page

        pages = [enter("Ann"), enter("Bob"), enter("Cid")]  # Ann and Bob take all at first; Cid is given some of theirs
        while not all(page.is_visible("#done") for page in pages):
            for page in pages:
                if page.is_visible("#work"):
                    page.keyboard.press("s")
                    page.wait_for_timeout(250)
        ann = Client(server)
        assert wait_until(lambda: ann.call("progress")["same"] == 40)
        people_answers = [row["answers"] for row in ann.call("report")["annotators"]]
        assert sum(people_answers) == 40
        assert min(people_answers) > 2
