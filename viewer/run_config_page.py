"""The config tab: every parameter of a run, what differs from its default, and a search."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from ..observer.run_record import RunId
from .config_sources import sources_of
from .config_tree import build_tree, info_of
from .run_start_words import given_paths, presets_of
from .store_access import current_store

SEARCH_LIMIT = 200

bp = Blueprint("run_config", __name__)


@bp.get("/runs/<run:run_id>/config")
def show_config(run_id: RunId) -> str:
    run = current_store().load_run(run_id)
    text = request.args.get("q", "")[:SEARCH_LIMIT]
    sources = sources_of(run)
    tree = build_tree(run.config, run.config_defaults, text, given_paths(run), sources)
    template = "run/config_tree.html" if request.headers.get("HX-Request") else "run/config.html"
    return render_template(
        template,
        run=run,
        active_tab="config",
        tree=tree,
        has_sources=bool(sources),
        info=build_tree(info_of(run), {}),
        presets=presets_of(run),
        text=text,
    )
