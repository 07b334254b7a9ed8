"""`cloister keys` and `cloister forget-key`: the keys of projects whose runs are encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from ..account import host_name, login_name
from ..amounts import count_of
from ..errors import CloisterError
from ..settings import load_settings
from .key_providers import KeyProvider, open_provider

if TYPE_CHECKING:
    from pymongo.database import Database

    from .key_care import ProjectKeys
    from .key_file import KeyFile

uri_option = click.option("--uri", help="MongoDB URI; when left out the settings decide.")


class NotAFile(CloisterError, ValueError):
    """Keys that never leave their server were to be written to a file."""

    def __init__(self, provider: KeyProvider) -> None:
        super().__init__(
            f"The keys are in {provider.where}, and not handed out as files. Other machines ask the same one: set "
            "CLOISTER_KEYS there."
        )


class BadKeyFile(CloisterError, OSError):
    """A key file cannot be written, or is none."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """Keys of projects whose runs are encrypted. Without a project's key nobody reads them, not in the database."""


@keys.command("ls")
@uri_option
def list_all(uri: str | None) -> None:
    """List the projects that have keys, and whether they can be used here."""
    from .key_care import list_keys

    settings = load_settings()
    provider = open_provider(settings)
    with _opened(uri) as database:
        found = list_keys(database, provider)
    if not found:
        click.echo(f"No project has a key. 'cloister keys add PROJECT' makes one, in {provider.where}.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("Project", "Here", "Version", "Data keys", "Made"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(each.project, *_row(each))
    Console(highlight=False).print(table)
    click.echo(f"Keys: {provider.where}")


@keys.command()
@click.argument("project")
@uri_option
def add(project: str, uri: str | None) -> None:
    """Make the key of PROJECT. What of its runs is encrypted by it, the policy or the setting `encrypt` says."""
    from .key_care import add_key

    settings = load_settings()
    provider = open_provider(settings)
    with _opened(uri) as database:
        _note(database, "key-made", project, provider=provider.kind)
        state = add_key(database, project, provider, settings)
    click.echo(f"Project {project!r} has version {state.newest} of its key in {provider.where}.")
    if provider.kind == "file":
        click.echo("Keep a copy of that file, apart from copies of the database: whoever has both reads everything,")
        click.echo("and whoever loses it reads nothing of what it encrypted ever again.")


@keys.command()
@click.argument("project")
@click.option("--drop-old", is_flag=True, help="Destroy the old versions: older backups of the database open no more.")
@uri_option
def rotate(project: str, drop_old: bool, uri: str | None) -> None:
    """Give PROJECT a new version of its key. What is stored stays readable; new runs have a new data key."""
    from .key_care import rotate_key

    settings = load_settings()
    provider = open_provider(settings)
    with _opened(uri) as database:
        _note(database, "key-rotated", project, provider=provider.kind, drops_old=drop_old)
        state, count = rotate_key(database, project, provider, settings, drops_old=drop_old)
    click.echo(f"Project {project!r} has version {state.newest}; {count_of(count, 'data key')} wrapped anew.")
    if provider.kind == "file":
        click.echo(f"Other machines need it too: 'cloister keys export {project} FILE' here, 'keys import FILE' there.")


@keys.command()
@click.argument("project")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def export(project: str, path: Path) -> None:
    """Write the key of PROJECT to a new file PATH, for another machine: who has it reads what is encrypted."""
    key_file = _key_file(open_provider(load_settings()))
    try:
        key_file.export(project, path)
    except FileExistsError as error:
        raise BadKeyFile(path, "is there already and is not overwritten") from error
    except OSError as error:
        raise BadKeyFile(path, f"cannot be written: {error.strerror}") from error
    click.echo(f"Written to {path}, readable for you alone. Delete it once the other machine has taken it in.")


@keys.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--offline", is_flag=True, help="Do not ask the database which data key its runs use.")
@uri_option
def take_in(path: Path, offline: bool, uri: str | None) -> None:
    """Take the keys of the file PATH into this account's key file."""
    from .key_care import fetch_key
    from .key_file import KeyFile

    settings = load_settings()
    key_file = _key_file(open_provider(settings))
    taken = key_file.take_in(KeyFile(path))
    click.echo(f"Taken: {', '.join(taken)}." if taken else "All of it was here already.")
    if not offline:
        with _opened(uri) as database:
            for project in taken:
                fetch_key(database, project, key_file, settings)


@click.command()
@click.argument("project")
@click.option("--yes", is_flag=True, help="Do not ask.")
@uri_option
def forget_key(project: str, yes: bool, uri: str | None) -> None:
    """Destroy the key of PROJECT: what it encrypted, in backups too, can never be read again by anybody."""
    from .key_care import count_encrypted_runs, living_documents, refuse_if_held
    from .key_care import forget_key as forget

    settings = load_settings()
    provider = open_provider(settings)
    with _opened(uri) as database:
        refuse_if_held(database, project)
        runs, living = count_encrypted_runs(database, project), living_documents(database, project)
        if not living and provider.find(project) is None:
            click.echo(f"There is no key of project {project!r}, in the database or in {provider.where}.")
            raise SystemExit(1)
        if not yes:
            _ask(project, runs)
        _note(database, "key-forgotten", project, provider=provider.kind, runs=runs, data_keys=len(living))
        count = forget(database, project, provider, settings)
    click.echo(f"The key of project {project!r} is destroyed, with {count_of(count, 'data key')}.")
    if provider.kind == "file":
        click.echo("Copies of the key file on other machines, and backups of it, still open it: destroy these as well.")


def _ask(project: str, runs: int) -> None:
    click.echo(f"What is encrypted of {count_of(runs, 'run')} of project {project!r} can never be read again,")
    click.echo("in this database and in all backups of it. This cannot be undone.")
    if click.prompt("Type the project's name to destroy its key", default="", show_default=False) != project:
        raise click.Abort


def _row(each: ProjectKeys) -> tuple[str, str, str, str]:
    made = each.data_keys[0].made_at if each.data_keys else each.state.made_at if each.state else None
    if each.is_forgotten:
        when = f" on {each.forgotten_at:%Y-%m-%d}" if each.forgotten_at else ""
        return f"forgotten{when}", "-", str(len(each.data_keys)), ""
    here = "no" if each.state is None or each.problem else "yes"
    version = "-" if each.state is None else str(each.state.newest)
    return here, version, str(len(each.living)), f"{made:%Y-%m-%d}" if made else ""


def _key_file(provider: KeyProvider) -> KeyFile:
    from .key_file import KeyFile

    if not isinstance(provider, KeyFile):
        raise NotAFile(provider)
    return provider


def _note(database: Database[dict[str, Any]], action: str, project: str, **details: Any) -> None:
    """Into the audit log, before it is done."""
    from ..audit import record_entry

    actor = f"{login_name()}@{host_name()}"
    record_entry(database, actor=actor, action=action, target=f"key of {project}", project=project, details=details)


@contextmanager
def _opened(uri: str | None) -> Iterator[Database[dict[str, Any]]]:
    from ..mongo import check
    from ..store_connection import open_database

    database = open_database(uri, "", read_only=False)
    try:
        check(database.client)
        yield database
    finally:
        database.client.close()


__all__ = ["forget_key", "keys"]
