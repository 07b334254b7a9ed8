"""Where somebody wanted to go before signing in: a page of this viewer and nothing else."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

LONGEST_PATH = 2000
_PLAIN = re.compile(r"/[!-\[\]-~]*")  # one slash, then printable ASCII without backslash and space


def own_path(given: str | None) -> str:
    """`given` if it is the path of a page here, else the first page.

    Browsers read `//host`, `/\\host`, a tab in front of either, and `https:host` as other sites.
    """
    if not given or len(given) > LONGEST_PATH or not _PLAIN.fullmatch(given) or given.startswith("//"):
        return "/"
    try:
        parts = urlsplit(given)
    except ValueError:
        return "/"
    is_loop = parts.path.split("/")[1] in ("login", "logout")
    return "/" if parts.scheme or parts.netloc or is_loop else given
