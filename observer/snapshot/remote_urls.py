"""A git remote's address without whatever in it could let somebody in."""

from __future__ import annotations

import re

LEFT_OUT = "(left out: it may hold a password)"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HELPER = re.compile(r"([A-Za-z0-9][A-Za-z0-9+._-]*)::(.*)", re.DOTALL)
_SCP = re.compile(r"([^@/:]+)@([^@/:]+|\[[0-9A-Fa-f:.]+\]):(.*)", re.DOTALL)
_AUTHORITY_END = re.compile(r"[/?#]")
_HOST = re.compile(r"([A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def without_credentials(url: str) -> str:
    """Return `url` so that it still says where the repository is, but lets nobody in.

    User names go with the passwords, because a forge takes a token in either place. The one that stays is `git` of ssh
    addresses, which everybody has and without which the address could not be pasted. Queries and fragments go too.
    Where a password cannot be told from the rest, the rest goes.
    """
    url = _UNPRINTABLE.sub("", url.strip())
    if match := _HELPER.fullmatch(url):
        helper, address = match.groups()
        # `ext::` is followed by a command line, in which anything may stand.
        return f"{helper}::{LEFT_OUT if helper.lower() == 'ext' else without_credentials(address)}"
    if match := _SCHEME.fullmatch(url):
        return _clean_address(*match.groups())
    if match := _SCP.fullmatch(url):
        user, host, path = match.groups()
        return f"git@{host}:{path}" if user == "git" else f"{host}:{path}"
    return LEFT_OUT if "@" in url.partition("/")[0] else url


def _clean_address(scheme: str, rest: str) -> str:
    end = _AUTHORITY_END.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    user, _, host = authority.rpartition("@")
    # A password with an unescaped "/", "?" or "#" ends the authority too early: what follows then holds the "@".
    if not _HOST.fullmatch(host) or ("@" in path and ":" in authority):
        return f"{scheme}://{LEFT_OUT}"
    if "@" in path and not user:
        path = path[: path.index("@")].rpartition("/")[0] + f"/{LEFT_OUT}"
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    keep = "git@" if scheme.lower() in {"ssh", "git+ssh", "ssh+git"} and user == "git" else ""
    return f"{scheme}://{keep}{host}{path}"
