"""The environment tab: the command, the machine, Python and every installed distribution of a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, render_template

from .environment_facts import describe_command, describe_environment
from .run_keys import run_key
from .run_processes import list_ranks
from .run_start_words import describe_start
from .store_access import current_store
from .user_files import render_user_file

if TYPE_CHECKING:
    from ..observer.run_record import RunId, RunRecord

bp = Blueprint("run_environment_page", __name__)

DISTRIBUTIONS_SHOWN = 3000
# What pip reads as a requirement on its own line; anything else would be an option or another command of its language.
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}==[A-Za-z0-9][A-Za-z0-9.!+_-]{0,100}")


@bp.get("/runs/<run:run_id>/environment")
def show_environment(run_id: RunId) -> str:
    run = current_store().load_run(run_id)
    start = describe_start(run)
    return render_template(
        "run/environment.html",
        run=run,
        active_tab="environment",
        command=describe_command(run.argv),
        groups=(*([start] if start else []), *describe_environment(run.environment)),
        ranks=list_ranks(run),
        distributions=[text.partition("==") for text in list_distributions(run)[:DISTRIBUTIONS_SHOWN]],
        editable=_texts(run.environment.get("editable_distributions")),
        notes=_texts(run.environment.get("notes")),
    )


@bp.get("/runs/<run:run_id>/environment/requirements.txt")
def download_requirements(run_id: RunId) -> Response:
    """The installed distributions as `pip install -r` takes them; what pip would not read as a version is left out."""
    run = current_store().load_run(run_id)
    lines = [text for text in list_distributions(run) if REQUIREMENT.fullmatch(text)]
    if not lines:
        abort(404)
    # The key, not the id: one of text may hold line breaks, and pip would install what stands after them.
    content = f"# Installed when run {run_key(run.id)} started\n" + "\n".join(lines) + "\n"
    return render_user_file([content.encode()], name=f"run-{run.id}-requirements.txt", content_type="text/plain")


def list_distributions(run: RunRecord) -> list[str]:
    """`name==version` of each installed distribution, by name."""
    return sorted(_texts(run.environment.get("distributions")), key=str.lower)


def _texts(value: object) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, (list, tuple)) else []
