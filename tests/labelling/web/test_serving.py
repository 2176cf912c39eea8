"""The page's address, and what is said about it."""

from __future__ import annotations

import os
import socket

import pytest

from magface_al.command.errors import UserError
from magface_al.command.run import Run
from magface_al.labelling.web.serving import Door, announce, open_browser, open_socket, page_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://localhost:80/?token=s"),
        ("::1", "http://localhost:80/?token=s"),
        ("0.0.0.0", "http://localhost:80/?token=s"),
        ("10.1.2.3", "http://10.1.2.3:80/?token=s"),
        ("fe80::1", "http://[fe80::1]:80/?token=s"),
    ],
)
def test_the_address_can_be_opened(host, address):
    assert page_address(host, 80, "s") == address


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("10.1.2.3", False)]
)
def test_a_door_knows_whether_others_reach_it(host, local, capsys):
    assert Door(host).is_local is local
    announce("ADDRESS", 80, local, Run("label_pairs.py", {}))
    out, err = capsys.readouterr()
    assert "open  ADDRESS\n" in out
    assert ("ssh -L 80:localhost:80" in out, "unencrypted" in err) == (local, not local)


def test_a_port_in_use_is_refused_in_words():
    with open_socket("127.0.0.1", 0) as first:
        assert first.family == socket.AF_INET
        port = first.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port}: .*; choose another --port"):
            open_socket("127.0.0.1", port)


@pytest.fixture
def nobody(monkeypatch):
    """A user with a number and nothing else, as `docker --user 12345` starts one."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)


def test_a_user_without_a_name_is_told_the_address_all_the_same(nobody, capsys):
    announce("ADDRESS", 80, True, Run("label_pairs.py", {}))
    assert f"ssh -L 80:localhost:80 USER@{socket.gethostname()}" in capsys.readouterr().out


def test_a_user_without_a_home_is_told_that_there_is_no_browser(nobody, monkeypatch, capsys):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("BROWSER", raising=False)
    open_browser("ADDRESS", Run("label_pairs.py", {}))
    assert "open the address yourself" in capsys.readouterr().err
