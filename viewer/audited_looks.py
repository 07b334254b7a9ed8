"""Looks that the audit log tells of: at private runs, and at bytes that leave the viewer. Noted before the answer."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from ..observer.access.principal import DEFAULT_VISIBILITY
from ..observer.run_files import ArtifactEntry
from ..observer.run_ids import parse_run_id
from .accounts.current import current_principal
from .audit_notes import note
from .chart_requests import parse_run_ids
from .compare_address import parse_compare
from .run_keys import shown_id
from .store_access import current_database, current_store

if TYPE_CHECKING:
    from ..observer.access.principal import Principal
    from ..observer.run_record import RunRecord

# Endpoint -> what leaves by it. Each other endpoint with a run in its address, or in `runs=`, shows that run.
DOWNLOADS = {
    "api.download_artifact": "artifact",
    "run_artifacts_page.download_artifact": "artifact",
    "run_console_page.download_console": "console",
    "run_environment_page.download_requirements": "requirements",
    "run_source_page.download_diff": "uncommitted changes",
    "run_source_page.download_source": "source",
}
COMPARING = ("compare.", "api.compare_runs")
EXPORTS = {"charts.send_points": "points"}
SAME_LOOK_SECONDS = 15 * 60  # a page that refreshes itself, or a download in parts, is one look
_MOST_REMEMBERED = 20_000

_lock = threading.Lock()
_recent: OrderedDict[tuple[object, ...], float] = OrderedDict()  # by look: when it was noted


def note_looks(app: Flask) -> None:
    """Have each request of `app` that shows a private run, or lets bytes out, write so first."""
    app.before_request(note_this_look)


def note_this_look() -> None:
    endpoint = request.endpoint or ""
    if request.method not in ("GET", "HEAD") or not _shows_runs(endpoint):
        return
    principal = current_principal()
    if principal.kind == "local" or not principal.sees_runs:
        return
    for run in _runs_of_request():
        if endpoint in DOWNLOADS:
            _note_once("artifact-downloaded", run, what=DOWNLOADS[endpoint], **_file_of_request(run))
        elif endpoint in EXPORTS:
            of = request.args.get("metric") or request.args.get("expression", "")
            _note_once("exported", run, what=EXPORTS[endpoint], metric=of)
        elif principal.kind != "share" and is_private_to_others(principal, run):  # a link's use is noted as such
            _note_once("run-viewed", run, owner=run.owner or "")


def note_shown_runs(runs: Iterable[RunRecord]) -> None:
    """The same for runs that a page shows without naming them in its address: private ones of others are noted."""
    principal = current_principal()
    if principal.kind == "local" or not principal.sees_runs:
        return
    for run in runs:
        if is_private_to_others(principal, run):
            _note_once("run-viewed", run, owner=run.owner or "")


def is_private_to_others(principal: Principal, run: RunRecord) -> bool:
    """Whether this is somebody else's private run: a look at one's own needs no witness."""
    visibility = run.visibility or principal.defaults.get(run.project, DEFAULT_VISIBILITY)
    return visibility == "private" and (not run.owner or run.owner != principal.name or bool(principal.viewed_by))


def _shows_runs(endpoint: str) -> bool:
    arguments = request.view_args or {}
    return "run_id" in arguments or endpoint in EXPORTS or endpoint.startswith(("charts.", *COMPARING))


def _runs_of_request() -> Iterator[RunRecord]:
    """The runs that the address names; those that are not there raise as they would in the view."""
    store = current_store()
    arguments = request.view_args or {}
    if "run_id" in arguments:
        yield store.load_run(arguments["run_id"])
    elif "runs" in request.args:
        asked = list(_asked_runs())
        yield from (head.run for head in store.load_heads(asked, ()) if head is not None)


def _asked_runs() -> Iterable[Any]:
    if (request.endpoint or "").startswith(COMPARING):
        # As the page reads it, which refuses no link.
        return [parse_run_id(str(key)) for key in parse_compare(request.args).runs]
    return parse_run_ids(request.args, most=200)


def _note_once(action: str, run: RunRecord, **details: Any) -> None:
    principal = current_principal()
    target = f"run {shown_id(run.id)}"
    database = current_database()
    if database.path:
        details["database"] = database.name
    who = (principal.name, principal.kind, principal.viewed_by, request.remote_addr)
    look = (*who, action, target, repr(sorted(details.items())))
    if _is_recent(look):
        return
    note(action, target=target, project=run.project, **details)
    _remember(look)


def _is_recent(look: tuple[object, ...]) -> bool:
    with _lock:
        noted = _recent.get(look)
    return noted is not None and time.monotonic() - noted < SAME_LOOK_SECONDS


def _remember(look: tuple[object, ...]) -> None:
    with _lock:
        _recent[look] = time.monotonic()
        _recent.move_to_end(look)
        while len(_recent) > _MOST_REMEMBERED:
            _recent.popitem(last=False)


def _file_of_request(run: RunRecord) -> dict[str, str]:
    """The name of the file that is asked for, as the run has it."""
    arguments = request.view_args or {}
    if "key" in arguments:
        from .run_artifacts_page import artifact_key

        entries = [*run.artifacts, *(ArtifactEntry(r.path, r.file_id, None, r.size, None, None) for r in run.resources)]
        named = [entry.name for entry in entries if artifact_key(entry) == str(arguments["key"]).removeprefix("r")]
    elif "file_id" in arguments:
        named = [entry.name for entry in run.artifacts if str(entry.file_id) == arguments["file_id"]]
    else:
        named = [str(value) for name, value in arguments.items() if name != "run_id"]
    return {"file": named[0]} if named else {}
