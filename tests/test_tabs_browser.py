"""The console, source, artifacts and environment tabs in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from artifact_keeping import HOSTILE_ARTIFACTS, PNG, keep_artifact
from cloister.observer.runs import RunStore
from console_writing import write_pieces
from playwright.sync_api import Browser, Page, expect
from pymongo.database import Database
from running_viewer import insert_run, running_viewer
from watched_browser import Watch

pytestmark = pytest.mark.browser
Documents = Database[dict[str, Any]]

# The promise is two seconds on an idle machine; here the whole suite may run beside, so this only ends a hang.
LIVE_MILLISECONDS = 20_000


@pytest.fixture
def address(store: RunStore, database_uri: str) -> Iterator[str]:
    with running_viewer(store, uri=database_uri) as port:
        yield f"http://127.0.0.1:{port}"


class WatchedPage:
    """A page of the viewer."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page


@pytest.fixture
def watched(browser: Browser, address: str) -> Iterator[WatchedPage]:
    """A page that fails the test when it does what no page should."""
    with browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True) as context:
        watch = Watch(context, address)
        yield WatchedPage(context.new_page(), address)
    assert watch.trouble == []


def write_lines(database: Documents, first: int, last: int, stream: str = "stdout") -> None:
    write_pieces(database, 1, ((stream, f"line {number}\n") for number in range(first, last + 1)))


def from_end(page: Page) -> float:
    """How many pixels the console is scrolled up."""
    found: float = page.eval_on_selector("[data-scroll]", "box => box.scrollHeight - box.scrollTop - box.clientHeight")
    return found


def scroll_to(page: Page, top: int) -> None:
    page.eval_on_selector("[data-scroll]", "(box, top) => { box.scrollTop = top; }", top)


def numbers_and_texts(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        ".console-line",
        "lines => lines.map(line => line.querySelector('.console-number').dataset.number + ' '"
        " + line.querySelector('.console-text').textContent)",
    )
    return found


