"""`cloister top`: the runs that go on, with their charts, redrawn while one looks; over ssh too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .reading_place import place_options, reading, terminal, which_run

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from .keyboard import Keyboard
    from .top_screen import Look, Watched

QUIT = ("q", "escape")


@click.command()
@click.argument("runs", nargs=-1)
@click.option("-p", "--project", help="Only the runs of this project.")
@click.option("-w", "--where", default="", metavar="QUERY", help="Only runs that match, as with `cloister ls`.")
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME", help="Draw this metric; may be repeated.")
@click.option("-i", "--interval", type=click.FloatRange(0.5, 3600), default=2.0, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Print one screen and end; so it does where output is no terminal.")
@place_options
def top(
    runs: tuple[str, ...],
    project: str | None,
    where: str,
    metrics: tuple[str, ...],
    interval: float,
    once: bool,
    uri: str | None,
    collections: str,
) -> None:
    """Watch RUNS, or all that go on, with live charts.

    Keys: j k chooses a run, tab shows more charts, h hardware, l a log axis, q ends.
    """
    from .top_screen import Look, Watched, render_screen  # spares `--help` numpy

    with reading(uri, collections, where) as store:
        ids = tuple(which_run(store, word) for word in runs)
        watched = Watched(store, ids, where, project, metrics)
        watched.refresh()
        console = terminal()
        if once or not console.is_terminal:
            console.print(render_screen(watched, Look(), width=console.width, height=max(24, console.height - 1)))
        else:
            _watch(console, watched, interval)


def _watch(console: Console, watched: Watched, interval: float) -> None:
    from rich.live import Live

    from .keyboard import single_keys
    from .top_screen import Look

    look = Look()
    with single_keys() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                live.update(_drawn(console, watched, look), refresh=True)
                key = _next_key(keyboard, watched, interval)
                if key in QUIT:
                    return
                look = look.after(key or "", watched.runs)
        except KeyboardInterrupt:
            return


def _drawn(console: Console, watched: Watched, look: Look) -> RenderableType:
    from .top_screen import render_screen

    return render_screen(watched, look, width=console.width, height=console.height)


def _next_key(keyboard: Keyboard, watched: Watched, interval: float) -> str | None:
    """A key at once; after the interval none, and the runs as they are then."""
    key = keyboard.wait_for_key(interval)
    if key is None:
        watched.refresh()
    return key
