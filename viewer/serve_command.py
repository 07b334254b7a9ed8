"""`cloister serve`: the dashboard in the browser."""

from __future__ import annotations

import asyncio
import signal
import socket
import webbrowser

import click
from rich.console import Console

from ..observer.errors import CloisterError

DEFAULT_PORT = 6390
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class OpenToTheNetwork(CloisterError, PermissionError):
    """The viewer was told to listen beyond this machine although nobody has to log in."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"--host {host} would show every run to everyone who can reach this machine: this viewer has no accounts "
            "yet. Leave --host out and use an SSH tunnel (ssh -L 6390:127.0.0.1:6390 this-machine), or add "
            "--insecure-no-login if everyone on that network may see and change everything."
        )


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@click.option("--uri", default=None, help="MongoDB URI; the settings decide when left out, else the embedded database.")
@click.option("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME", help="Further name this viewer has.")
@click.option("--insecure-no-login", is_flag=True, help="Listen beyond this machine although nobody has to log in.")
@click.option("--open/--no-open", "open_browser", default=False, help="Open the dashboard in a browser.")
def serve(
    host: str, port: int, uri: str | None, allowed_hosts: tuple[str, ...], insecure_no_login: bool, open_browser: bool
) -> None:
    """Show the runs in a browser until Ctrl-C."""
    from ..observer.mongo import client_for, database_name, resolve_uri
    from ..observer.runs import RunStore
    from ..observer.settings import load_settings
    from .app import create_app
    from .async_client import open_async_client
    from .security import host_rule
    from .server import ViewerServer, listen

    if not is_loopback(host) and not insecure_no_login:
        raise OpenToTheNetwork(host)
    sockets = listen(host, port)
    settings = load_settings(uri=uri)
    resolved = resolve_uri(settings)
    store = RunStore(client_for(resolved)[database_name(resolved, settings)])
    app = create_app(store, rule=host_rule(bound=host, allowed_hosts=allowed_hosts))
    server = ViewerServer(app, sockets, open_client=lambda: open_async_client(resolved, settings.async_driver))
    address = address_for_browsers(host, server.port)

    def announce() -> None:
        click.echo(f"Cloister is at {address}")
        if open_browser:
            webbrowser.open(address)

    asyncio.run(_serve_until_signalled(server, announce))
    Console(stderr=True).print("Stopped. The runs stay where they are.", style="dim")


async def _serve_until_signalled(server, announce) -> None:  # type: ignore[no-untyped-def]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    await server.run(announce)


def is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def address_for_browsers(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  # compared, not listened on
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
