"""The table of runs in a real browser: its bar for queries, its columns, selected rows, edits and saved views."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from cloister.observer.runs import RunStore
from pymongo.database import Database
from running_viewer import running_viewer
from seeded_runs import add_run
from signing_in import emptied
from watched_browser import Watch

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.browser
expect: Any = playwright.expect

Documents = Database[dict[str, Any]]
HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def page(browser: Any, one_database: Documents) -> Iterator[Any]:
    """The table of eight runs, each half of them in a group; fails the test when a script breaks."""
    database = emptied(one_database)
    for number in range(1, 9):
        config = {"lr": 0.1 / number, "model": {"name": "mlp" if number < 5 else "cnn"}, HOSTILE: number}
        add_run(database, number, name=f"run-{number}", metrics={"val/acc": number / 10}, config=config)
    with running_viewer(RunStore(database)) as port:
        address = f"http://127.0.0.1:{port}"
        with browser.new_context(base_url=address, viewport={"width": 1440, "height": 900}) as context:
            watch = Watch(context, address)
            page = context.new_page()
            page.goto("/p/digits")
            yield page
    assert watch.trouble == []


def listed(page: Any) -> list[str]:
    return page.eval_on_selector_all("[data-run-row]", "rows => rows.map((row) => row.dataset.runRow)")  # type: ignore[no-any-return]


def headers(page: Any) -> list[str]:
    return page.eval_on_selector_all("th[data-column]", "all => all.map((header) => header.dataset.column)")  # type: ignore[no-any-return]


def test_a_query_is_painted_completed_and_wrong_at_its_column(page: Any) -> None:
    field = page.locator("#filter")
    field.press_sequentially("config.mod")
    page.get_by_role("option", name="config.model.name").click()
    assert field.input_value() == "config.model.name "
    field.press_sequentially("= cnn ")
    expect(page.locator("[data-run-row]")).to_have_count(4)
    assert page.url.endswith("?q=config.model.name%20%3D%20cnn")
    expect(page.locator("[data-query-paint] .word-field")).to_have_text("config.model.name")
    expect(page.locator("[data-query-paint] .word-value")).to_have_text("cnn")
    field.press_sequentially("and statu = failed")
    error = page.get_by_role("alert").filter(has_text="Column 29: There is no field 'statu'. Did you mean status?")
    expect(error).to_be_visible()
    expect(page.locator("[data-query-carets]")).to_have_text(" " * 28 + "^^^^^", use_inner_text=False)
    expect(page.locator("[data-query-paint] .is-wrong")).to_have_text("statu")
    assert listed(page) == ["8", "7", "6", "5"], "the last good result stays"
    page.get_by_role("button", name="Take it").click()
    expect(page.get_by_role("heading", name="No run matches")).to_be_visible()
    page.get_by_role("link", name="Clear the query").click()
    expect(page.locator("[data-run-row]")).to_have_count(8)
    expect(field).to_have_value("")


def test_columns_are_sorted_pinned_moved_hidden_and_made_wider_by_their_headers(page: Any) -> None:
    def choose(column: str, entry: str) -> None:
        page.locator(f'th[data-column="{column}"] [data-header-menu]').focus()
        page.keyboard.press("Enter")
        page.get_by_role("menu").get_by_text(entry, exact=True).click()

    assert headers(page)[:4] == ["name", "metrics.val/acc", "curve(metrics.val/acc)", "config.lr"]
    choose("config.lr", "Sort ascending")
    expect(page.locator("[data-run-row]").first).to_have_attribute("data-run-row", "8")
    choose("config.lr", "Keep in sight")
    page.wait_for_url("**pin=config.lr**")
    expect(page.locator('th[data-column="config.lr"]')).to_have_class(re.compile("is-pinned"))
    assert headers(page)[1] == "config.lr"
    choose("metrics.val/acc", "Highest")
    page.wait_for_url("**columns=max(metrics.val/acc),**")
    choose("tags", "Hide")
    expect(page.locator('th[data-column="tags"]')).to_have_count(0)
    choose("started", "Move left")
    page.wait_for_url("**config.lr,started,config.model.name**")
    handle = page.locator('th[data-column="started"] [data-header-handle]').bounding_box()
    page.mouse.move(handle["x"] + 3, handle["y"] + 10)
    page.mouse.down()
    page.mouse.move(handle["x"] + 63, handle["y"] + 10)
    page.mouse.up()
    page.wait_for_url("**width=156:started**")
    page.locator('th[data-column="name"] [data-sort-key]').click(modifiers=["Shift"])
    page.wait_for_url("**sort=config.lr,-name**")
    before, rows = headers(page), listed(page)
    page.reload()
    assert (headers(page), listed(page)) == (before, rows), "the address holds all of it"
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_role("checkbox", name=HOSTILE).check()
    page.get_by_role("button", name=f"Keep in sight: {HOSTILE}").click()
    page.get_by_role("button", name="Show columns").click()
    expect(page.locator("th.is-pinned-last")).to_have_text(HOSTILE)
    assert page.locator("#runs-table img, dialog img").count() == 0
    choose("config.lr", "Group by it")
    expect(page.locator(".group-row")).to_have_count(8)


def test_selected_rows_are_changed_together_and_cells_where_they_stand(page: Any, one_database: Documents) -> None:
    page.get_by_label("Select run-8").check(force=True)
    page.get_by_label("Select run-6").click(force=True, modifiers=["Shift"])
    expect(page.locator("[data-bulk-count]")).to_have_text("3 selected")
    page.get_by_role("button", name="Select all 8").click()
    expect(page.locator("[data-bulk-count]")).to_have_text("8 selected")
    page.get_by_role("button", name="Tag", exact=True).click()
    dialog = page.get_by_role("dialog", name="Tag 8 runs?")
    dialog.get_by_label("Tags, separated by commas").fill(f"night, {HOSTILE}")
    dialog.get_by_role("button", name="Tag").click()
    expect(page.locator(".toast")).to_contain_text("Tagged 8 runs")
    expect(page.locator("[data-run-row] .tag", has_text="night")).to_have_count(8)
    page.locator('[data-run-row="3"]').hover()
    page.get_by_role("button", name="Edit tags of run-3").click()
    page.get_by_role("textbox", name="tags of run-3").fill("one, two")
    page.keyboard.press("Enter")
    expect(page.locator('[data-run-row="3"] .tag')).to_have_text(["one", "two"])
    page.get_by_role("button", name="Edit name of run-4").click(force=True)
    page.get_by_role("textbox", name="name of run-4").fill("renamed")
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="name of run-4")).to_have_count(0)
    assert one_database["runs"].find_one({"_id": 3})["cloister"]["tags"] == ["one", "two"]  # type: ignore[index]
    assert one_database["runs"].find_one({"_id": 4})["cloister"]["name"] == "run-4"  # type: ignore[index]
    page.get_by_role("button", name="Clear the selection").click()
    page.get_by_label("Select run-5").check(force=True)
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(page.locator("[data-run-row]")).to_have_count(7)
    page.locator(".toast", has_text="Archived 1 run").get_by_role("button", name="Undo").click()
    expect(page.locator("[data-run-row]")).to_have_count(8)


def test_a_table_is_kept_under_a_name_and_found_again(page: Any) -> None:
    page.goto("/p/digits?q=config.model.name = mlp&sort=name&group=")
    page.get_by_role("button", name="Save view").click()
    dialog = page.get_by_role("dialog", name="Save this view?")
    dialog.get_by_label("Name").fill(HOSTILE)
    dialog.get_by_role("button", name="Save view").click()
    expect(page.locator("[data-view-name]")).to_have_text(f"View: {HOSTILE}")
    page.goto("/p/digits")
    expect(page.locator("[data-view-name]")).to_have_text("Views")
    page.locator("#views-menu summary").click()
    page.get_by_role("link", name=HOSTILE).click()
    page.wait_for_url("**sort=name**")
    assert listed(page) == ["1", "2", "3", "4"]
    expect(page.locator("[data-view-name]")).to_have_text(f"View: {HOSTILE}")
    page.get_by_role("link", name="val/acc", exact=True).click()
    expect(page.locator("[data-view-name]")).to_have_text("Views")
    page.locator("#views-menu summary").click()
    page.get_by_role("button", name=f"Delete the view {HOSTILE}").click()
    expect(page.locator("[data-views-list]")).to_contain_text("No saved views yet")
