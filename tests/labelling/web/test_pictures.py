"""A pairs file may name anything: what is no picture of a bearable size is refused, and nothing waits for it."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from magface_al.faces.preprocess import LARGEST_PICTURE
from magface_al.labelling.events import image_id
from tests.support.labeller_process import Client, labeller

pytestmark = pytest.mark.process


def test_devices_pipes_sockets_and_folders_are_refused_and_the_labeller_goes_on(tmp_path, monkeypatch):
    """/dev/zero took 5.4 GB, and forty requests for a pipe stopped every call and the end of the process."""
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("pipe.png")
    with Path("huge.png").open("wb") as file:
        file.write(b"\x89PNG")
        file.truncate(LARGEST_PICTURE + 1)  # takes no room on the disk
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("/dev/zero")
    reasons = {
        "/dev/zero": "Is a device, pipe or socket", "pipe.png": "Is a device, pipe or socket", "link.png": "Is a device, pipe or socket",
        "socket.png": "No such device or address", "folder.png": "Is a directory", "absent.png": "No such file",
        "huge.png": f"larger than {LARGEST_PICTURE >> 20} MiB", "a.png/b.png": "No such file",
    }  # fmt: skip
    (tmp_path / "a.png").mkdir()
    pairs = [{"image1": "a.png", "image2": name, "label": None} for name in reasons]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    with socket.socket(socket.AF_UNIX) as bound, labeller(tmp_path) as server:
        bound.bind("socket.png")
        ann = Client(server)
        for name, reason in reasons.items():
            for _ in range(45 if name == "pipe.png" else 1):
                response = ann.request("GET", f"/image/{image_id(name)}")
                assert response.status == 404
                assert reason in json.loads(response.content)["error"], name
        ann.answer(ann.questions(1)[0]["pair"], "same")
        _, err, code = server.stop(signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in err


def test_a_name_that_no_file_can_have_is_no_server_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    names = ["x/" * 2040 + "y", "x" * 250, "caf\udce9"]  # the first is too long only behind the folder's own name
    # 199 that are there, so that the labeller does not look for the others when it starts
    good = [{"image1": f"{k}.png", "image2": "a.png", "label": None} for k in range(199)]
    hostile = [{"image1": name, "image2": "a.png", "label": None} for name in names]
    (tmp_path / "pairs.json").write_text(json.dumps([*good, *hostile]))
    with labeller(tmp_path) as server:
        ann = Client(server)
        for name in names:
            response = ann.request("GET", f"/image/{image_id(name)}")
            assert (response.status, "error" in json.loads(response.content)) == (404, True)
        _, err, _ = server.stop()
    assert err == ""
