"""Omniboard's pages in a browser: its table, the tabs below a row, and what goes wrong in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect
from watched_browser import Watch

TABS = (
    "Metrics Plot", "Captured Out", "Fail Trace", "Experiment Details", "Host Info", "Run Info", "Meta Info",
    "Artifacts", "Source Files", "Config",
)  # fmt: skip
# What Omniboard's pages complain of in the console; all of it is told in docs/sacred-readers.md.
COMPLAINTS = {
    "extreme": ("<path> attribute d: Expected number",),  # Plotly, over an axis to 1e308
    "twins": (
        "AccordionItem error: One item already has the uuid",  # they are one file in the database: both open at once
        "Failed to execute 'decode' on 'TextDecoder'",  # an empty file is opened
    ),
}


@dataclass
class Table:
    """Omniboard's table in a browser, and what went wrong there."""

    page: Page
    watch: Watch
    numbers: list[int]  # of the runs as the table shows them

    def cell(self, column: str, number: int) -> Locator:
        return self.page.locator(f"[test-attr=cell-{column}-{self.numbers.index(number)}]")

    @contextmanager
    def opened(self, number: int) -> Iterator[Locator]:
        """The row of this run, with its details below it."""
        details = self.page.locator(".drilldown-view")
        self.cell("row_expander", number).click()
        try:
            expect(details.locator(".navbar-brand")).to_contain_text(f"(Id: {number})")
            yield details
        finally:
            self.cell("row_expander", number).click()
            expect(details).to_have_count(0)

    def assert_no_trouble(self, *expected: str) -> None:
        trouble, self.watch.trouble[:] = list(self.watch.trouble), []
        assert [line for line in trouble if not any(words in line for words in expected)] == []


def open_tab(details: Locator, name: str) -> None:
    details.locator("#sidebar li", has_text=name).click()
    expect(details.locator("#sidebar li.active")).to_have_text(name)
    expect(details.locator(".tab-content > div")).to_have_count(1)
    expect(details.locator(".tab-content")).not_to_contain_text("Loading...")


def open_files(details: Locator) -> None:
    for file in details.locator(".accordion__title").all():
        if "page.html" in file.inner_text():  # its frame makes the list of files jump for ever
            continue
        file.click()
        if "empty" not in file.inner_text():  # what Omniboard waits for without an end
            expect(details).not_to_contain_text("Loading...")
