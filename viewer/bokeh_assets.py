"""BokehJS, served from the installed bokeh package, so that no page asks a CDN."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, send_from_directory, url_for

bp = Blueprint("bokeh_assets", __name__)

# What a page with charts loads, in this order. The -gl file draws curves of many points by WebGL.
SCRIPTS = ("bokeh.min.js", "bokeh-gl.min.js")
ONE_YEAR_SECONDS = 365 * 24 * 3600


@bp.get("/static/bokeh/<version>/<name>")
def send_bokeh_script(version: str, name: str) -> Response:
    if version != _bokeh_version() or not name.endswith(".js"):
        abort(404)
    response = send_from_directory(script_folder(), name, mimetype="text/javascript", max_age=ONE_YEAR_SECONDS)
    response.cache_control.public = True
    response.cache_control.immutable = True
    return response


def script_urls() -> list[str]:
    """The addresses of the scripts that a page with charts needs; `bokeh_scripts()` in templates."""
    return [url_for("bokeh_assets.send_bokeh_script", version=_bokeh_version(), name=name) for name in SCRIPTS]


@cache
def _bokeh_version() -> str:
    import bokeh  # spares `cloister serve --help` half a second

    return str(bokeh.__version__)


@cache
def script_folder() -> Path:
    import bokeh

    return Path(bokeh.__file__).parent / "server" / "static" / "js"
