"""`cloister serve`: the dashboard in the browser."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.logging import RichHandler

from ..observer.errors import CloisterError
from ..observer.mongo import first_sentence

if TYPE_CHECKING:
    from flask import Flask

    from ..observer.settings import Settings
    from .server import ViewerServer
    from .store_access import ServedDatabase

DEFAULT_PORT = 6390


class OpenToTheNetwork(CloisterError, PermissionError):
    """The viewer was told to listen beyond this machine although nobody has to log in, or anybody can listen in."""

    def __init__(self, host: str, port: int, lacks: str) -> None:
        super().__init__(
            f"--host {host} would show every run to everyone who can reach this machine: {lacks}. Leave --host out and "
            f"come through an SSH tunnel (ssh -L {port}:127.0.0.1:{port} this-machine); or make an account ('cloister "
            "user add NAME --admin') and pass --tls-cert and --tls-key, or --trusted-proxy for a proxy that ends TLS; "
            "or add --insecure-no-login if everyone on that network may see everything."
        )


class AccountsUnknown(CloisterError, ConnectionError):
    """Whether there are accounts cannot be known, and an open viewer must not start on a guess."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(
            f"--host {host} needs accounts, and the database does not say whether there are any: {reason}. Start the "
            "viewer again when the database answers."
        )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@click.option("--uri", help="MongoDB URI; when left out the settings decide, else the embedded database is used.")
