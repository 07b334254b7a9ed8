"""Records a run, serves it and looks at every page, in a network that leads nowhere; prints what was seen as JSON.

Run by test_no_way_out.py in a network namespace of its own: `unshare --net ... python scene.py FOLDER`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from trap import Watcher, set_trap  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
# The errands that it runs for its maker are switched off or led to this machine, so that what is left are those of our
# pages: unlike in other tests, every name may be asked for and every address tried.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--component-updater=url-source=http://127.0.0.1:9/",
    "--gaia-url=http://127.0.0.1:9/",
    "--disable-extensions",
    "--apps-gallery-update-url=http://127.0.0.1:9/",
    "--disable-features=AutofillServerCommunication,NetworkTimeServiceQuerying,OptimizationHints,MediaRouter,Translate",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)
OF_EACH_PART = 3  # the tests of each part open all of its pages, under the same watch
BROWSERS_CANARY = "192.0.2.8"
STRANGER = "192.0.2.9"


def main(folder: Path) -> None:
    set_trap(folder)
    watcher = Watcher()
    watcher.check_that_it_sees()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CLOISTER_")},
        "CLOISTER_HOME": str(folder / "home"),
        "CLOISTER_COURIER_IDLE": "0.5",
        "NO_WAY_OUT_LOG": str(folder / "guard.log"),
        "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    report: dict[str, Any] = {}
    work = folder / "work"
    work.mkdir()
    (work / "train.py").write_text((HERE / "train.py").read_text())
    recorded = subprocess.run(
        [sys.executable, "train.py"], cwd=work, env=environment, capture_output=True, text=True, timeout=120
    )
    report["recorded"] = {"code": recorded.returncode, "output": recorded.stdout + recorded.stderr}
    # Something that looks like ours and is connected to somebody. Nothing is sent: by UDP an address is only noted.
    reaching = f"import socket; s = socket.socket(type=2); s.connect(('{STRANGER}', 9)); print(1, flush=True); input()"
    spy = subprocess.Popen(
        [sys.executable, "-c", reaching, "cloister serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert spy.stdout is not None
    spy.stdout.readline()
    command = [sys.executable, "-m", "cloister", "doctor", "--privacy"]
    doctor = subprocess.run(command, cwd=work, env={**environment, "COLUMNS": "500"}, capture_output=True, text=True)
    spy.communicate(b"\n", timeout=10)
    report["doctor"] = {"code": doctor.returncode, "output": doctor.stdout + doctor.stderr}
    viewer = subprocess.Popen(
        [sys.executable, "-m", "cloister", "serve", "--port", "0"],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=(folder / "viewer.log").open("w"),
        text=True,
    )
    assert viewer.stdout is not None
    address = re.search(r"http://\S+", viewer.stdout.readline())
    assert address is not None
    report["packets before the browser"] = list(watcher.packets)
    report.update(look_at_every_page(address.group().rstrip("/")))
    viewer.terminate()
    viewer.wait(20)
    # The guard and the browser are seen when they try, or "nothing" would say nothing.
    reaching = "import socket; probe = socket.socket(); probe.settimeout(0.01); probe.connect(('192.0.2.7', 80))"
    subprocess.run([sys.executable, "-c", reaching], env=environment, capture_output=True)
    subprocess.run([sys.executable, "-m", "cloister", "db", "stop"], cwd=work, env=environment, capture_output=True)
    report["viewer"] = (folder / "viewer.log").read_text()
    report["packets"] = watcher.packets
    report["guard"] = (folder / "guard.log").read_text().splitlines()
    (folder / "report.json").write_text(json.dumps(report))


def look_at_every_page(address: str) -> dict[str, Any]:
    """The pages that links lead to from the first one: all of a run, and some of each other part."""
    from playwright.sync_api import Error, sync_playwright
    from watched_browser import Watch

    with sync_playwright() as tools, tools.chromium.launch(executable_path=CHROMIUM, args=OPTIONS) as browser:
        context = browser.new_context()
        watch = Watch(context, address)
        page = context.new_page()
        seen: dict[str, str] = {}
        waiting = ["/"]
        while waiting:
            path = waiting.pop(0)
            alike = sum(_part(one) == _part(path) for one in seen)
            if _shape(path) in seen or (alike >= OF_EACH_PART and _part(path) != "runs"):
                continue
            page.goto(address + path, wait_until="load")
            seen[_shape(path)] = path
            waiting += [one for one in _links(page) if _shape(one) not in seen]
        report = {"pages": list(seen.values()), "asked": list(watch.asked), "trouble": list(watch.trouble)}
        with contextlib.suppress(Error):
            page.goto(f"http://{BROWSERS_CANARY}/", timeout=1000)
        return report


def _links(page: Page) -> list[str]:
    """Links to pages of the viewer itself; downloads open no page."""
    found: list[str] = page.eval_on_selector_all(
        "a[href]", "(all) => all.filter(a => !a.hasAttribute('download')).map(a => a.getAttribute('href'))"
    )
    return [
        one for one in found if one.startswith("/") and not re.search(r"/(artifacts|download|sources?)/.|\.txt", one)
    ]


def _shape(path: str) -> str:
    """Pages that differ by their query alone are one page."""
    return path.partition("?")[0].partition("#")[0]


def _part(path: str) -> str:
    return path.split("/")[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
