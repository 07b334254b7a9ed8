"""What `cloister user` and `cloister token` share: the database, the audit log, how lists are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from pymongo.errors import PyMongoError

from ...observer.account import host_name, login_name
from ...observer.audit import record_entry
from ...observer.errors import CloisterError
from ...observer.mongo import check, first_sentence, stored_for_good
from ...observer.store_connection import open_database
from .passwords import LONGEST_PASSWORD

if TYPE_CHECKING:
    from pymongo.database import Database

uri_option = click.option(
    "--uri", help="MongoDB URI; when left out the settings decide, else the embedded database is used."
)


class NothingTyped(CloisterError, ValueError):
    """A password was to come by standard input, and did not."""

    def __init__(self) -> None:
        super().__init__("--password-stdin reads the password from standard input, up to a line's end; nothing came.")


class NotDone(CloisterError, ConnectionError):
    """The database refused what a command asked for."""

    def __init__(self, reason: object) -> None:
        super().__init__(f"The database did not do it: {first_sentence(reason)}. Nothing else was changed.")


@contextmanager
def accounts_database(uri: str | None) -> Iterator[Database[dict[str, Any]]]:
    """The database whose accounts are meant. What it refuses is told in a sentence."""
    database = stored_for_good(open_database(uri, "", read_only=False))
    try:
        check(database.client)
        yield database
    except PyMongoError as error:
        raise NotDone(error) from error
    finally:
        database.client.close()


def note_command(database: Database[dict[str, Any]], action: str, target: str, **details: Any) -> None:
    """Into the audit log, before it is done: whoever has the database's password did this, on this machine."""
    record_entry(database, actor=f"{login_name()}@{host_name()}", action=action, target=target, details=details)


def read_password(from_stdin: bool, question: str = "Password") -> str:
    """Typed unseen and twice, or the first line of standard input. Never an argument, which others could see."""
    if not from_stdin:
        typed: str = click.prompt(question, hide_input=True, confirmation_prompt="Once more")
        return typed
    line = sys.stdin.readline(LONGEST_PASSWORD * 8).rstrip("\r\n")
    if not line:
        raise NothingTyped
    return line


def print_rows(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as what is in them."""
    widths = [max(len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
    for row in (titles, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def day(time: datetime | None) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M") if time else "-"
