"""Compare and the previews of artifacts in a real browser: parts on demand, media by steps, a PDF in its frame."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Iterator
from typing import Any

import pytest
from artifact_keeping import PNG, keep_artifact
from cloister.observer.runs import RunStore
from playwright.sync_api import Browser, Page, expect
from pymongo.database import Database
from running_viewer import running_viewer
from seeded_runs import add_run
from signing_in import emptied
from watched_browser import Watch

pytestmark = pytest.mark.browser
Documents = Database[dict[str, Any]]


def make_pdf(words: bytes, *, more: bytes = b"") -> bytes:
    """A page with some words on it."""
    content = b"BT /F1 24 Tf 40 100 Td (" + words + b") Tj ET"
    objects = (
        b"<</Type/Catalog/Pages 2 0 R" + more + b">>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    pdf = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(pdf))
        pdf += b"%d 0 obj%bendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(pdf)
    return pdf + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer


def make_wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(struct.pack("<h", 1000) * 8000)
    return file.getvalue()


@pytest.fixture(scope="module")
def address(one_database: Documents, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database, folder = emptied(one_database), tmp_path_factory.mktemp("files")
    for run_id, rate in ((1, 0.1), (2, 0.2), (3, 0.3)):
        add_run(database, run_id, name=f"unet-{run_id}", config={"lr": rate, "seed": 1}, metrics={"loss": rate})
        database["runs"].update_one({"_id": run_id}, {"$set": {"info.model": f"Net(\n  Linear({run_id})\n)"}})
        database["console"].insert_one({"_id": f"{run_id}", "run_id": run_id, "n": 1, "text": f"hello {run_id}\n" * 90})
        for step in range(5, 16, 5):
            keep_artifact(database, folder, f"val/predictions/{step:03d}.png", PNG, run_id=run_id)
    keep_artifact(database, folder, "reports/deep/inner/report.json", b'{"classes": [{"name": "liver"}]}')
    keep_artifact(database, folder, "reports/paper.pdf", make_pdf(b"Hello", more=HOSTILE_ACTION))
    keep_artifact(database, folder, "reports/broken.pdf", b"%PDF-1.4\nnothing of one")
    keep_artifact(database, folder, "tone.wav", make_wav())
    for number in range(12):
        keep_artifact(database, folder, f"many/{number}.txt", b"%d" % number)
    with running_viewer(RunStore(database)) as port:
        yield f"http://127.0.0.1:{port}"


SHOW = "element => element.scrollIntoView()"
HOSTILE_ACTION = b"/OpenAction<</S/JavaScript/JS(app.alert\\(1\\); parent.document.title = 'PWNED')>>"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A page that fails the test when it does what no page should."""
    with browser.new_context(viewport={"width": 1440, "height": 900}, base_url=address) as context:
        watch = Watch(context, address)
        yield context.new_page()
    assert watch.trouble == []


def test_the_parts_of_a_comparison_come_into_sight_and_change_in_place(page: Page) -> None:
    page.goto("/compare?runs=1,2,3")
    rows = page.locator("#compare-tables tbody tr")
    expect(rows.filter(has_text="lr")).to_contain_text("\u00d72")
    page.get_by_role("switch", name="Only differing").click()
    expect(rows.filter(has_text="seed")).to_be_visible()

    model = page.locator(".compare-part[aria-label=Model]")
    model.evaluate(SHOW)
    expect(model).to_contain_text("Linear(2)")
    model.get_by_role("link", name="A \u2192 C").click()
    expect(model).to_contain_text("Linear(3)")
    assert "with=" not in page.url  # the part alone was fetched

    media = page.locator("#compare-media")
    page.locator(".compare-part[aria-label=Media]").evaluate(SHOW)
    expect(media.locator("img")).to_have_count(3)
    expect(media.locator("[data-key=step]")).to_have_text("step 15")
    media.get_by_role("slider", name="Step").fill("0")
    expect(media.locator("[data-key=step]")).to_have_text("step 5")
    media.get_by_role("link", name="Next step").click()
    expect(media.locator("[data-key=step]")).to_have_text("step 10")
    expect(media.locator("img").first).to_have_js_property("naturalWidth", 16)

    page.locator(".compare-part[aria-label=Console]").evaluate(SHOW)
    tails = page.locator("[data-console-tail]")
    expect(tails).to_have_count(3)
    assert tails.first.evaluate("tail => tail.scrollTop > 0")
    page.get_by_label("Scroll together").check()
    tails.first.evaluate("tail => { tail.scrollTop = 0; }")
    page.wait_for_function("() => [...document.querySelectorAll('[data-console-tail]')].every((one) => !one.scrollTop)")


