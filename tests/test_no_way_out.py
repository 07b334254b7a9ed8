"""Nothing leaves the machine: not the tests, and nothing of what they test."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cloister.observer.embedded import find_mongod
from cloister.observer.settings import load_settings

ROOT = Path(__file__).parent.parent
SCENE = Path(__file__).parent / "no_way_out"
NAMESPACE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

# What chromium may ask its maker whatever page it shows. That no page of ours asks for these, another test sees.
BROWSERS_ERRANDS = {
    f"looked for {name}"
    for name in (
        "accounts.google.com",
        "clients2.google.com",
        "content-autofill.googleapis.com",
        "edgedl.me.gvt1.com",
        "optimizationguide-pa.googleapis.com",
        "redirector.gvt1.com",
        "safebrowsingohttpgateway.googleapis.com",
        "update.googleapis.com",
    )
}


def test_a_connection_to_another_machine_is_refused() -> None:
    with socket.socket() as probe, pytest.raises(AssertionError, match=r"192\.0\.2\.1"):
        probe.connect(("192.0.2.1", 80))  # an address reserved for documentation


def test_a_connection_to_this_machine_is_not() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname()):
            pass


@pytest.fixture(scope="module")
def namespace() -> tuple[str, ...]:
    """The command that runs another one in a network of its own."""
    for tool in ("unshare", "ip", "mount"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    command = NAMESPACE if os.geteuid() == 0 else (*NAMESPACE, "--map-root-user")
    tried = subprocess.run(
        [*command, "ip", "link", "add", "trap", "type", "veth", "peer", "name", "end"], capture_output=True, text=True
    )
    if tried.returncode:
        pytest.skip(f"needs the right to make a network namespace: {tried.stderr.strip()}")
    return command


@pytest.fixture(scope="module")
def scene(namespace: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen while a run was recorded, served and looked at."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    folder = tmp_path_factory.mktemp("scene")
    find_mongod(load_settings())
    done = subprocess.run(
        [*namespace, sys.executable, str(SCENE / "scene.py"), str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.mark.browser
def test_recorder_viewer_and_browser_work_where_no_way_leads_out(scene: dict[str, Any]) -> None:
    assert scene["recorded"]["code"] == 0, scene["recorded"]["output"]
    assert scene["trouble"] == []
    assert "Traceback" not in scene["viewer"], scene["viewer"]
    shown = " ".join(scene["pages"])
    for part in ("charts", "config", "console", "artifacts", "source", "environment", "system", "privacy"):
        assert f"/{part}" in shown, f"no page {part} among {shown}"


@pytest.mark.browser
def test_not_one_packet_tries_to_leave(scene: dict[str, Any]) -> None:
    assert scene["packets before the browser"] == []
    ours = [packet for packet in scene["packets"] if packet not in BROWSERS_ERRANDS]
    # What the scene sends at its end, so that "nothing" says something.
    assert sorted(set(ours)) == ["tcp to 192.0.2.7 port 80", "tcp to 192.0.2.8 port 80"]


@pytest.mark.browser
def test_no_python_process_wishes_to_reach_or_to_find_another_machine(scene: dict[str, Any]) -> None:
    left = [line for line in scene["guard"] if line.startswith("left")]
    assert left == ["left socket.connect ('192.0.2.7', 80) of ['-c']"]
    began = " ".join(line for line in scene["guard"] if line.startswith("began"))
    assert "train.py" in began
    assert "'cloister', 'serve'" in began or "cloister serve" in began
    assert "courier" in began


@pytest.mark.browser
def test_the_browser_asks_nobody_but_the_viewer(scene: dict[str, Any]) -> None:
    viewer = re.match(r"http://127\.0\.0\.1:\d+/", scene["asked"][0])
    assert viewer is not None
    assert [url for url in scene["asked"] if not url.startswith((viewer.group(), "data:", "blob:"))] == []
    assert len(scene["asked"]) > 30


@pytest.mark.browser
def test_the_doctor_names_a_connection_that_nobody_has_declared(scene: dict[str, Any]) -> None:
    told = scene["doctor"]["output"]
    assert "the embedded database at 127.0.0.1, on this machine" in told
    assert "connected to 192.0.2.9" in told
    assert "192.0.2.9 is none of the servers above" in told
