"""Share links in the privacy pages, and the page on which one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for

from ..observer.policy import load_policy
from .run_artifacts_page import list_artifacts
from .run_keys import path_segment
from .share_changes import NoSuchLink, links_of, own_links, revoke, share_run
from .share_links import DEFAULT_DAYS, KINDS, BadShare, Share
from .store_access import current_store, home_database

if TYPE_CHECKING:
    from ..observer.run_record import RunId, RunRecord

bp = Blueprint("share_links", __name__)
_MOST_CHOICES = 500

bp.add_app_template_filter(path_segment, "run_path_part")


@bp.get("/privacy/links")
def show_links() -> str:
    return render_template("privacy/links.html", links=own_links(), policy=load_policy(home_database()))


@bp.post("/privacy/links/<key>/revoke")
def revoke_link(key: str) -> Response:
    try:
        revoke(key)
    except NoSuchLink as error:
        abort(404, str(error))
    return redirect(url_for("share_links.show_links"), 303)  # type: ignore[return-value]


@bp.get("/runs/<run:run_id>/share")
def show_form(run_id: RunId) -> str:
    return _render(current_store().load_run(run_id))


@bp.post("/runs/<run:run_id>/share")
def make_link(run_id: RunId) -> str | tuple[str, int]:
    """The link is on the answer to this request and on no other page."""
    run = current_store().load_run(run_id)
    kind = request.form.get("kind", "")
    if kind not in KINDS:
        abort(400, f"A link opens {' or '.join(KINDS)}, and not {kind[:40]!r}.")
    try:
        share, path = share_run(
            run,
            kind=kind,
            what=request.form.get(kind, "") if kind != "run" else "",
            days=_parse_days(request.form.get("days", "")),
            remark=request.form.get("note", ""),
        )
    except BadShare as error:
        return _render(run, error=str(error)), 400
    return _render(run, made=share, address=request.host_url.rstrip("/") + path)


def _parse_days(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadShare(f"{text[:40]!r} is no number of days.") from None


def _render(run: RunRecord, *, made: Share | None = None, address: str = "", error: str = "") -> str:
    policy = load_policy(home_database())
    given: dict[str, Any] = {name: request.form.get(name) for name in ("kind", "chart", "artifact", "days", "note")}
    if request.method == "GET":
        given = {name: request.args.get(name) for name in given}
    metrics = [summary.name for summary in current_store().list_metrics(run.id)]
    return render_template(
        "shared/new.html",
        run=run,
        policy=policy,
        metrics=metrics[:_MOST_CHOICES],
        artifacts=[row for row in list_artifacts(run) if row.stored][:_MOST_CHOICES],
        links=links_of(run),
        made=made,
        address=address,
        error=error,
        given=given,
        default_days=f"{min(DEFAULT_DAYS, policy.share_link_days):g}",
    )
