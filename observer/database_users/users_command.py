"""`cloister db users`: accounts of MongoDB for those who record, for the viewer and for admins, each with the least."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..account import host_name, login_name
from ..errors import CloisterError
from ..mongo import check, connect, database_name, resolve_uri
from ..run_collections import Collections
from ..settings import Settings, load_settings
from .kinds import KINDS
from .making import add_user, list_users, remove_user, renew_roles

if TYPE_CHECKING:
    from pymongo import MongoClient

KIND_NAMES = [kind.name for kind in KINDS]

uri_option = click.option("--uri", help="MongoDB URI of an account that may manage users; else the settings decide.")
collections_option = click.option("--collections", default="", metavar="PREFIX", help="As for 'cloister serve'.")


class UriFileExists(CloisterError, FileExistsError):
    """The URI of a new user was to go into a file that exists."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"--uri-file {path} exists already. Name a new file; nothing was made.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def users() -> None:
    """MongoDB's accounts for Cloister. People's accounts in the dashboard are made by 'cloister user'."""


@users.command()
@click.argument("name")
@click.option("--kind", "kind_name", type=click.Choice(KIND_NAMES), required=True, help="What it may do; see 'kinds'.")
@click.option("--x509", "subject", metavar="SUBJECT", help="Known by a certificate of this subject, without password.")
@click.option(
    "--uri-file", type=click.Path(dir_okay=False, path_type=Path), help="A new file for its URI, for your eyes only."
)
@uri_option
@collections_option
def add(
    name: str, kind_name: str, subject: str | None, uri_file: Path | None, uri: str | None, collections: str
) -> None:
    """Make the database user NAME, and its role with the rights that its kind needs."""
    if uri_file is not None and uri_file.exists():
        raise UriFileExists(uri_file)
    settings = load_settings(uri=uri)
    with _client(settings) as client:
        home = _home(settings)
        found = Collections.parse(collections)
        _note(client, home, "database-user-made", name, kind=kind_name, certificate=subject is not None)
        user = add_user(client, home, name, kind_name, subject=subject, collections=found)
    own_uri = user.uri(resolve_uri(settings))
    click.echo(f"{user.name} is a {user.kind} of the database {user.database!r}.", err=True)
    if uri_file is not None:
        _write_private(uri_file, own_uri)
        click.echo(f"Its URI is in {uri_file}; CLOISTER_URI_FILE takes that path.", err=True)
    else:
        click.echo("Its URI, shown this once:" if user.password else "Its URI:", err=True)
        click.echo(own_uri)
    if user.database != home:
        click.echo(f"Show its runs too: cloister serve --also {name}={user.database}", err=True)


@users.command(name="ls")
@uri_option
def list_all(uri: str | None) -> None:
    """List the database users of this database and of the recorders' own ones."""
    settings = load_settings(uri=uri)
    with _client(settings) as client:
        found = list_users(client, _home(settings))
    for user in found:
        click.echo(f"{user.name:24} {user.kind:14} {user.database}")
    if not found:
        click.echo("No database users yet. Make one: cloister db users add NAME --kind viewer", err=True)


@users.command()
@click.argument("name")
@uri_option
def remove(name: str, uri: str | None) -> None:
    """Take away the access of the database user NAME. Its runs stay."""
    settings = load_settings(uri=uri)
    with _client(settings) as client:
        _note(client, _home(settings), "database-user-removed", name)
        user = remove_user(client, _home(settings), name)
    click.echo(f"{user.name} cannot connect any more; the runs in {user.database!r} stay.")


@users.command()
@uri_option
@collections_option
def renew(uri: str | None, collections: str) -> None:
    """Give all roles the rights that this version of Cloister needs: after an update."""
    settings = load_settings(uri=uri)
    with _client(settings) as client:
        renewed = renew_roles(client, _home(settings), Collections.parse(collections))
    click.echo(f"Roles renewed in {', '.join(renewed)}." if renewed else "There are no roles of Cloister's yet.")


@users.command()
def kinds() -> None:
    """Say which kinds there are."""
    for kind in KINDS:
        click.echo(f"{kind.name:14} {kind.summary}")


@contextmanager
def _client(settings: Settings) -> Iterator[MongoClient[dict[str, Any]]]:
    with connect(settings) as client:
        check(client)
        yield client


def _home(settings: Settings) -> str:
    return database_name(resolve_uri(settings), settings)


def _note(client: MongoClient[dict[str, Any]], home: str, action: str, name: str, **details: Any) -> None:
    """Into the audit log before it is done: a user that the log does not know of is not made."""
    from ..audit import record_entry

    actor = f"{login_name()}@{host_name()}"
    record_entry(client[home], actor=actor, action=action, target=name, details=details)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
