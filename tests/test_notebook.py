"""Runs, tables of runs and charts as a notebook shows them: whole, harmless, and without a network."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import cloister
import pytest
from cloister.observer import notebook_charts
from cloister.observer.stored_runs import StoredRun, StoredRuns
from pymongo.database import Database
from seeded_runs import add_run, text_of
from stored_metrics import store_metric
from xss_payloads import PAYLOADS

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def kept(one_database: Database[dict[str, Any]], mongod: str) -> StoredRuns:
    for run_id, rate in ((1, 0.1), (2, 0.01)):
        add_run(one_database, run_id, name=f"run-{run_id}", config={"lr": rate, "depth": 3})
        store_metric(one_database, run_id, "val/acc", [0.1, float("nan"), 0.5, rate])
        store_metric(one_database, run_id, "loss", [1e9, 3.0, 2.0])
    add_run(one_database, 3, name=HOSTILE, tags=PAYLOADS[:20], config={HOSTILE: HOSTILE, "lr": '"><img onerror=a>'})
    return cloister.runs(sort="id", uri=mongod.replace("/?", f"/{one_database.name}?"))


def html_of(shown: Any) -> str:
    html: str = shown._repr_html_()
    return html


def test_a_run_says_how_it_went_with_its_config_and_the_course_of_its_metrics(kept: StoredRuns) -> None:
    text = text_of(html_of(kept[0]))
    for word in ("run-1", "completed", "digits", "lr 0.1", "depth 3", "val/acc 0.1 0.1 0.5 4"):
        assert word in text
    assert html_of(kept[0]).count("<svg") == 2


def test_a_table_of_runs_shows_what_tells_them_apart_and_the_best(kept: StoredRuns) -> None:
    html = html_of(kept[:2])
    text = text_of(html)
    assert "run-1" in text
    assert "run-2" in text
    assert "depth" not in text
    assert "<b>0.100</b>" in html
    assert text_of(html_of(kept[:0])) == "No runs."


def test_a_chart_brings_its_script_along_and_may_do_nothing(kept: StoredRuns) -> None:
    html = html_of(kept.chart("val/acc"))
    assert re.match('<iframe title="val/acc" sandbox="allow-scripts allow-downloads"', html)
    page = unescape(re.search('srcdoc="([^"]*)"', html)[1])  # type: ignore[index]
    assert "Bokeh" in page
    assert "run-2 (2)" in page
    assert not re.findall(r"""<(?:script|link|img)[^>]*\s(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert text_of(html_of(kept[2].chart("val/acc"))) == "No points of val/acc in 1 run."


def test_without_bokeh_a_chart_is_lines(kept: StoredRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_charts, "find_spec", lambda name: None)
    html = html_of(kept[0].chart("val/acc"))
    assert html.startswith("<svg")
    assert html.count("M") == 2  # a gap where the value was NaN
    assert "1,000,000,000" in html_of(kept[0].chart("loss"))


def test_what_a_run_recorded_stays_text(kept: StoredRuns) -> None:
    for shown in (kept[2], kept, StoredRuns([StoredRun(kept[2]._store, kept[2].record)])):
        html = html_of(shown)
        assert HOSTILE not in html
        assert set(re.findall(r"<([a-z]+)", html)) <= {"div", "table", "tr", "td", "th", "b", "span", "svg", "path"}
        assert not re.findall(r"<[^>]*\son[a-z]+\s*=", html)
