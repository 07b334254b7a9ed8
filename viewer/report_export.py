"""A report as one HTML file that needs nothing else: figures, BokehJS, styles are in it, and it may fetch nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flask import current_app, render_template
from markupsafe import Markup

from .bokeh_assets import script_folder
from .bokeh_figures import figures_of_a_file
from .report_blocks import parse_report
from .report_rendering import Shown, render_parts

if TYPE_CHECKING:
    from ..observer.reports import Report
    from ..observer.runs import RunStore

STYLES = ("tokens", "base", "components", "markdown", "figures", "reports", "report_file")
_OWN_ADDRESS = re.compile(r' href="(?!https?:|mailto:|#)[^"]*"')


def export_report(store: RunStore, report: Report, *, exporter: str, shown: Shown) -> str:
    """The file's text. `shown` then has the runs that are in it: those that the store's reader sees."""
    shown.for_file = True
    with figures_of_a_file():
        parts = render_parts(store, parse_report(report.text, report.project), shown)
    # A file has no viewer behind it: what led to one of its pages is text there.
    parts = [Markup(_OWN_ADDRESS.sub("", part)) for part in parts]  # noqa: S704  # less of what is safe already
    has_figures = any("data-figure-json" in part for part in parts)
    scripts = [_script("bokeh.min.js"), _own_script("js/bokeh_figures.js")] if has_figures else []
    return render_template(
        "reports/file.html",
        report=report,
        parts=parts,
        exporter=exporter,
        exported_at=datetime.now(timezone.utc),
        styles=[Markup(_own_text(f"css/{name}.css")) for name in STYLES],  # noqa: S704  # ours
        scripts=scripts,
        policy=_policy(scripts),
    )


def _policy(scripts: list[Markup]) -> str:
    """Only these scripts run, and nothing is asked of any server."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _script(name: str) -> Markup:
    return _within_script((script_folder() / name).read_text(encoding="utf-8"))


def _own_script(name: str) -> Markup:
    return _within_script(_own_text(name))


def _within_script(text: str) -> Markup:
    """A script that nothing in it ends early."""
    return Markup(re.sub(r"</(?=script)|<(?=!--)", lambda found: found.group().replace("<", "\\x3c"), text, flags=re.I))  # noqa: S704  # ours, and Bokeh's


def _own_text(name: str) -> str:
    return (Path(current_app.static_folder or "") / name).read_text(encoding="utf-8")
