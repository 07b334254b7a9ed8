"""The zone of whoever reads a page: their browser says it in a cookie, and every time on the page is written in it.

A cookie and not a script that rewrites times, because many stand within sentences, and because what HTMX and live
updates bring is then right as well. static/js/times.js sets it; on the very first page it loads that page once more
if the server's own zone was another one.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from flask import Flask, request

from ..observer.wording import in_reader_zone, read_in_zone

COOKIE = "cloister_zone"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", re.ASCII)


def bind_reader_zone(app: Flask) -> None:
    """Have each request write times as its reader's clock has them."""

    @app.before_request
    def choose() -> None:
        read_in_zone(find_zone(request.cookies.get(COOKIE, "")))

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        read_in_zone(None)  # the thread goes on to others, and to what is no request

    app.jinja_env.globals["zone_minutes"] = zone_minutes
    app.jinja_env.filters["in_zone"] = in_reader_zone


@lru_cache(maxsize=64)
def find_zone(name: str) -> tzinfo | None:
    """The zone of an IANA name; None, the server's own, for anything else."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # no such zone, or a folder of zones, or no database of zones here
        return None


def zone_minutes() -> int:
    """How far east of UTC the times of this page are written, now."""
    offset = in_reader_zone(datetime.now().astimezone()).utcoffset() or timedelta()
    return round(offset.total_seconds() / 60)
