"""Who gets in, what is served, and what every response carries."""

from __future__ import annotations

import json
import socket
import stat

import pytest

from magface_al.labelling.events import image_id
from magface_al.labelling.web.security import host_is_allowed
from tests.support.labeller_process import Client, labeller

pytestmark = pytest.mark.process

PNG = b"\x89PNG\r\n\x1a\n rest"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs that name a picture, a text file, an absent file, and a hostile name."""
    folder = tmp_path_factory.mktemp("security")
    (folder / "a.png").write_bytes(PNG)
    (folder / "secret.txt").write_text("secret words")
    (folder / "other.png").write_bytes(PNG)
    names = ["a.png", "secret.txt", "absent.png", "<img src=x onerror=alert(1)>.png"]
    pairs = [{"image1": "a.png", "image2": name, "label": None} for name in names[1:]]
    (folder / "pairs.json").write_text(json.dumps(pairs))
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with labeller(folder) as server:
        yield server


@pytest.fixture
def ann(server):
    return Client(server)


def test_the_start_prints_an_address_with_a_secret_and_the_ssh_line(server):
    assert len(server.token) >= 32
    assert f"ssh -L {server.port}:localhost:{server.port} " in server.output
    assert server.address.startswith(f"http://localhost:{server.port}/?token=")


def test_it_listens_on_loopback_only(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; tells this machine's outward address
        except OSError:
            pytest.skip("this machine has no address but loopback")
        outward = probe.getsockname()[0]
    with pytest.raises(OSError):  # noqa: PT011 (refused or unreachable, as the system likes)
        socket.create_connection((outward, server.port), timeout=5).close()


@pytest.mark.parametrize(
    "path",
    ["/", "/grid", "/review", "/static/label.js", "/static/style.css", f"/image/{image_id('a.png')}", "/?token=wrong"],
)
def test_nothing_is_served_without_the_secret(server, ann, path):
    response = ann.request("GET", path, Cookie=None)
    assert response.status == 403
    assert b"Open the address that label_pairs.py printed" in response.content
    assert response.getheader("set-cookie") is None


def test_calls_need_the_cookie_too(ann):
    for cookie in (None, "label_00000000=abc", ann.cookie[:-1], ann.cookie.replace("=", "=x")):
        response = ann.request(
            "POST", "/api/progress", '{"annotator": "a"}', content_type="application/json", Cookie=cookie
        )
        assert response.status == 403


def test_the_secret_becomes_a_cookie_and_leaves_the_address(server, ann):
    response = ann.request("GET", f"/?token={server.token}", Cookie=None)
    cookie = response.getheader("set-cookie")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert server.token not in cookie
    assert response.getheader("refresh") == "0; url=/"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9000", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("LOCALHOST", 200),
        ("evil.example", 403), ("evil.example:8000", 403), ("localhost.evil.example", 403), ("127.0.0.1.evil.example", 403),
        ("10.0.0.7:8000", 403), ("", 403), ("localhost:80:80", 403), ("localhost@evil.example", 403), ("evil.example#localhost", 403),
    ],
)  # fmt: skip
def test_only_names_of_this_machine_pass(ann, host, status):
    assert ann.request("GET", "/", Host=host).status == status


def test_further_names_and_addresses_pass_where_the_page_is_opened_to_the_network():
    assert host_is_allowed("gpu-box.lan:8000", ["GPU-box.lan"], any_address=True)
    assert host_is_allowed("10.0.0.7:8000", [], any_address=True)
    assert not host_is_allowed("evil.example", ["gpu-box.lan"], any_address=True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost:{port}"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another port of localhost is another user's page
        ({"Sec_Fetch_Site": "none"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
    ],
)
def test_other_sites_cannot_post(server, ann, headers, status):
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    response = ann.request("POST", "/api/progress", '{"annotator": "a"}', content_type="application/json", **headers)
    assert response.status == status


def test_other_sites_cannot_embed_pictures(ann):
    path = f"/image/{image_id('a.png')}"
    assert ann.request("GET", path, Sec_Fetch_Site="cross-site").status == 403
    assert ann.request("GET", path, Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        ('{"annotator": "a"}', "text/plain", 415, "expected application/json"),
        ('{"annotator": "a"}', "application/x-www-form-urlencoded", 415, "expected application/json"),
        ("{", "application/json", 400, "not JSON"),
        ("[" * 100_000, "application/json", 400, "not JSON"),
        ("[]", "application/json", 400, "expected a JSON object"),
        ("{}", "application/json", 400, "annotator"),
        ('{"annotator": 3}', "application/json", 400, "expected a name"),
        ('{"annotator": "' + "x" * 1_100_000 + '"}', "application/json", 413, "more than 1048576 bytes"),
    ],
)
def test_bad_requests_get_a_reason(ann, body, content_type, status, message):
    response = ann.request("POST", "/api/progress", body, content_type=content_type)
    assert (response.status, message in response.content.decode()) == (status, True)


@pytest.mark.parametrize(
    "path",
    [
        "/image/a.png", "/image/../pairs.json", "/image/..%2fpairs.json", "/image/%2e%2e/pairs.json", "/image//etc/passwd",
        f"/image/{image_id('other.png')}", "/static/", "/static/../server.py", "/static/..%2fserver.py", "/image/",
        "/pairs.json", "/feedback.sqlite", "/static/label.html", "//etc/passwd",
    ],
)  # fmt: skip
def test_there_are_no_paths_to_travel_and_no_listings(ann, path):
    response = ann.request("GET", path)
    assert response.status == 404
    assert b"image1" not in response.content


def test_only_pictures_are_served_whatever_the_pairs_file_names(ann):
    response = ann.request("GET", f"/image/{image_id('a.png')}")
    assert (response.status, response.getheader("content-type"), response.content) == (200, "image/png", PNG)
    response = ann.request("GET", f"/image/{image_id('secret.txt')}")
    assert (response.status, b"secret words" in response.content) == (404, False)
    assert b"not a JPEG, PNG, WebP, BMP or GIF" in response.content
    assert b"No such file" in ann.request("GET", f"/image/{image_id('absent.png')}").content


@pytest.mark.parametrize("path", ["/", "/static/label.js", f"/image/{image_id('a.png')}", "/nowhere", "/?token=wrong"])
def test_every_response_carries_the_protective_headers(ann, path):
    response = ann.request("GET", path)
    policy = dict(part.strip().split(" ", 1) for part in response.getheader("content-security-policy").split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert {policy[key] for key in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    assert response.getheader("x-content-type-options") == "nosniff"
    assert response.getheader("referrer-policy") == "no-referrer"
    assert response.getheader("cross-origin-resource-policy") == "same-origin"
    assert response.getheader("cache-control") == "no-store"
    assert response.getheader("access-control-allow-origin") is None
    assert response.getheader("server") is None


def test_pages_have_no_inline_script_or_style_and_fetch_nothing_from_elsewhere(ann):
    for path in (
        "/",
        "/grid",
        "/review",
        "/static/style.css",
        "/static/client.js",
        "/static/label.js",
        "/static/review.js",
    ):
        text = ann.request("GET", path).content.decode()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "innerHTML" not in text
        assert "style=" not in text
        assert "<script>" not in text


def test_the_database_is_for_its_owner_alone_and_no_secret_is_written_elsewhere(server, ann, folder):
    assert stat.S_IMODE((folder / "feedback.sqlite").stat().st_mode) == 0o600
    ann.call("export")
    for path in folder.iterdir():
        if ".sqlite" not in path.name:
            assert server.token.encode() not in path.read_bytes()


def test_open_to_the_network_every_request_still_needs_the_secret(folder):
    flags = ["--host", "0.0.0.0", "--allowed_host", "gpu-box.lan"]
    with labeller(folder, *flags, feedback="network.json") as server:
        client = Client(server)
        assert client.request("GET", "/", Cookie=None).status == 403
        for host, status in (
            ("gpu-box.lan:8000", 200),
            (socket.gethostname(), 200),
            ("10.1.2.3:8000", 200),
            ("evil.example", 403),
        ):
            assert client.request("GET", "/", Host=host).status == status
        _, err, _ = server.stop()
    assert "served unencrypted to the network" in err
