"""Addresses of further databases: all below /db/<name>/ is what the first database has at the root."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .store_access import DATABASE_KEY, ServedDatabase

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATHS_OF_DATABASES = "/db/"
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_NAMED = re.compile(f"{PATHS_OF_DATABASES}(?P<name>{NAME_PATTERN})(?P<rest>/.*|)", re.ASCII | re.DOTALL)


def path_of(name: str) -> str:
    return PATHS_OF_DATABASES + name


def with_database_paths(application: WSGIApplication, databases: Sequence[ServedDatabase]) -> WSGIApplication:
    """The same application for every database.

    To the application the prefix is where it is mounted (SCRIPT_NAME), so that the addresses it makes stay within the
    database. The first database answers under its name too, without a prefix: a link with its name goes on working
    when another database becomes the first.
    """
    named = {database.name: database for database in databases}

    def routed(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        found = _NAMED.fullmatch(environ.get("PATH_INFO", ""))
        database = named.get(found["name"]) if found else None
        if found is not None and database is not None:
            environ = dict(environ)
            environ[DATABASE_KEY] = database
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + database.path
            environ["PATH_INFO"] = found["rest"] or "/"
        return application(environ, start_response)

    return routed
