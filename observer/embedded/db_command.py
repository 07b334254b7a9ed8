"""`cloister db`: starting, stopping and looking at the embedded database by hand."""

from __future__ import annotations

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ..database_users.users_command import users
from ..settings import Settings, load_settings
from .errors import NotRunning
from .server import EmbeddedServer
from .status import EmbeddedStatus, embedded_status

STOPPED_EXIT_CODE = 3  # as `systemctl status` has it


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def db() -> None:
    """The embedded MongoDB, used when no CLOISTER_URI is set, started by itself when needed; and MongoDB's accounts."""


db.add_command(users)


@db.command()
def start() -> None:
    """Start it, unless it runs already. Recording and `cloister serve` do this by themselves."""
    settings = load_settings()
    server = EmbeddedServer(settings)
    already = server.uri() is not None
    with Console(stderr=True).status("Starting the embedded database ..."):
        server.ensure_running()
    status = embedded_status(settings)
    click.echo(
        f"The embedded database {'was running already' if already else 'runs'}: MongoDB {status.version} on "
        f"127.0.0.1:{status.port}, process {status.pid}, data in {status.folder}."
    )
    _mention_configured_uri(settings)


@db.command()
def stop() -> None:
    """Shut it down cleanly. The next run or viewer starts it again."""
    with Console(stderr=True).status("Stopping the embedded database ..."):
        stopped = EmbeddedServer(load_settings()).stop()
    click.echo("The embedded database is stopped." if stopped else "The embedded database was not running.")


@db.command()
def status() -> None:
    """Show whether it runs, where, and how large it is. Exit code 3 when it is stopped."""
    settings = load_settings()
    found = embedded_status(settings)
    _print_plain(_status_table(found))
    _mention_configured_uri(settings)
    if found.pid is None:
        raise SystemExit(STOPPED_EXIT_CODE)


@db.command()
def uri() -> None:
    """Print its URI for mongosh, Compass or a script of yours.

    The URI holds the password: whoever has it can read and change every run. It works on this machine only.
    """
    server = EmbeddedServer(load_settings())
    found = server.uri()
    if found is None:
        raise NotRunning(server.folder.path)
    click.echo(found)


@db.command()
@click.option("--no-copy", is_flag=True, help="Do not keep a copy of the files as they are now.")
def repair(no_copy: bool) -> None:
    """Let MongoDB save what it can from damaged files.

    Keeps a copy of the files first. The database must be stopped; delete the copy when you have seen that all is well.
    """
    from .repair import RECOVERED_DATABASE  # only this command needs it
    from .repair import repair as repair_server

    server = EmbeddedServer(load_settings())
    with Console(stderr=True).status("Repairing ...") as progress:
        done = repair_server(server, keep_copy=not no_copy, on_step=lambda step: progress.update(f"{step} ..."))
        server.ensure_running()
    click.echo(f"The embedded database in {server.folder.path} is repaired and running.")
    if done.nameless:
        click.echo(
            f"{done.nameless} collections had lost their names; they are now in the database {RECOVERED_DATABASE!r}, "
            "to be looked through with mongosh ('cloister db uri')."
        )
    if done.copy is not None:
        click.echo(f"The files as they were before are in {done.copy}.")


def _status_table(found: EmbeddedStatus) -> Table:
    table = Table.grid(padding=(0, 2))
    running = found.pid is not None
    table.add_row("Embedded database", Text("running", "green") if running else Text("stopped", "yellow"))
    if running:
        table.add_row("Process", str(found.pid))
        table.add_row("Address", f"127.0.0.1:{found.port}")
        table.add_row("MongoDB", found.version or Text("does not answer", "red"))
        table.add_row("Up for", duration_text(found.uptime_seconds or 0))
    table.add_row("Data folder", Text(str(found.folder)))
    table.add_row("On disk", f"{found.size_bytes / 1e6:,.1f} MB" if found.size_bytes else "nothing yet")
    return table


def duration_text(seconds: float) -> str:
    """`42 s`, `3 min 5 s`, `2 h 7 min`, `5 d 3 h`: the two largest units."""
    parts = [(int(seconds) // size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))]
    wraps = (None, 24, 60, 60)
    shown = [(amount % wrap if wrap else amount, unit) for (amount, unit), wrap in zip(parts, wraps, strict=True)]
    first = next((place for place, (amount, _) in enumerate(shown) if amount), len(shown) - 1)
    return " ".join(f"{amount} {unit}" for amount, unit in shown[first : first + 2])


def _print_plain(table: Table) -> None:
    """Print a table as wide as it is: people copy paths out of it, and rich would shorten them to the terminal."""
    console = Console(highlight=False)
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    console.width = max(console.width, needed)
    console.print(table, soft_wrap=True, markup=False)


def _mention_configured_uri(settings: Settings) -> None:
    if settings.uri is not None:
        from ..mongo import redact_uri

        click.echo(
            f"Note: runs go to {redact_uri(settings.uri)} (setting 'uri'), not to the embedded database.", err=True
        )
