"""Where the commands that read runs read them: the options that say so, and the store behind them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console

from ..errors import CloisterError

if TYPE_CHECKING:
    from ..query.errors import QueryError
    from ..run_record import RunId
    from ..runs import RunStore

Command = TypeVar("Command", bound=Callable[..., Any])
NEWEST = "latest"


class NoRuns(CloisterError, LookupError):
    """The newest run is asked for, and there is none."""

    def __init__(self) -> None:
        super().__init__("There are no runs yet. Start one with: cloister run train.py")


def place_options(command: Command) -> Command:
    """Adds `--uri` and `--collections`."""
    command = click.option("--collections", default="", metavar="PREFIX", help="Runs of other names: lab, runs=mine.")(
        command
    )
    return click.option("--uri", help="MongoDB URI; when left out the settings decide.")(command)


@contextmanager
def reading(uri: str | None, collections: str, query: str = "") -> Iterator[RunStore]:
    """The store that is meant; nothing is written through it.

    That no server answers is said in a sentence; what is wrong with the query is pointed out in it.
    """
    from pymongo.errors import ConnectionFailure  # these spare `--help` the driver

    from ..mongo import DatabaseUnreachable, address_of
    from ..query.errors import QueryError
    from ..runs import RunStore

    with RunStore.connect(uri, collections=collections, read_only=True) as store:
        started = time.monotonic()
        try:
            yield store
        except QueryError as error:
            raise click.ClickException(_pointed_out(query, error)) from error
        except ConnectionFailure as error:
            raise DatabaseUnreachable(address_of(store.database.client), time.monotonic() - started, error) from None


def _pointed_out(text: str, error: QueryError) -> str:
    """The query with carets under what is wrong, then what that is."""
    query = "".join(sign if sign.isprintable() else " " for sign in text)
    carets = " " * error.column + "^" * max(1, error.length)
    hint = f" Did you mean {error.suggestion}?" if error.suggestion else ""
    return f"This query cannot be read.\n  {query}\n  {carets}\n{error.message}{hint}"


def which_run(store: RunStore, word: str) -> RunId:
    """The id that a word of the command line means; `latest` is the run that began last.

    Raises:
        BadRunId, NoRuns: it means none.
    """
    from ..run_ids import parse_run_id
    from ..run_query import RunQuery

    if word != NEWEST:
        return parse_run_id(word.removeprefix("#"))
    found = store.find_runs(RunQuery(), 1)
    if not found:
        raise NoRuns
    return found[0].id


def terminal() -> Console:
    """Standard output as it is: plain where it is a file or a pipe, without colours under NO_COLOR."""
    return Console(highlight=False, soft_wrap=False, emoji=False, markup=False)
