"""The grid, the contradictions and the review in a real browser; every page readable and usable. Run by `make test-browser`."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.support.browser import all_saved, picture, start, unlabelled, until
from tests.support.labeller_process import Client, labeller, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.process]


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
        assert wait_until(lambda: ann.call("progress")["answers"] < len(truth))


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


def test_a_late_answer_does_not_replace_a_newer_one(open_page, people, tmp_path):
    people(identities=3, images=5, pairs=6)
    with labeller(tmp_path, "--annotator", "ann", pairs="learn/pairs.json") as server:
        page = start(server, open_page)
        for key in "sdu":
            page.keyboard.press(key)
        all_saved(page)
        page.goto(f"{server.site}/review")
        page.wait_for_selector("#cards li")
        held = []

        def hold_what_shows_all(route):
            held.append(route) if route.request.post_data_json["show"] == "all" else route.continue_()

        page.route("**/api/review", hold_what_shows_all)
        page.select_option("#show", "unsure")
        until(page, "document.getElementById('count').value === '1 shown'")
        page.select_option("#show", "all")
        page.select_option("#show", "unsure")
        assert wait_until(lambda: page.evaluate("document.querySelectorAll('#cards li').length") == 1 and held)
        with page.expect_response("**/api/review"):
            held[0].continue_()
        page.wait_for_timeout(200)  # for the page to do what it must not do
        assert page.inner_text("#count") == "1 shown"


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
            assert page.get_attribute("nav [aria-current=page]", "href") == path
            page.click("#help-button") if width == 360 else page.keyboard.press("h")
            page.wait_for_selector("#help[open]")
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
