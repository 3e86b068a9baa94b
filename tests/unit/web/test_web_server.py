"""The commands: an address that works, a folder that needs no server, clear refusals."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from html import unescape
from http.cookiejar import CookieJar

import psutil
import pytest

from lydite.cli import main


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lydite", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return run


def test_the_address_that_is_printed_opens_the_runs(filled):
    words = [sys.executable, "-m", "lydite", "ui", "--db", filled.path, "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ui:
        address = ui.stdout.readline().strip()
        ending = threading.Timer(40, ui.kill)  # the block would wait for it, whatever fails
        ending.start()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        opener = urllib.request.build_opener(jar, urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=30) as answer:
            assert answer.url.endswith("/runs")
            assert "server" not in {name.lower() for name in answer.headers}
            assert b"profile" in answer.read()
        ui.send_signal(signal.SIGINT)
        assert ui.wait(30) == 0
        ending.cancel()
        assert "token" not in ui.stderr.read().replace("address", "")


def test_several_processes_answer_and_one_that_dies_is_replaced(filled):
    words = [sys.executable, "-m", "lydite", "ui", "--db", filled.path, "--port", "0"]
    words += ["--workers", "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ui:
        address = ui.stdout.readline().strip()
        ending = threading.Timer(100, ui.kill)
        ending.start()
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        opener = urllib.request.build_opener(jar, urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=60) as answer:
            assert b"profile" in answer.read()
        first = workers_of(ui.pid)
        assert len(first) == 2
        first[0].kill()
        while first[0] in (now := workers_of(ui.pid)) or len(now) < 2:
            time.sleep(0.1)
        base = address.partition("/?")[0]
        for _ in range(8):  # the cookie counts for every process
            with opener.open(f"{base}/runs", timeout=60) as answer:
                assert answer.status == 200
        ui.send_signal(signal.SIGINT)
        assert ui.wait(60) == 0
        ending.cancel()
        _gone, alive = psutil.wait_procs(now, timeout=30)
        assert not alive


def test_processes_end_with_the_one_that_started_them(filled):
    words = [sys.executable, "-m", "lydite", "ui", "--db", filled.path, "--port", "0"]
    with subprocess.Popen([*words, "--workers", "2"], stdout=subprocess.PIPE, text=True) as ui:
        try:
            jar = urllib.request.HTTPCookieProcessor(CookieJar())
            opener = urllib.request.build_opener(jar, urllib.request.ProxyHandler({}))
            opener.open(ui.stdout.readline().strip(), timeout=60).close()
            serving = workers_of(ui.pid)
        finally:
            ui.kill()
    _gone, alive = psutil.wait_procs(serving, timeout=30)
    assert (len(serving), alive) == (2, [])


def workers_of(pid):
    """Children that serve; Python's own keeper of shared resources is none."""
    serving = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # one that has just ended
            serving += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return serving


def test_a_port_that_is_taken(filled, command):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, err = command("ui", "--db", filled.path, "--port", port)
    assert (code, out) == (2, "")
    assert f"port {port} cannot be used" in err
    assert "lydite ui --port" in err


def test_bad_words(filled, command, tmp_path):
    code, _, err = command("ui", "--db", filled.path, "--allow-host", "http://x")
    assert code == 2
    assert "'http://x' is no host name" in err
    code, _, err = command("ui", "--db", tmp_path / "none.db")
    assert code == 2
    assert "no such database" in err
    code, _, err = command("ui", "export", "--db", filled.path, "--run", "zzz", "--out", "x")
    assert code == 2
    assert "no run 'zzz'" in err


def test_a_missing_package(filled, command, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    code, _, err = command("ui", "--db", filled.path)
    assert code == 2
    assert "pip install 'lydite[web]'" in err


@pytest.mark.parametrize("run", ["document", "first", "evil"])
def test_an_exported_folder_is_complete(filled, command, tmp_path, run):
    out = tmp_path / "out"
    identity = getattr(filled, run)
    code, told, err = command("ui", "export", "--db", filled.path, "--run", identity, "--out", out)
    assert code == 0, err
    assert told.strip() == str(out / "index.html")
    pages = list(out.glob("*.html"))
    assert len(pages) > (100 if run != "evil" else 1)
    for page in pages:
        text = page.read_text()
        assert "<script>alert" not in text
        for link in re.findall(r'(?:href|src|action)="([^"#]*)"', text):
            assert link, page
            assert (out / unescape(link).partition("?")[0]).is_file(), (page.name, link)


def test_an_export_refuses_a_full_folder(filled, command, tmp_path):
    (tmp_path / "x").write_text("")
    given = ["--db", filled.path, "--run", filled.first, "--out", tmp_path]
    code, _, err = command("ui", "export", *given)
    assert code == 2
    assert "not an empty folder" in err
