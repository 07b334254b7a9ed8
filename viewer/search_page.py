"""The search in the top bar: runs, metrics, projects and pages that some words name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from flask import Blueprint, current_app, render_template, request, url_for

from ..observer.metric_direction import better_end
from ..observer.project_lists import ProjectSummary
from ..observer.run_query import TEXT_LIMIT, RunQuery
from ..observer.runs import RunNotFound, RunStore
from .accounts.current import current_principal
from .privacy_frame import section_address, shown_sections
from .run_keys import path_segment, shown_id
from .store_access import current_store, root
from .wording import count_noun, format_ago

RUNS_SHOWN, FIELDS_SHOWN, PROJECTS_SHOWN, PAGES_SHOWN = 6, 5, 4, 5
# Pages that stand in no list of their own: endpoint -> title, icon, and words that people look for them by.
PAGES = {
    "projects.show_projects": ("Projects", "projects", "home start"),
    "runs.show_all_runs": ("Runs of all projects", "list", "table"),
    "compare.show_comparison": ("Compare", "split", "diff"),
    "reports.show_reports": ("Reports", "file", "markdown write"),
    "profile.show_profile": ("Your account", "person", "profile password token session"),
    "styleguide.show_styleguide": ("Style guide", "image", "components colours"),
}

bp = Blueprint("search", __name__)


@dataclass(frozen=True)
class Found:
    """One thing that was found: where it lies, what it is called, what else is known of it."""

    href: str
    title: str
    remark: str
    icon: str


@bp.get("/search")
def search() -> str:
    """All that was found as a page; as a part of one, for the list under the field of the top bar."""
    text = request.args.get("q", "").strip()[:TEXT_LIMIT]
    project = request.args.get("project", "").strip() or None
    part = "search/found.html" if request.headers.get("HX-Request") else "search.html"
    groups = find_all(current_store(), text, project) if text else []
    return render_template(part, groups=groups, text=text, searched_project=project)


def find_all(store: RunStore, text: str, project: str | None) -> list[tuple[str, list[Found]]]:
    """What the words name, by kind; kinds of which nothing was found are left out."""
    groups = [
        ("Runs", list(_runs(store, text, project))),
        ("Metrics and config", list(_fields(store, text, project))),
        ("Projects", list(_projects(store.list_projects(), text))),
        ("Pages", list(_pages(text))),
    ]
    return [(title, found) for title, found in groups if found]


def _runs(store: RunStore, text: str, project: str | None) -> Iterator[Found]:
    found = {run.id: run for run in store.find_runs(RunQuery(project=project, text=text), RUNS_SHOWN)}
    number = text.removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) < 19:
        with suppress(RunNotFound):  # by its number a run is found in any project, and stands first
            found = {int(number): store.load_run(int(number)), **found}
    for run in found.values():
        state = f"{run.custom_status or run.status}, {format_ago(run.start_time)}"
        remark = f"run {shown_id(run.id)} in {run.project}, {state}"
        yield Found(f"{root()}/runs/{path_segment(run.id)}", run.name, remark, f"status-{run.status}")


def _fields(store: RunStore, text: str, project: str | None) -> Iterator[Found]:
    """Metrics and config keys; each leads to the runs sorted by it, the best ones first."""
    place = f"{root()}/runs" if project is None else f"{root()}/p/{quote(project)}"
    found = [field for field in store.find_fields(project, text, 50) if field.kind in ("metrics", "config")]
    for field in found[:FIELDS_SHOWN]:
        lower = field.kind == "metrics" and better_end(field.title) == "lower"
        sort = field.key if lower or field.kind == "config" else f"-{field.key}"
        remark = f"{'metric' if field.kind == 'metrics' else 'config'} of {count_noun(field.run_count, 'run')}"
        icon = "chart" if field.kind == "metrics" else "settings"
        yield Found(f"{place}?{urlencode({'sort': sort})}", field.title, remark, icon)


def _projects(projects: tuple[ProjectSummary, ...], text: str) -> Iterator[Found]:
    matching = [each for each in projects if _names(text, each.name)]
    for each in matching[:PROJECTS_SHOWN]:
        yield Found(f"{root()}/p/{quote(each.name)}", each.name, count_noun(each.run_count, "run"), "projects")


def _pages(text: str) -> Iterator[Found]:
    known = [
        (url_for(endpoint), title, words, icon)
        for endpoint, (title, icon, words) in PAGES.items()
        if endpoint in current_app.view_functions and _may_open(endpoint)
    ]
    known += [(section_address(each), each.title, f"privacy {each.key}", each.icon) for each in shown_sections()]
    matching = [page for page in known if _names(text, f"{page[1]} {page[2]}")]
    for href, title, _, icon in matching[:PAGES_SHOWN]:
        yield Found(href, title, "page", icon)


def _may_open(endpoint: str) -> bool:
    """Your account is a person's; all else is open to whoever may search."""
    return endpoint != "profile.show_profile" or current_principal().kind == "person"


def _names(text: str, name: str) -> bool:
    lowered = name.lower()
    return all(word in lowered for word in text.lower().split())