def test_runs_are_added_made_the_baseline_and_taken_out_by_hand(page: Page) -> None:
    page.goto("/compare?project=digits")
    page.get_by_label("Compare unet-1").check()
    page.get_by_label("Compare unet-3").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    chips = page.locator(".compare-chip")
    expect(chips).to_have_count(2)

    page.get_by_text("Add run").click()
    page.get_by_role("searchbox", name="Find runs to add").fill("unet-2")
    page.locator(".compare-choices a", has_text="unet-2").click()
    expect(chips).to_have_count(3)
    colours = page.locator(".compare-chip summary .run-dot").evaluate_all("dots => dots.map((dot) => dot.className)")

    chips.nth(2).locator("summary").click()
    page.get_by_role("link", name="Make it the baseline").click()
    expect(chips.nth(2)).to_contain_text("baseline")
    page.get_by_role("link", name="Take unet-3 out").click()
    expect(chips).to_have_count(2)
    expect(page.locator(".compare-header", has_text="difference from")).to_contain_text("B")
    left = page.locator(".compare-chip summary .run-dot").evaluate_all("dots => dots.map((dot) => dot.className)")
    assert set(left) <= set(colours)


def test_a_small_screen_is_wide_enough(browser: Browser, address: str) -> None:
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        for path in ("/compare?runs=1,2,3", "/compare?project=digits", "/compare?runs=1,2&show=media"):
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_files_of_a_run_are_found_in_their_tree_and_shown(page: Page) -> None:
    page.goto("/runs/1/artifacts")
    expect(page.locator(".file-folder summary", has_text="deep/inner")).to_be_visible()
    field = page.get_by_role("searchbox", name="Filter files")
    field.fill("report.json")
    expect(page.locator(".artifact-row:visible")).to_have_count(1)
    field.fill("")
    expect(page.locator(".file-folder summary", has_text="many")).to_be_visible()

    page.locator(".artifact-open", has_text="report.json").click()
    expect(page.locator(".artifact-tree")).to_contain_text("liver")
    page.get_by_role("button", name="Text").click()
    expect(page.locator(".artifact-as-text")).to_contain_text('"name": "liver"')
    expect(page.locator(".artifact-tree")).to_be_hidden()

    page.locator(".artifact-open", has_text="tone.wav").click()
    page.wait_for_function("() => document.querySelector('audio').duration === 1")


def test_a_pdf_is_drawn_where_it_can_reach_nothing(page: Page) -> None:
    page.goto("/runs/1/artifacts")
    page.locator(".artifact-open", has_text="paper.pdf").click()
    expect(page.locator("[data-pdf]")).to_have_attribute("data-pages", "1")
    frame = page.frames[1]
    frame.wait_for_selector("canvas[data-drawn]")
    assert frame.evaluate("() => self.origin") == "null"
    assert frame.evaluate("() => { try { return parent.document.title; } catch { return 'closed'; } }") == "closed"
    ink = """() => {
        const canvas = document.querySelector("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value === 0);
    }"""
    assert frame.evaluate(ink)
    assert page.title() == "unet-1 \u00b7 digits \u00b7 Cloister"

    page.locator(".artifact-open", has_text="broken.pdf").click()
    expect(page.get_by_text("This PDF is damaged or protected.")).to_be_visible()
