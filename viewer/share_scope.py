"""What a share link lets through: addresses below /s/<secret>/, who sees one run, and a closed list of views."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request

from ..observer.errors import CloisterError
from ..observer.policy import load_policy
from ..observer.runs import RunNotFound
from .errors_page import Problem, render_problem
from .run_keys import run_key, shown_id
from .share_links import Share, count_use, find_share
from .store_access import DATABASE_KEY, SHARE_KEY, current_database, home_database, served_databases

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger("cloister")

PATH_OF_LINKS = "/s/"
START_PATH = "/shared"
_LINK = re.compile(f"{PATH_OF_LINKS}(?P<secret>[A-Za-z0-9_-]{{43}})(?P<rest>/.*|)", re.ASCII | re.DOTALL)

# The same for whoever comes, with or without a link; they show nothing of a run.
_FRAME = frozenset({"static", "bokeh_assets.send_bokeh_script", "pdf_frame.send_frame_file", "pdf_frame.show_frame"})
_START = "share_page.show_shared"
_RUN_PAGES = frozenset(
    (
        "run.show_run",
        "run_artifacts_page.show_artifacts",
        "run_charts_page.show_charts",
        "run_config.show_config",
        "run_console_page.show_console",
        "run_environment_page.show_environment",
        "run_source_page.show_source",
        "run_system_page.show_system",
    )
)
_RUN_PARTS = frozenset(
    (
        "run.show_header",
        "run.show_overview_part",
        "run_artifacts_page.download_artifact",
        "run_artifacts_page.play_media",
        "run_artifacts_page.send_pdf",
        "run_artifacts_page.show_image",
        "run_artifacts_page.show_list",
        "run_console_page.download_console",
        "run_console_page.show_lines",
        "run_console_page.search_lines",
        "run_environment_page.download_requirements",
        "run_source_page.download_diff",
        "run_source_page.download_source",
    )
)
_EMPTY_CHART = "charts.send_line_chart"  # what every chart is drawn with; nothing of any run is in it
_OF_CHARTS = {
    "charts.search_charts",
    "charts.send_curves",
    "charts.send_points",
    "charts.send_sections",
    "charts.send_sparks",
    "charts.send_system_strip",
}


def _is_of_run(share: Share) -> bool:
    arguments = request.view_args or {}
    asked = [str(run_key(arguments["run_id"]))] if "run_id" in arguments else _keys_in_query()
    return bool(asked) and all(key == str(run_key(share.run_id)) for key in asked)


def _keys_in_query() -> list[str]:
    return [part.strip() for text in request.args.getlist("runs") for part in text.split(",") if part.strip()]


def _opens_run(share: Share, endpoint: str) -> bool:
    return endpoint == _EMPTY_CHART or (endpoint in _RUN_PAGES | _RUN_PARTS | _OF_CHARTS and _is_of_run(share))


def _opens_chart(share: Share, endpoint: str) -> bool:
    metrics = request.args.getlist("metric")
    is_chart = endpoint in ("charts.send_curves", "charts.send_points") and metrics == [share.what]
    return endpoint == _EMPTY_CHART or (is_chart and _is_of_run(share) and not _asks_for_more())


def _asks_for_more() -> bool:
    """Whether a chart would show other metrics than its own, or config: as an expression, as x, or as a group."""
    axis = request.args.get("axis", "step")
    return axis not in ("step", "relative", "wall") or "expression" in request.args or "group" in request.args


def _opens_artifact(share: Share, endpoint: str) -> bool:
    return endpoint in (
        "share_page.download_shared",
        "share_page.play_shared_media",
        "share_page.send_shared_pdf",
        "share_page.show_shared_image",
    )


# A kind of link and what it opens beside its own start page. Whatever no row lets through is not there.
SCOPES: dict[str, Callable[[Share, str], bool]] = {
    "run": _opens_run,
    "chart": _opens_chart,
    "artifact": _opens_artifact,
}


def with_share_paths(application: WSGIApplication, otherwise: WSGIApplication) -> WSGIApplication:
    """The application as it is reached through links: their prefix is where it is mounted, so its addresses keep it.

    Args:
        otherwise: what answers all other addresses.
    """

    def routed(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        environ.pop(SHARE_KEY, None)
        found = _LINK.fullmatch(environ.get("PATH_INFO", ""))
        if found is not None:
            environ = dict(environ)
            environ[SHARE_KEY] = found["secret"]
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + PATH_OF_LINKS + found["secret"]
            rest = found["rest"]
            environ["PATH_INFO"] = START_PATH if rest in ("", "/") else rest
            return application(environ, start_response)
        return otherwise(environ, start_response)

    return routed


def limit_to_links(app: Flask) -> None:
    """Have each request through a link see what the link opens, and nothing else. Before any other rule is asked."""
    app.before_request(_enter_by_link)
    app.after_request(_hide_from_searches)
    app.jinja_env.globals["current_share"] = current_share


def current_share() -> Share | None:
    """The link that this request came by."""
    share: Share | None = g.get("share")
    return share


def _enter_by_link() -> Response | None:
    secret = request.environ.get(SHARE_KEY)
    if secret is None or request.endpoint in _FRAME:
        return None
    from .accounts.current import Identity  # accounts know nothing of links, and need not be imported for others

    g.identity = Identity(_nobody())
    share = find_share(home_database(), secret)
    if share is None:
        return _nothing_there()
    reason = _why_closed(share)
    if reason:
        _note_refusal(share, reason)
        return _nothing_there()
    endpoint = request.endpoint or ""
    if request.method not in ("GET", "HEAD") or not (endpoint == _START or SCOPES[share.kind](share, endpoint)):
        return _nothing_there()
    principal = share.principal()
    g.share, g.identity = share, Identity(principal, own=principal)
    if endpoint == _START or endpoint in _RUN_PAGES:
        _count(share)
    return None


def _why_closed(share: Share) -> str:
    """Why the link opens nothing now; "" if it does. What cannot be found out means that it does not."""
    if share.state != "open":
        return share.state
    try:
        if not load_policy(home_database()).share_links:
            return "off by policy"
    except (CloisterError, OSError) as error:
        logger.error("Share links are closed: %s", error)
        return "the policy cannot be read"
    database = next((served for served in served_databases() if served.path == share.database), None)
    if database is None:
        return "its database is not served"
    request.environ[DATABASE_KEY] = database
    return _why_not_by_maker(share)


def _why_not_by_maker(share: Share) -> str:
    """A link opens what its maker may share today, not on the day when it was made."""
    from ..observer.access.memberships import load_principal
    from .accounts.users import find_user

    store = current_database().access.get()
    try:
        run = store.load_run(share.run_id)
    except RunNotFound:
        return "the run is gone"
    if not share.made_by:
        return ""
    user = find_user(home_database(), share.made_by)
    if user is None or user.is_disabled:
        return "its maker has no account any more"
    maker = load_principal(home_database(), user.name, site=user.site)
    return "" if maker.may("manage", run=run) else "its maker may not share the run any more"


def _count(share: Share) -> None:
    from .audit_notes import note

    note("share-used", target=f"run {shown_id(share.run_id)}", project=share.project, opens=share.kind)
    count_use(home_database(), share)


def _note_refusal(share: Share, reason: str) -> None:
    from .audit_notes import note

    note("share-refused", target=f"run {shown_id(share.run_id)}", project=share.project, link=share.key, reason=reason)


def _nobody() -> Any:
    from ..observer.access.principal import NOBODY

    return NOBODY


def _nothing_there() -> Response:
    """One answer for links that never were, are over, or open something else."""
    return render_problem(
        Problem(
            404,
            "This link opens nothing",
            "It may have expired or been revoked, or it opens another page. Ask whoever sent it for a new one.",
            action_label="To the viewer",
            action_url=None,
        )
    )


def _hide_from_searches(response: Response) -> Response:
    if SHARE_KEY in request.environ:
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response
