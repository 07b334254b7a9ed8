"""A site full of hostile texts in a real browser: nothing of them runs, and nothing is asked of anybody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.current import COOKIE
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.app import create_app
from flask import Flask
from hostile_site import PERSON, Address, addresses, make_hostile_site
from pymongo.database import Database
from recorded_script import RecordedScript
from running_viewer import running_viewer
from watched_browser import Watch
from xss_payloads import PAYLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

# What a payload that became markup leaves behind, wherever it is: in shadow roots too, where Bokeh draws.
FIND_MARKUP = """() => {
    const found = [];
    const wrong = (element) => {
        const tag = element.tagName.toUpperCase();
        if (["BASE", "OBJECT", "EMBED", "MARQUEE", "MATH", "MGLYPH", "IFRAME", "STYLE"].includes(tag))
            return !element.getRootNode().host; // Bokeh's styles stand in its shadow roots
        if (tag === "SCRIPT" && !element.src && element.type !== "application/json") return true;
        return [...element.attributes].some(({ name, value }) => name.startsWith("on")
            || ["srcdoc", "ping"].includes(name)
            || (["href", "src", "srcset", "action", "data", "formaction", "xlink:href"].includes(name)
                && /^\\s*(javascript:|vbscript:|data:text|\\/\\/)/i.test(value)));
    };
    const visit = (root) => {
        for (const element of root.querySelectorAll("*")) {
            if (element.shadowRoot) visit(element.shadowRoot);
            if (wrong(element)) found.push(element.outerHTML.slice(0, 200));
        }
    };
    visit(document);
    if (/(^|[^0-9])49([^0-9]|$)/.test(document.title)) found.push(`a template ran: ${document.title}`);
    return found;
}"""


@pytest.fixture
def hostile_store(script: RecordedScript, database: Database[dict[str, Any]], store: RunStore) -> RunStore:
    make_hostile_site(script, database)
    return store


def test_no_text_of_a_run_or_a_person_runs_anywhere(browser: Browser, hostile_store: RunStore) -> None:
    assert len(set(PAYLOADS)) >= 60
    app = create_app(hostile_store)
    with running_viewer(hostile_store, app=app) as port, browser.new_context() as context:
        address = f"http://127.0.0.1:{port}"
        session = open_session(hostile_store.database, PERSON)
        context.add_cookies([{"name": COOKIE, "value": session, "url": address}])
        watch = Watch(context, address)
        watch.wanted_refusals.add("/favicon.ico")  # parts of pages, opened as pages, name no icon of their own
        page = context.new_page()
        page.goto(f"{address}/runs/1/charts")
        page.locator("[data-chart]").first.scroll_into_view_if_needed()
        page.locator('[data-chart][data-state="drawn"]').first.hover(timeout=20_000)  # labels, legends, tooltips
        assert page.evaluate(FIND_MARKUP) == []
        opened = 0
        for each, text in html_pages(app, hostile_store, session):
            assert HostileMarkup.found_in(text) == [], each
            if "/runs/2" in each.path:
                continue  # a browser takes its time; what differs from run 1 is only which payload hides which
            page.goto(address + each.path)
            assert page.evaluate(FIND_MARKUP) == [], each
            assert watch.trouble == [], each
            opened += 1
        assert opened >= 20


def html_pages(app: Flask, store: RunStore, session: str) -> Iterator[tuple[Address, str]]:
    """The addresses that answer with a page, and the page; no address of all breaks."""
    client = app.test_client()
    client.set_cookie(COOKIE, session)
    for each in addresses(app, store):
        answer = client.get(each.path, buffered=True)
        assert answer.status_code < 500, (each.endpoint, answer.text[:500])
        is_file = answer.headers.get("Content-Disposition", "").startswith("attachment")  # test_reports.py opens it
        if answer.status_code < 300 and answer.mimetype == "text/html" and not is_file:
            yield each, answer.text


class HostileMarkup(HTMLParser):
    """Collects elements and attributes that our pages never have and payloads bring."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = dict(attributes)
        unknown = tag in ("base", "object", "embed", "marquee", "math", "iframe", "style", "mglyph")
        inline = tag == "script" and "src" not in names and names.get("type") != "application/json"
        handler = any(name.startswith("on") or name in ("srcdoc", "ping", "shadowrootmode") for name in names)
        far = any(re.match(r"\s*(javascript:|vbscript:|data:text|//)", names.get(name) or "", re.I) for name in LINKS)
        if unknown or inline or handler or far:
            self.found.append(self.get_starttag_text() or tag)

    @classmethod
    def found_in(cls, page: str) -> list[str]:
        parser = cls()
        parser.feed(page)
        return parser.found


LINKS = ("href", "src", "srcset", "action", "data", "formaction", "xlink:href")


@pytest.mark.parametrize("payload", [each for each in PAYLOADS if re.match(r"<(svg|img|iframe|script|body|a )", each)])
def test_the_look_for_markup_would_find_it(payload: str) -> None:
    assert HostileMarkup.found_in(payload) != []
