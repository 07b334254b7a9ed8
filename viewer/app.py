"""The viewer as a Flask app: which pages there are and what all of them share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pymongo
from flask import Flask, g, has_request_context
from jinja2 import StrictUndefined

from . import bokeh_assets, errors_page, security, static_files, static_packing
from .access_rules import enforce_rules
from .accounts.binding import bind_accounts
from .audited_looks import note_looks
from .connection_limits import BODY_LIMIT_BYTES
from .database_paths import with_database_paths
from .identity.ways import bind_identity
from .rate_limit import RateLimit, limit_rate
from .reader_zone import bind_reader_zone
from .renamed_projects import follow_renamed
from .run_keys import path_segment, run_key, shown_id
from .share_scope import limit_to_links, with_share_paths
from .store_access import (
    ServedDatabase,
    StoreAccess,
    bind_databases,
    current_database,
    root,
    served_databases,
    shared_root,
)
from .url_converters import RunIdConverter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from ..observer.identity_settings import IdentitySettings
    from ..observer.run_record import RunId
    from ..observer.runs import RunStore

# One row per page or endpoint group: a module beside this one that has its blueprint as `bp`.
BLUEPRINTS = (
    "projects_page",
    "search_page",
    "runs_page",
    "run_exports",
    "run_page",
    "run_config_page",
    "charts",
    "workspace",
    "run_charts_page",
    "run_system_page",
    "run_console_page",
    "run_source_page",
    "run_artifacts_page",
    "run_environment_page",
    "pdf_frame",
    "compare_page",
    "explain_page",
    "reports_page",
    "report_edit_page",
    "redaction_page",
    "retention_page",
    "trash_page",
    "run_access_page",
    "privacy_frame",
    "people_page",
    "project_settings_page",
    "encryption_keys_page",
    "looking_page",
    "audit_page",
    "share_links_page",
    "share_page",
    "accounts.login_page",
    "accounts.profile_page",
    "accounts.second_factor_page",
    "api",
    "health",
    "bokeh_assets",
    "identity.oidc_page",
)


# The same bytes for every database.
SHARED_FILES = frozenset(
    {"static", "bokeh_assets.send_bokeh_script", "pdf_frame.send_frame_file", "pdf_frame.show_frame"}
)

# What a request may spend on the database, waiting for it to answer included. A thread is held no longer by a dead one.
LIVE_MARGIN_SECONDS = 5
DATABASE_SECONDS = 5


class ViewerApp(Flask):
    """Flask with our template rules: everything is escaped, a misspelt variable is an error."""

    jinja_options: dict[str, Any] = {  # noqa: RUF012  # Flask declares it as a plain class attribute
        "autoescape": True,
        "undefined": StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }

    def url_for(self, endpoint: str, /, **values: Any) -> str:  # type: ignore[override]
        """As Flask's; scripts and styles have one address for all databases, so that browsers keep one copy."""
        if endpoint not in SHARED_FILES or not has_request_context():
            return super().url_for(endpoint, **values)
        # A page names one file, the icons, a hundred times and more: half of its time went into that.
        known: dict[Any, str] = g.setdefault("shared_addresses", {})
        key = (endpoint, *sorted(values.items()))
        if key not in known:
            known[key] = shared_root() + super().url_for(endpoint, **values).removeprefix(root())
        return known[key]


def create_app(
    store: RunStore | StoreAccess | Sequence[ServedDatabase],
    *,
    rule: security.HostRule | None = None,
    allowed_hosts: Collection[str] = (),
    read_only: bool = False,
    may_be_local: bool = True,
    identity: IdentitySettings | None = None,
    api_rate: RateLimit | None = None,
    styleguide: bool = False,
) -> Flask:
    """The viewer over one database or several, a plain WSGI application.

    Args:
        store: what to read; a `StoreAccess` where it may change while the viewer runs; several databases, of which the
            first one lies at the root.
        rule: which Host headers are answered; loopback names and `allowed_hosts` when left out.
        allowed_hosts: further names that the viewer is reached by.
        read_only: refuse every request that could change a database, and say so on each page.
        may_be_local: whether everybody may see all while there are no accounts: where only this machine can ask.
        api_rate: how often each may ask the API.
        identity: further ways to sign in; where there are some, everybody has to.
        styleguide: whether /styleguide shows the components of pages, for those who change them.
    """
    app = ViewerApp(__package__ or __name__, template_folder="templates", static_folder="static")
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT_BYTES  # Tornado refuses more, other WSGI servers may not
    # Bokeh's JSON depends on the order of its keys, so jsonify must not sort them.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["run"] = RunIdConverter
    databases = _databases(store)
    bind_databases(app.extensions, databases)
    limited = _with_limited_database_time(app.wsgi_app)
    app.wsgi_app = with_share_paths(limited, with_database_paths(limited, databases))  # type: ignore[method-assign, assignment]
    security.protect(app, rule or security.host_rule(allowed_hosts=allowed_hosts), read_only=read_only)
    limit_to_links(app)
    bind_accounts(app, databases[0].access, may_be_local=may_be_local and identity is None)
    limit_rate(app, api_rate or RateLimit())
    enforce_rules(app)
    note_looks(app)
    follow_renamed(app)
    if identity is not None:
        bind_identity(app, identity)
    errors_page.register_error_pages(app)
    static_files.serve_with_long_caching(app)
    static_packing.pack_static_files(app)
    _prepare_templates(app, read_only)
    bind_reader_zone(app)
    for name in (*BLUEPRINTS, *(("styleguide_page",) if styleguide else ())):
        app.register_blueprint(import_module(f".{name}", __package__).bp)
    return app


def _prepare_templates(app: Flask, read_only: bool) -> None:
    """What the frame and addresses of every page are made with."""
    app.context_processor(_frame_defaults)
    app.jinja_env.globals.update(
        bokeh_scripts=bokeh_assets.script_urls,
        live_since=live_since,
        root=root,
        shared_root=shared_root,
        current_database=current_database,
        served_databases=served_databases,
        read_only=read_only,
    )
    app.jinja_env.filters.update(run_key=run_key, run_path=_run_path, shown_id=shown_id)


def _databases(store: RunStore | StoreAccess | Sequence[ServedDatabase]) -> Sequence[ServedDatabase]:
    if isinstance(store, Sequence):
        return store
    access = store if isinstance(store, StoreAccess) else StoreAccess(lambda: store)
    return (ServedDatabase("cloister", access),)


def _run_path(run_id: RunId) -> str:
    return f"{root()}/runs/{path_segment(run_id)}"


def _frame_defaults() -> dict[str, Any]:
    """What base.html asks for and pages outside a project, error pages among them, do not give."""
    return {"project_name": None, "nav_active": None, "run": None}


def _with_limited_database_time(application: WSGIApplication) -> WSGIApplication:
    """Everything up to the first byte of the answer within the limit; downloads may take as long as they take."""

    def limited(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        with pymongo.timeout(DATABASE_SECONDS):
            return application(environ, start_response)

    return limited


def live_since() -> str:
    """From when on a page that is rendered now wants to hear of changes: what happens before its stream is open counts.

    Some seconds early, for the clocks of the machines that record; hearing of a change twice costs one refresh.
    """
    return (datetime.now(timezone.utc) - timedelta(seconds=LIVE_MARGIN_SECONDS)).strftime("%Y-%m-%dT%H:%M:%SZ")