class TestConsole:
    def test_it_opens_at_the_end_and_follows(self, watched: WatchedPage, database: Documents) -> None:
        insert_run(database, 1)
        write_lines(database, 1, 3000)
        page = watched.open("/runs/1/console")
        expect(page.get_by_text("line 3000", exact=True)).to_be_in_viewport()

        write_lines(database, 3001, 3003)

        expect(page.get_by_text("line 3003", exact=True)).to_be_in_viewport(timeout=LIVE_MILLISECONDS)
        assert numbers_and_texts(page)[-1] == "3003 line 3003"
        assert from_end(page) < 2
        expect(page.locator(".console-status")).to_contain_text("3,003 lines")

    def test_a_first_line_appears_where_there_was_none(self, watched: WatchedPage, database: Documents) -> None:
        insert_run(database, 1)
        page = watched.open("/runs/1/console")
        expect(page.get_by_text("Nothing printed yet")).to_be_visible()

        write_pieces(database, 1, [("stdout", "hello\n")])

        expect(page.get_by_text("hello")).to_be_visible(timeout=LIVE_MILLISECONDS)
        expect(page.get_by_text("Nothing printed yet")).to_be_hidden()

    def test_a_progress_bar_moves_in_its_line(self, watched: WatchedPage, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", "start\n"), ("stderr", "\r10% of it"), ("stdout", "half a li")])
        page = watched.open("/runs/1/console")
        expect(page.get_by_text("10% of it")).to_be_visible()

        write_pieces(database, 1, [("stderr", "\r20% of it"), ("stdout", "ne\n"), ("stderr", "\r30% of it\n")])

        expect(page.get_by_text("30% of it")).to_be_visible(timeout=LIVE_MILLISECONDS)
        assert numbers_and_texts(page) == ["1 start", "2 30% of it", "3 half a line"]

    def test_scrolling_up_stops_following_and_offers_the_new_lines(
        self, watched: WatchedPage, database: Documents
    ) -> None:
        insert_run(database, 1)
        write_lines(database, 1, 900)
        page = watched.open("/runs/1/console")
        expect(page.get_by_text("line 900", exact=True)).to_be_in_viewport()
        scroll_to(page, 9000)
        expect(page.get_by_role("switch", name="Follow")).to_have_attribute("aria-checked", "false")
        top = page.eval_on_selector("[data-scroll]", "box => box.scrollTop")

        write_lines(database, 901, 912)

        page.get_by_role("button", name="12 new lines").wait_for(timeout=LIVE_MILLISECONDS)
        assert page.eval_on_selector("[data-scroll]", "box => box.scrollTop") == top
        page.get_by_role("button", name="12 new lines").click()
        expect(page.get_by_text("line 912", exact=True)).to_be_in_viewport()
        expect(page.get_by_role("switch", name="Follow")).to_have_attribute("aria-checked", "true")

    def test_scrolling_up_brings_earlier_lines_without_moving_what_is_read(
        self, watched: WatchedPage, database: Documents
    ) -> None:
        insert_run(database, 1)
        write_lines(database, 1, 2600)
        page = watched.open("/runs/1/console")
        for expected in (2000, 2600):
            scroll_to(page, 0)
            expect(page.locator(".console-line")).to_have_count(expected)
        assert numbers_and_texts(page) == [f"{number} line {number}" for number in range(1, 2601)]

    def test_the_page_keeps_a_bounded_number_of_lines_and_finds_the_others_again(
        self, watched: WatchedPage, database: Documents
    ) -> None:
        insert_run(database, 1)
        write_lines(database, 1, 8000)
        page = watched.open("/runs/1/console")
        for first in range(6001, 0, -1000):
            scroll_to(page, 0)
            expect(page.locator(".console-number").first).to_have_attribute("data-number", str(first))
        shown = numbers_and_texts(page)
        assert len(shown) <= 5000
        assert shown == [f"{number} line {number}" for number in range(1, len(shown) + 1)]

        write_lines(database, 8001, 8002)
        page.get_by_role("button", name="2 new lines").click(timeout=LIVE_MILLISECONDS)
        expect(page.get_by_text("line 8002", exact=True)).to_be_in_viewport()

    def test_search_counts_marks_and_steps_through_hits_over_colours(
        self, watched: WatchedPage, database: Documents
    ) -> None:
        insert_run(database, 1)
        write_lines(database, 1, 300)
        write_pieces(database, 1, [("stderr", "sp\x1b[31mac\x1b[0ming SPACING spac.ng\n")])
        page = watched.open("/runs/1/console")
        field = page.get_by_role("searchbox", name="Search in the console")

        field.fill("spacing")
        expect(page.locator("[data-hits]")).to_have_text("2 of 2")
        page.get_by_role("button", name="Next match").click()
        expect(page.locator("[data-hits]")).to_have_text("1 of 2")
        assert page.locator("mark").all_text_contents() == ["sp", "ac", "ing", "SPACING"]
        page.get_by_role("button", name="Regular expression").click()
        field.fill("spac.ng")
        expect(page.locator("[data-hits]")).to_have_text("3 of 3")
        field.fill("(")
        expect(page.locator("[data-hits]")).to_have_text("not a pattern")
        field.fill("")
        assert page.locator("mark").count() == 0
        assert numbers_and_texts(page)[-1] == "301 spacing SPACING spac.ng"

    def test_streams_times_and_wrap_are_switched(self, watched: WatchedPage, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", "out\n"), ("stderr", "err " * 400 + "\n")])
        page = watched.open("/runs/1/console")
        page.get_by_role("button", name="stdout").click()
        expect(page.get_by_text("err err")).to_be_hidden()
        page.get_by_role("button", name="stderr").click()
        expect(page.get_by_text("out", exact=True)).to_be_hidden()
        tall = "document.querySelector('.console-line.is-stderr').offsetHeight > 60"
        assert not page.evaluate(tall)
        page.get_by_role("button", name="Wrap").click()
        assert page.evaluate(tall)
        page.get_by_role("button", name="Times").click()
        expect(page.locator(".is-stderr .console-time")).to_be_hidden()

    def test_hostile_output_runs_nothing(self, watched: WatchedPage, database: Documents) -> None:
        insert_run(database, 1)
        hostile = (
            "<script>alert(1)</script><img src=http://192.0.2.1/x onerror=alert(2)>\x1b]8;;javascript:alert(3)\x07x\n"
        )
        write_pieces(database, 1, [("stdout", hostile)])
        page = watched.open("/runs/1/console")
        write_pieces(database, 1, [("stderr", hostile), ("stdout", "the end\n")])
        expect(page.get_by_text("the end")).to_be_visible(timeout=LIVE_MILLISECONDS)
        assert page.locator(".console-lines script, .console-lines img, .console-lines a").count() == 0

    def test_a_phone_wraps_and_hides_the_times(self, browser: Browser, address: str, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", "word " * 100 + "\n")])
        with browser.new_context(viewport={"width": 390, "height": 844}) as context:
            page = context.new_page()
            page.goto(f"{address}/runs/1/console")
            expect(page.locator(".console-time")).to_be_hidden()
            assert page.evaluate("document.querySelector('.console-line').offsetHeight > 100")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


class TestArtifacts:
    def test_hostile_artifacts_run_nothing_and_send_nothing(
        self, watched: WatchedPage, database: Documents, tmp_path: Path
    ) -> None:
        insert_run(database, 1)
        for name, content, content_type in HOSTILE_ARTIFACTS:
            keep_artifact(database, tmp_path, name, content, content_type=content_type)
        page = watched.open("/runs/1/artifacts")
        links = [link.get_attribute("href") for link in page.locator(".artifact-open").all()]
        assert len(links) == len(HOSTILE_ARTIFACTS)
        for link in links:
            page.goto(f"{watched.address}/runs/1/artifacts{link}")
            with page.expect_download() as download:
                page.locator(".artifact-title .button[download]").click()
            assert "/" not in download.value.suggested_filename
            assert page.title() == "digits-1 · digits · Cloister"
        assert {cookie["name"] for cookie in page.context.cookies()} <= {
            "cloister_zone"
        }  # the reader's time zone, ours

    def test_an_image_is_drawn_and_one_that_cannot_be_says_so(
        self, watched: WatchedPage, database: Documents, tmp_path: Path
    ) -> None:
        insert_run(database, 1)
        keep_artifact(database, tmp_path, "a.png", PNG)
        keep_artifact(database, tmp_path, "b-cut.png", PNG[:40])
        page = watched.open("/runs/1/artifacts")
        expect(page.locator("[data-image]")).to_have_js_property("naturalWidth", 16)
        page.get_by_role("link", name="b-cut.png").first.click()
        expect(page.get_by_text("The browser cannot show this image")).to_be_visible()

    def test_a_new_artifact_appears_without_a_reload(
        self, watched: WatchedPage, database: Documents, tmp_path: Path
    ) -> None:
        insert_run(database, 1)
        keep_artifact(database, tmp_path, "first.txt", b"1")
        page = watched.open("/runs/1/artifacts")
        expect(page.get_by_text("first.txt").first).to_be_visible()
        keep_artifact(database, tmp_path, "second.txt", b"2")
        write_pieces(database, 1, [("stdout", "saved\n")])
        expect(page.get_by_text("second.txt")).to_be_visible(timeout=LIVE_MILLISECONDS)


class TestSource:
    @pytest.fixture
    def changed_run(self, database: Documents) -> None:
        insert_run(database, 1)
        diff = (
            "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -40,3 +40,4 @@\n"
            " import torch\n-lr = 1e-3\n+lr = 3e-4\n+warmup = 100\n train()\n"
        )
        git = {"state": "repository", "commit": "4f2c91a" * 5, "branch": "main", "diff": diff, "changed_count": 1}
        database["runs"].update_one({"_id": 1}, {"$set": {"cloister.git": git}})

    def test_changes_are_unified_or_side_by_side(self, watched: WatchedPage, changed_run: None) -> None:
        page = watched.open("/runs/1/source")
        removed, added = page.locator(".is-removed").first, page.locator(".is-added").first
        left, right = removed.bounding_box(), added.bounding_box()
        assert left is not None
        assert right is not None
        assert right["y"] >= left["y"] + left["height"]
        page.get_by_role("button", name="Split").click()
        left, right = removed.bounding_box(), added.bounding_box()
        assert left is not None
        assert right is not None
        assert right["x"] > left["x"] + 100
        assert right["y"] == left["y"]

    def test_a_small_screen_has_unified_changes_alone(self, browser: Browser, address: str, changed_run: None) -> None:
        with browser.new_context(viewport={"width": 390, "height": 844}) as context:
            page = context.new_page()
            page.goto(f"{address}/runs/1/source")
            expect(page.get_by_role("button", name="Split")).to_be_hidden()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def test_copied_source_has_no_line_numbers_and_a_link_marks_its_line(
        self, watched: WatchedPage, database: Documents, tmp_path: Path
    ) -> None:
        insert_run(database, 1)
        file_id = keep_artifact(database, tmp_path, "x", b"a = 1\nb = 2\n")
        sources = [{"path": "x.py", "file_id": file_id, "sha256": "0" * 64, "size": 12}]
        database["runs"].update_one({"_id": 1}, {"$set": {"cloister.sources": sources}})
        page = watched.open("/runs/1/source?file=x.py#L2")
        expect(page.locator(".code-line:target")).to_have_text("b = 2")
        selected = page.evaluate(
            "getSelection().selectAllChildren(document.querySelector('.code')), getSelection().toString()"
        )
        assert selected.split() == ["a", "=", "1", "b", "=", "2"]


class TestEnvironment:
    def test_packages_are_filtered_and_the_command_is_copied(self, watched: WatchedPage, database: Documents) -> None:
        insert_run(database, 1)
        environment = {"host": "lab-gpu-03", "distributions": ["numpy==2.4.6", "torch==2.9.0"], "cuda_driver": "12.4"}
        values = {"cloister.environment": environment, "cloister.argv": ["train.py", "data=my folder"]}
        database["runs"].update_one({"_id": 1}, {"$set": values})
        page = watched.open("/runs/1/environment")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="train.py 'data=my folder'").click()
        expect(page.get_by_text("Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == "train.py 'data=my folder'"
        page.get_by_role("searchbox", name="Filter packages").fill("tor")
        expect(page.get_by_text("numpy")).to_be_hidden()
        expect(page.get_by_text("torch")).to_be_visible()
