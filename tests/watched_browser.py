"""Chromium that reaches this machine alone, and a watch on everything that its pages do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Request, Response

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # No name and no address but this machine's is found, whatever network the tests run in.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
REPORT_VIOLATIONS = """addEventListener("securitypolicyviolation",
    (event) => console.error(`violation of ${event.effectiveDirective} by ${event.blockedURI}`));"""


PATIENCE_MS = 20_000  # ends a hang; nothing waits so long but on a machine with much else to do


@contextmanager
def started_chromium() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    path = str(CHROMIUM) if CHROMIUM.exists() else None
    with sync_playwright() as tools, tools.chromium.launch(executable_path=path, args=OPTIONS) as browser:
        yield browser


class Watch:
    """Notes what the pages of a context ask for, and as trouble what none of them should ever do.

    Attributes:
        asked: every address that was requested.
        trouble: requests to anybody but the viewer, refused requests, complaints in the console, errors of scripts,
            violations of the security policy, dialogs, windows; a good page leaves it empty.
        wanted_refusals: paths of the viewer that the test expects to be refused.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.asked: list[str] = []
        self.trouble: list[str] = []
        self.wanted_refusals: set[str] = set()
        self._address = address
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("request", self._note_request)
        context.on("response", self._note_response)
        context.on("console", self._note_console)
        context.on("dialog", self._note_dialog)
        context.on("weberror", lambda error: self.trouble.append(f"error: {error.error}"))

    def _note_request(self, request: Request) -> None:
        self.asked.append(request.url)
        if not request.url.startswith((f"{self._address}/", "data:", f"blob:{self._address}/")):
            self.trouble.append(f"request: {request.url}")

    def _note_response(self, response: Response) -> None:
        if response.status >= 400 and not self._is_wanted(response.url):
            self.trouble.append(f"response: {response.status} for {response.url}")

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        is_refusal = message.text.startswith("Failed to load resource")
        if not (is_refusal and self._is_wanted(message.location["url"])):
            self.trouble.append(f"console: {message.text} at {message.location['url']}")

    def _note_dialog(self, dialog: Dialog) -> None:
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _is_wanted(self, url: str) -> bool:
        return urlsplit(url).path in self.wanted_refusals
