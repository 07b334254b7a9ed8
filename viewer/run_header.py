"""What stands above every tab of a run, in words: when it started, what it ran from, which tabs it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import request

from .encryption_words import describe_encrypted, is_encrypted
from .markdown_text import render_markdown
from .run_colours import cookie_name, parse_drawn
from .run_keys import run_key
from .run_processes import describe_ranks, describe_resumed, list_notable_ranks, list_resumes, own_metrics
from .run_start_words import queue_time_of, recorder_of
from .run_stop_words import describe_stop
from .store_access import root
from .wording import count_noun, format_clock_time, format_duration

if TYPE_CHECKING:
    from flask import Flask
    from markupsafe import Markup

    from ..observer.run_record import RunRecord


@dataclass(frozen=True)
class Tab:
    """A tab of the run page; `count` is what stands small behind its title."""

    name: str
    title: str
    path: str
    count: str = ""


def register_header_filters(app: Flask) -> None:
    """Make the words below known to the templates: the header stands on every module's tabs."""
    app.jinja_env.filters.update(
        run_tabs=list_tabs,
        run_slot=find_slot,
        started_and_ran=describe_time,
        git_words=describe_git,
        count_leaves=count_leaves,
        resumed_words=describe_resumed,
        ranks_words=describe_ranks,
        notable_ranks=list_notable_ranks,
        resumes=list_resumes,
        own_metrics=own_metrics,
        status_word=status_word,
        recorder=recorder_of,
        encrypts=is_encrypted,
        encrypted_words=describe_encrypted,
        stop_state=describe_stop,
        markdown=render_notes,
    )


def render_notes(text: str) -> Markup:
    """What people wrote in notes; headings come below the card's own."""
    return render_markdown(text, first_heading=3)


def find_slot(run: RunRecord) -> int:
    """The colour of the run among the drawn runs of its project, as this browser saw them last; else the first."""
    return parse_drawn(request.cookies.get(cookie_name(root(), run.project), "none")).slots.get(run_key(run.id), 1)


def list_tabs(run: RunRecord) -> tuple[Tab, ...]:
    changed = run.git.get("changed_count")
    return (
        Tab("overview", "Overview", ""),
        Tab("charts", "Charts", "/charts", _count(len(run.summary))),
        Tab("console", "Console", "/console"),
        Tab("config", "Config", "/config", _count(count_leaves(run.config))),
        Tab("source", "Source", "/source", f"{changed} changed" if isinstance(changed, int) and changed else ""),
        Tab("system", "System", "/system"),
        Tab("artifacts", "Files", "/artifacts", _count(len(run.artifacts) + len(run.resources)))
        if run.resources
        else Tab("artifacts", "Artifacts", "/artifacts", _count(len(run.artifacts))),
        Tab("environment", "Environment", "/environment"),
    )


def describe_time(run: RunRecord) -> str:
    """started 14:02, running for 1h 52m."""
    if run.start_time is None:
        queued = queue_time_of(run) if run.status == "queued" else None
        return f"queued {format_clock_time(queued)}" if queued else "not started"
    words = {"running": "running for", "queued": "waiting for", "lost": "last seen after"}.get(run.status, "ran for")
    return f"started {format_clock_time(run.start_time)}, {words} {format_duration(run.duration)}"


def status_word(run: RunRecord) -> str:
    """The status in a word; one that Sacred's users made up as they wrote it."""
    return run.custom_status or run.status.capitalize()


def describe_git(run: RunRecord) -> tuple[str, str] | None:
    """The short commit, and how many files differed from it; None where no commit is known."""
    commit = run.git.get("commit")
    if not isinstance(commit, str) or not commit:
        return None
    changed = run.git.get("changed_count")
    return commit[:7], f"+ {count_noun(changed, 'file')}" if isinstance(changed, int) and changed else ""


def count_leaves(config: Any) -> int:
    """How many values a config has, at any depth."""
    if isinstance(config, Mapping) and config:
        return sum(count_leaves(child) for child in config.values())
    return 0 if isinstance(config, Mapping) else 1


def _count(count: int) -> str:
    return f"{count:,}" if count else ""
