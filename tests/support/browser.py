"""What the tests in a real browser do to a page.

LABEL_SCREENSHOTS=DIR keeps a picture of every page there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from magface_al.labelling.events import pair_id
from magface_al.pairs.pair_file import read_pairs
from tests.support.labeller_process import wait_until

SCREENSHOTS = os.environ.get("LABEL_SCREENSHOTS")
KEY = {1: "s", 0: "d"}
LAN_NAME = "gpu-box.test"  # this machine under a name that is no loopback, so browsers deny it their secure features


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
    assert wait_until(lambda: page.evaluate(expression, arg)), expression


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