@click.option(
    "--collections",
    default="",
    metavar="PREFIX",
    help="Show the runs in collections of other names: Sacred's prefix, such as lab_, or runs=mine.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="[NAME=]DATABASE[:PREFIX]",
    help="A further database to show under /db/NAME/: one of the same server ('sacred', 'lab:prefix_') or another "
    "server's ('old=mongodb://host/sacred'). May be repeated; the setting 'databases' does the same.",
)
@click.option("--read-only", is_flag=True, help="Change nothing in any database; the pages say so.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A further name that this viewer is reached by, as in the address bar. May be repeated.",
)
@click.option(
    "--tls-cert", type=click.Path(dir_okay=False, path_type=Path), help="Certificate with its chain, PEM; speaks TLS."
)
@click.option("--tls-key", type=click.Path(dir_okay=False, path_type=Path), help="Its key, PEM, readable to you alone.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="A reverse proxy's address or network: from there X-Forwarded-For and -Proto are believed. May be repeated.",
)
@click.option(
    "--identity",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that says how people of other systems sign in (OpenID Connect, LDAP, a proxy's header).",
)
@click.option("--insecure-no-login", is_flag=True, help="Listen beyond this machine although nobody has to log in.")
@click.option("--styleguide", is_flag=True, help="Show every component of the pages at /styleguide, to change them.")
@click.option("--open/--no-open", "open_browser", default=False, help="Open the dashboard in a browser.")
def serve(
    host: str,
    port: int,
    uri: str | None,
    collections: str,
    also: tuple[str, ...],
    read_only: bool,
    allowed_hosts: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    trusted_proxies: tuple[str, ...],
    identity: Path | None,
    insecure_no_login: bool,
    styleguide: bool,
    open_browser: bool,
) -> None:
    """Show the runs in a browser until Ctrl-C."""
    from ..observer.settings import load_settings  # these spare `cloister serve --help` Flask and PyMongo
    from .accounts.read_only_viewer import refuse_read_only
    from .app import create_app
    from .database_link import open_databases
    from .identity.opening import open_identity
    from .security import host_rule
    from .server import ViewerServer, listen
    from .tls import load_tls
    from .trusted_proxies import parse_trusted_proxies

    host = host.strip("[]")
    tls = load_tls(tls_cert, tls_key)
    proxies = parse_trusted_proxies(trusted_proxies)
    # Through a proxy on this machine, everybody whom it lets in comes from this machine.
    may_be_local = insecure_no_login or (is_loopback(host) and not proxies)
    if not may_be_local and tls is None and not proxies:  # before the embedded database is started for nothing
        raise OpenToTheNetwork(host, port or DEFAULT_PORT, "neither TLS nor a proxy protects what is sent")
    rule = host_rule(bound=host, allowed_hosts=allowed_hosts)
    sockets = listen(host, port)  # before the database, so that a port in use is told at once
    terminal = Console(stderr=True)
    _log_to(terminal)
    settings = load_settings(uri=uri)
    databases = open_databases(settings, collections=collections, also=also or settings.databases, only_read=read_only)
    if not may_be_local:
        refuse_without_accounts(host, port or DEFAULT_PORT, databases[0])
    if read_only:
        refuse_read_only(databases[0].access.get().database)
    outside = open_identity(identity or settings.identity, databases[0].access.get)
    app = create_app(
        databases,
        rule=rule,
        read_only=read_only,
        may_be_local=may_be_local,
        identity=outside,
        styleguide=styleguide,
    )
    server = ViewerServer(app, sockets, tls=tls, proxies=proxies)
    address = address_for_browsers(host, server.port, scheme="http" if tls is None else "https")

    threading.Thread(target=_read_ahead, args=(databases,), name="reading ahead", daemon=True).start()

    def announce() -> None:
        _say_where(address, databases, terminal, read_only=read_only)
        if open_browser:
            webbrowser.open(address)

    gc.freeze()  # code and templates stay until the end: a table of 50 ms spent 4 on seeing that
    with contextlib.nullcontext() if read_only else _keeping(app, databases, settings):
        asyncio.run(_serve_until_signalled(server, announce))


def _say_where(address: str, databases: Sequence[ServedDatabase], terminal: Console, *, read_only: bool) -> None:
    click.echo(f"Cloister is at {address}")
    for further in databases[1:]:
        click.echo(f"{address.rstrip('/')}{further.path}/ has {further.source}")
    reads = f"It reads {databases[0].source}{' and changes nothing there' if read_only else ''}."
    terminal.print(f"{reads} Ctrl-C ends it; the runs stay.", style="dim", highlight=False, soft_wrap=True)


def _read_ahead(databases: Sequence[ServedDatabase]) -> None:
    """What lists of many runs are answered from is read before somebody asks."""
    from pymongo.errors import PyMongoError

    for database in databases:
        with contextlib.suppress(PyMongoError, CloisterError):  # whoever asks is told
            columns = database.access.get().keeping_columns().columns
            if columns is not None:
                columns.prepare_where_many()


@contextlib.contextmanager
def _keeping(app: Flask, databases: Sequence[ServedDatabase], settings: Settings) -> Iterator[None]:
    """Beside the viewer the audit log is sealed, what has outlived its time deleted, a purge that was cut off ended."""
    from ..observer.audit.sightings import keep_evidence_in, seal_every_day
    from .retention_keeper import KEEPER, RetentionKeeper

    keep_evidence_in(settings.data_folder / "audit")
    seal_every_day(lambda: databases[0].access.get().database)
    keeper = app.extensions[KEEPER] = RetentionKeeper([database.access for database in databases])
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()


def refuse_without_accounts(host: str, port: int, database: ServedDatabase) -> None:
    """Return if everybody has to say who they are.

    Raises:
        OpenToTheNetwork: there are no accounts.
        AccountsUnknown: the database did not say.
    """
    from pymongo.errors import PyMongoError

    from .accounts.users import has_users

    try:
        guarded = has_users(database.access.get().database)
    except PyMongoError as error:
        raise AccountsUnknown(host, first_sentence(error)) from error
    if not guarded:
        raise OpenToTheNetwork(host, port, "it has no accounts yet")


async def _serve_until_signalled(server: ViewerServer, announce: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C is a KeyboardInterrupt there
            loop.add_signal_handler(number, server.stop)
    await server.run(announce)


def _log_to(terminal: Console) -> None:
    """Warnings of ours and of the server on the terminal, one line each."""
    handler = RichHandler(console=terminal, show_path=False, markup=False, rich_tracebacks=False)
    for name in ("cloister", "tornado"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    logging.getLogger("tornado.access").setLevel(logging.ERROR)  # a 404 is the visitor's affair


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`. A name other than localhost may change."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def address_for_browsers(host: str, port: int, *, scheme: str = "http") -> str:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            host = "127.0.0.1"  # the one address of all those listened on that is sure to work here
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
