"""How pages write times, durations, numbers, sizes and counts: `observer.wording` as template filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..observer.wording import (
    MAX_DIGITS,
    MIN_DIGITS,
    MINUS,
    MISSING,
    count_noun,
    format_ago,
    format_clock_time,
    format_column,
    format_config_value,
    format_count,
    format_date,
    format_difference,
    format_duration,
    format_exact,
    format_iso,
    format_number,
    format_size,
)

if TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "MAX_DIGITS",
    "MINUS",
    "MIN_DIGITS",
    "MISSING",
    "count_noun",
    "format_ago",
    "format_clock_time",
    "format_column",
    "format_config_value",
    "format_count",
    "format_date",
    "format_difference",
    "format_duration",
    "format_exact",
    "format_iso",
    "format_number",
    "format_size",
    "register_wording",
]


def register_wording(app: Flask) -> None:
    """Make the functions below known to the templates."""
    app.jinja_env.filters.update(
        ago=format_ago,
        clock_time=format_clock_time,
        iso=format_iso,
        duration=format_duration,
        number=format_number,
        exact=format_exact,
        size=format_size,
        count=format_count,
        counted=count_noun,
        config_value=format_config_value,
    )
