"""A real browser for the labeller's tests (`make test-browser`)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.browser import LAN_NAME, unlabelled

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture(scope="module")
def chromium():
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing: make test-browser installs it, or set CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules=MAP {LAN_NAME} 127.0.0.1"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open the labeller in a browser profile of its own; what the page complains about fails the test at its end."""
    contexts, complaints, requests, hosts = [], [], [], set()

    def open_one(server, path="", host="localhost", **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: requests.append(request.url))
        site = f"http://{host}:{server.port}"
        hosts.add(host)
        page.goto(f"{site}/?token={server.token}")
        page.wait_for_url(f"{site}/")
        if path:
            page.goto(f"{site}{path}")
        return page

    yield open_one
    for context in contexts:
        context.close()
    # An image that is gone, an answer that cannot be saved, a server that was killed, and a header of secure pages only.
    harmless = re.compile(
        r"status of 404|status of 503|ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_CONTENT_LENGTH_MISMATCH|ERR_EMPTY_RESPONSE|Cross-Origin-Opener-Policy header has been ignored"
    )
    assert [text for text in complaints if not harmless.search(text)] == []
    assert {urlsplit(url).hostname for url in requests} <= hosts, "the page asked another host for something"
    assert len({urlsplit(url).port for url in requests}) <= 1


@pytest.fixture
def people(run_script, tmp_path):
    """learn/pairs.json: unanswered pairs of drawn people; returns pair id -> the truth, which no page is told."""

    def draw(identities=12, images=4, pairs=60, strip=True):
        run_script("create_test_feedback.py", "--synthetic", "--domain", "cctv", "--num_identities", identities,
                   "--images_per_identity", images, "--num_pairs", pairs, "--output_dir", "learn")  # fmt: skip
        return unlabelled(tmp_path / "learn" / "feedback_pairs_test.json", tmp_path / "learn" / "pairs.json")

    return draw
