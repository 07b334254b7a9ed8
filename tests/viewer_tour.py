"""What the tour of the viewer needs: real trainings to look at, and a walk over every page and tab."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cloister.observer.journal_places import journal_places
from cloister.observer.journal_segments import segments_in
from cloister.observer.run_query import RunQuery
from cloister.observer.run_record import RunRecord
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from drawn_charts import chart, drag, drawn, x_range
from git import Repo
from playwright.sync_api import Page, expect
from recorded_script import wait_for
from watched_browser import PATIENCE_MS, Watch

TRAININGS = Path(__file__).with_name("tour_trainings")
PICTURES = Path(__file__).parents[1] / "examples" / "digits_pictures.py"
PAYLOAD: str = runpy.run_path(str(TRAININGS / "payload.py"))["PAYLOAD"]
# What the payload would become.
RAN_AS_CODE = "[onerror], script:not([src]), textarea:not([name]), a[href^='javascript:']"
ONE_THREAD_EACH = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# Looks at every frame where the chart's newest point is.
NOTE_NEW_ENDS = """(card) => {
    window.seen = [];
    const look = () => {
        const end = card.chartCard.plot.sources.ends.data.x[0];
        if (end !== window.seen.at(-1)?.[0]) window.seen.push([end, Date.now()]);
        requestAnimationFrame(look);
    };
    look();
}"""


class Trainings:
    """A project folder in a git repository of its own, whose scripts are run as a user would."""

    def __init__(self, folder: Path, uri: str, store: RunStore) -> None:
        self.folder = folder
        self.store = store
        self._environment = {**os.environ, **ONE_THREAD_EACH, "CLOISTER_URI": uri}
        shutil.copytree(TRAININGS, folder)
        shutil.copy(PICTURES, folder)
        with Repo.init(folder, initial_branch="main") as repo:
            with repo.config_writer() as config:
                config.set_value("user", "name", "Ana").set_value("user", "email", "ana@lab.example")
            repo.index.add([path.name for path in folder.glob("*.py")])
            repo.index.commit("A perceptron for digits")
        script = folder / "train.py"
        script.write_text(script.read_text().replace("WARM_UP_EPOCHS = 5", "WARM_UP_EPOCHS = 4  # 5 was no better"))
        (folder / "ideas.md").write_text("- augment\n- a wider layer\n")

    def start(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a script; what it prints goes to `<script>.log`."""
        with self._log_of(script, arguments).open("wb") as output:
            return subprocess.Popen(
                [sys.executable, script, *arguments],
                cwd=self.folder,
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @contextmanager
    def running(self, script: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """A script that runs until the block ends, and is interrupted then."""
        process = self.start(script, *arguments, **environment)
        try:
            yield process
        finally:
            process.terminate()  # not Ctrl-C: scikit-learn takes that for the end of an epoch
            try:
                process.wait(30)
            finally:
                process.kill()
            process.wait()

    def runs(self, project: str = "digits") -> dict[str, RunRecord]:
        return {run.name: run for run in self.store.list_runs(RunQuery(project=project)).runs}

    def find(self, name: str) -> RunRecord:
        return self.store.load_run(self.runs()[name].id)

    def logged_times(self, script: str, *arguments: str) -> Callable[[], dict[int, float]]:
        """When each epoch was logged, in seconds since 1970, as the script printed it just before it did so."""
        log = self._log_of(script, arguments)
        found = re.compile(r"^epoch (\d+) at ([\d.]+)", re.MULTILINE)
        return lambda: {int(step): float(time) for step, time in found.findall(log.read_text(encoding="utf-8"))}

    def wait_until_shipped(self) -> None:
        folder = journal_places(load_settings(uri=self._environment["CLOISTER_URI"]))[0]
        wait_for(
            lambda: not any(segments_in(path) for path in folder.iterdir() if path.is_dir()), "the journal is shipped"
        )

    def _log_of(self, script: str, arguments: tuple[str, ...]) -> Path:
        return self.folder.with_name(f"{script}{''.join(arguments)[:40].replace('/', '')}.log")

    def wait_until_done(self, *processes: subprocess.Popen[bytes]) -> list[int]:
        return [process.wait(120) for process in processes]


@dataclass(frozen=True)
class Screen:
    """What a visitor looks through."""

    width: int
    height: int
    theme: str

    @property
    def wide(self) -> bool:
        return self.width > 1000

    def __str__(self) -> str:
        return f"{self.width}-{self.theme}"


class Tour:
    """A visitor, who looks at every page, takes a picture of it and uses what is on it."""

    def __init__(self, page: Page, watch: Watch, screen: Screen, pictures: Path) -> None:
        self.page = page
        self.watch = watch
        self.screen = screen
        self._pictures = pictures

    def open(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def picture(self, name: str) -> None:
        """Keep what is seen, and see that it fits the screen."""
        page = self.page
        page.mouse.move(1, 1)
        self._pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=self._pictures / f"{name}-{self.screen}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= self.screen.width, f"{name} is too wide"
        assert page.locator(RAN_AS_CODE).count() == 0, name
        assert "49" not in page.title()

    def see_charts(self, least: int = 1) -> None:
        """Wait until that many charts and all that are in sight are drawn; they are drawn when they come near."""
        self.page.locator("[data-chart]").nth(least - 1).scroll_into_view_if_needed()
        expect(self.page.locator('[data-chart][data-state="drawn"]').nth(least - 1)).to_be_attached()
        expect(self.page.locator('[data-chart][data-state="loading"]:visible')).to_have_count(0)
        self.page.evaluate("scrollTo(0, 0)")

    def measure_delays(self, metric: str, logged_times: Callable[[], dict[int, float]], *, count: int) -> list[float]:
        """How many seconds after it was logged each point was drawn, over the next `count` times the chart changed."""
        page = self.page
        page.evaluate(NOTE_NEW_ENDS, chart(page, metric))
        page.wait_for_function("(count) => window.seen.length > count", arg=count, timeout=PATIENCE_MS)
        drawn_ends: list[tuple[int, int]] = page.evaluate("window.seen")
        logged = logged_times()
        delays = []
        for (before, _), (end, milliseconds) in pairwise(drawn_ends):
            # Points that came with a later one were waiting too: they count, or the longest waits would be left out.
            delays += [milliseconds / 1000 - logged[step] for step in range(before + 1, end + 1)]
        return delays

    # ---- pages

    def visit_projects(self, names: set[str]) -> None:
        page = self.open("/")
        assert names <= set(page.locator(".project-name").all_inner_texts())
        self.picture("projects")
        page.get_by_role("link", name="digits", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Runs of digits")

    def visit_runs(self, count: int) -> None:
        page = self.open("/p/digits")
        rows = page.locator("[data-run-row]")
        expect(rows).to_have_count(count)
        self.see_charts()
        self.picture("runs")
        page.locator("#filter").fill("lr0.003")
        page.wait_for_url("**q=lr0.003")
        expect(rows).to_have_count(1)
        page.locator("#filter").fill("unheard-of")
        expect(page.get_by_role("heading", name="No run matches")).to_be_visible()
        self.picture("runs-no-match")
        page.get_by_role("link", name="Clear the filter").click()
        expect(rows).to_have_count(count)
        self._draw_and_hide_a_run()
        self._choose_columns()
        if self.screen.wide:
            self._sort()

    def _draw_and_hide_a_run(self) -> None:
        page = self.page
        row = page.locator("tr.is-drawn").last
        name = row.get_attribute("data-run-row")
        lines = len(drawn(page, "val/acc", column="xs"))
        # The filter's own requests have been answered: a person does not click within the same milliseconds.
        page.wait_for_function("document.querySelector('.htmx-request') === null")
        page.wait_for_timeout(500)
        page.locator(f'[data-run-row="{name}"] [data-eye]').click()
        expect(page.locator(f'[data-run-row="{name}"]')).not_to_have_class(re.compile("is-drawn"))
        wait_for(lambda: len(drawn(page, "val/acc", column="xs")) == lines - 1, "the hidden run's line is gone")
        page.locator(f'[data-run-row="{name}"] [data-eye]').click()
        wait_for(lambda: len(drawn(page, "val/acc", column="xs")) == lines, "the drawn run's line is back")

    def _choose_columns(self) -> None:
        page = self.page
        page.get_by_role("button", name="Columns", exact=True).click()
        page.get_by_label("Find a column").fill("batch")
        page.get_by_role("checkbox", name="batch").check()
        self.picture("runs-columns")
        page.get_by_role("button", name="Show columns").click()
        page.wait_for_url(re.compile(r"columns=.*config\.batch"))
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator("th", has_text="batch")).to_be_attached()

    def _sort(self) -> None:
        page = self.page
        page.locator("th", has_text="acc").first.get_by_role("link").click()
        page.wait_for_url(re.compile("sort=.*val/acc"))
        for view in ("Table", "Charts", "Split"):
            page.get_by_role("button", name=view, exact=True).click()
            expect(page.get_by_role("button", name=view, exact=True)).to_have_attribute("aria-pressed", "true")
        self.see_charts()
        self.picture("runs-sorted")

    def visit_pages_of_a_long_list(self, project: str, total: int) -> None:
        page = self.open(f"/p/{project}")
        expect(page.locator(".pager")).to_contain_text(f"1\N{EN DASH}50 of {total}")
        page.get_by_role("link", name="Next page").click()
        expect(page.locator(".pager")).to_contain_text(f"51\N{EN DASH}{total} of {total}")
        page.get_by_role("link", name="Previous page").click()
        expect(page.locator("[data-run-row]")).to_have_count(50)

    def visit_overview(self, run_id: int, name: str, *, status: str) -> None:
        page = self.open(f"/runs/{run_id}")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.locator(".status-pill")).to_have_text(status)
        expect(page.get_by_text("How far does one hidden layer go?")).to_be_attached()
        self.see_charts()
        self.picture(f"overview-{status.lower()}")

    def visit_charts(self, run_id: int) -> None:
        page = self.open(f"/runs/{run_id}/charts")
        self.see_charts(5)
        self.picture("charts")
        self._smooth_and_scale()
        if self.screen.wide:
            self._zoom()
        self._enlarge()
        with page.expect_response(lambda response: "axis=relative" in response.url):
            page.get_by_role("button", name="Time", exact=True).click()
        page.get_by_role("button", name="Step", exact=True).click()

    def _smooth_and_scale(self) -> None:
        page = self.page
        page.locator("[data-chart-smoothing]").fill("0.9")
        wait_for(lambda: drawn(page, "val/acc", "raw") != [], "the raw line stands behind the smoothed one")
        card = chart(page, "val/acc")
        card.hover()
        action = "settings" if self.screen.wide else "more"
        card.query_selector(f'[data-chart-action="{action}"]').click()
        page.get_by_role("menuitemradio", name="Log").click()
        expect(page.locator('[data-chart]:has([aria-label="val/acc"]) [data-chart-note]')).to_have_text("log")
        page.locator("[data-chart-smoothing]").fill("0.6")

    def _zoom(self) -> None:
        page = self.page
        whole = x_range(page, "val/acc")
        with page.expect_request(lambda request: "/api/v1/curves" in request.url and "from=" in request.url):
            drag(page, "val/acc", 0.25, 0.5)
        assert x_range(page, "val/loss") == x_range(page, "val/acc") != whole
        chart(page, "val/acc").query_selector("[data-chart-plot]").dblclick()
        assert x_range(page, "val/acc") == whole

    def _enlarge(self) -> None:
        page = self.page
        card = chart(page, "train/loss")
        card.query_selector("[data-chart-plot]").focus()
        page.keyboard.press("f")
        page.wait_for_selector('dialog [data-chart][data-state="drawn"]')
        self.picture("chart-full")
        page.keyboard.press("Escape")
        expect(page.locator("dialog[open]")).to_have_count(0)
        card.hover()
        card.query_selector('[data-chart-action="more"]').click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name="Download CSV").click()
        assert download.value.path().stat().st_size > 100
        card.hover()
        card.query_selector('[data-chart-action="more"]').click()
        page.get_by_role("menuitem", name="View as table").click()
        expect(page.get_by_role("dialog").get_by_role("row").nth(5)).to_be_visible()
        self.picture("chart-table")
        page.keyboard.press("Escape")

    def visit_console(self, run_id: int) -> None:
        page = self.open(f"/runs/{run_id}/console")
        expect(page.locator(".console-line").nth(5)).to_be_visible()
        self.picture("console")
        page.get_by_role("searchbox", name="Search in the console").fill("epoch 1")
        expect(page.locator("[data-hits]")).to_have_text(re.compile(r"\d+ of \d+"))
        page.get_by_role("switch", name="Follow").click()
        page.get_by_role("button", name="Wrap").click()
        page.get_by_role("button", name="stderr").click()
        expect(page.get_by_text("best so far").last).to_be_visible()
        self.picture("console-searched")
        page.get_by_role("switch", name="Follow").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert "val/acc" in download.value.path().read_text()

    def visit_config(self, run_id: int) -> None:
        page = self.open(f"/runs/{run_id}/config")
        expect(page.locator("#config-tree")).to_contain_text("hidden")
        self.picture("config")
        page.get_by_label("Find a key or a value").fill("lr")
        expect(page.locator("#config-tree")).not_to_contain_text("hidden")

    def visit_source(self, run_id: int) -> None:
        page = self.open(f"/runs/{run_id}/source")
        expect(page.get_by_role("heading", name="train.py")).to_be_visible()
        expect(page.locator(".is-added").first).to_be_visible()
        if self.screen.wide:
            page.get_by_role("button", name="Split").click()
        self.picture("source-diff")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download .patch").click()
        assert "+WARM_UP_EPOCHS = 4" in download.value.path().read_text()
        page.locator("#source-files").get_by_role("link", name="digits_pictures.py").click()
        expect(page.locator(".code")).to_contain_text("def draw_confusion")
        self.picture("source-file")

    def visit_system(self, run_id: int) -> None:
        self.open(f"/runs/{run_id}/system")
        self.see_charts(2)
        self.picture("system")

    def visit_artifacts(self, run_id: int) -> None:
        page = self.open(f"/runs/{run_id}/artifacts")
        page.get_by_role("link", name="confusion.png").first.click()
        expect(page.locator("[data-image]")).to_have_js_property("naturalWidth", 484)
        self.picture("artifacts")
        with page.expect_download() as download:
            page.locator(".artifact-title .button[download]").click()
        assert download.value.path().read_bytes().startswith(b"\x89PNG")
        page.get_by_role("link", name="history.csv").first.click()
        expect(page.get_by_role("cell", name="train loss").or_(page.get_by_text("train loss")).first).to_be_visible()
        self.picture("artifacts-table")

    def visit_environment(self, run_id: int) -> None:
        page = self.open(f"/runs/{run_id}/environment")
        page.get_by_role("searchbox", name="Filter packages").fill("scikit")
        expect(page.locator("#package-list li:visible")).to_have_count(1)
        self.picture("environment")
        with page.expect_download() as download:
            page.get_by_role("link", name="requirements.txt").click()
        assert "scikit-learn==" in download.value.path().read_text()

    def visit_what_does_not_exist(self) -> None:
        for path in ("/no-such-page", "/runs/999999", "/p/no-such-project"):
            self.watch.wanted_refusals.add(path)
            page = self.open(path)
            expect(page.get_by_role("heading", level=1)).to_have_text("Nothing here for you")
        self.picture("not-found")

    def switch_theme(self, run_id: int) -> None:
        page = self.open(f"/runs/{run_id}/charts")
        other = "light" if self.screen.theme == "dark" else "dark"
        colour = drawn(page, "val/acc", column="color")
        for theme in (other, self.screen.theme):
            if not self.screen.wide:
                page.locator(".top-menu summary").click()
            page.locator("[data-theme-switch]:visible").click()
            assert page.evaluate("document.documentElement.dataset.theme") == theme
            if not self.screen.wide:
                page.locator(".top-menu summary").click()
            if theme == other:
                wait_for(lambda: drawn(page, "val/acc", column="color") != colour, "the line has the theme's colour")
        wait_for(lambda: drawn(page, "val/acc", column="color") == colour, "the line has its first colour again")

    def read_help(self) -> None:
        page = self.open("/p/digits")
        page.keyboard.press("Shift+?")
        expect(page.get_by_role("dialog")).to_contain_text("show the row's run in the charts")
        self.picture("keys")
        page.keyboard.press("Escape")
        page.locator(".project-switch summary").click()
        expect(page.locator(".project-switch .menu-row").nth(1)).to_be_visible()
        self.picture("project-menu")
        if self.screen.wide:
            page.locator(".on-prem summary").click()
            self.picture("on-prem")
