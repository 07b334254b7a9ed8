"""Charts as the browser has drawn them: finding one, reading what stands in it, zooming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import ElementHandle, Page


def chart(page: Page, metric: str) -> ElementHandle:
    """The chart of a metric, once it is drawn."""
    card = page.wait_for_selector(f'[data-chart][data-state="drawn"]:has([aria-label="{metric}"])', timeout=10_000)
    assert card is not None
    return card


def drawn(page: Page, metric: str, source: str = "lines", column: str = "ys") -> Any:
    """A column of what Bokeh draws, as plain lists; NaN as None."""
    script = """([card, source, column]) => card.chartCard.plot.sources[source].data[column].map(
        (part) => typeof part === "string" || typeof part === "number" ? part : Array.from(part))"""
    return page.evaluate(script, [chart(page, metric), source, column])


def x_range(page: Page, metric: str) -> list[float]:
    script = "(card) => { const { x_range } = card.chartCard.plot.model; return [x_range.start, x_range.end]; }"
    found: list[float] = page.evaluate(script, chart(page, metric))
    return found


def drag(page: Page, metric: str, start: float, end: float) -> None:
    """Draw a zoom over these shares of the plot's width."""
    plot = chart(page, metric).query_selector("[data-chart-plot]")
    assert plot is not None
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    left, width = box["x"] + 44, box["width"] - 56
    page.mouse.move(left + start * width, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(left + end * width, box["y"] + 70, steps=5)
    page.mouse.up()
