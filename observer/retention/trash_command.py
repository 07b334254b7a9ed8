"""`cloister trash` and `cloister hold`: deleting runs, bringing them back, purging them; keeping them from that."""

from __future__ import annotations

import click

from ..errors import CloisterError
from ..run_ids import format_run_id, parse_run_id
from .command_place import collections_option, day, giver, note, print_proof, print_rows, retention_database, uri_option


class NothingNamed(CloisterError, ValueError):
    """Neither a run nor a project was named."""

    def __init__(self) -> None:
        super().__init__("Name runs by their numbers, or a project with --project.")


@click.group()
def trash() -> None:
    """Deleted runs: they can be brought back until they are purged."""


@trash.command()
@uri_option
@collections_option
def ls(uri: str | None, collections: str) -> None:
    """List the runs in the trash, the last deleted first."""
    from .trash import list_trash

    with retention_database(uri, collections) as database:
        found = list_trash(database)
    if not found:
        click.echo("The trash is empty.")
        return
    rows = [
        [
            format_run_id(each.run.id),
            each.run.name,
            each.run.project,
            day(each.at),
            each.by,
            "held" if each.is_held else day(each.purge_after),
        ]
        for each in found
    ]
    print_rows(["Run", "Name", "Project", "Deleted", "By", "Purged after"], rows)


@trash.command()
@click.argument("runs", nargs=-1, required=True)
@uri_option
@collections_option
def put(runs: tuple[str, ...], uri: str | None, collections: str) -> None:
    """Delete RUNS: they go into the trash. A training that still records one is told."""
    from ..runs import RunStore
    from .rules import load_rules
    from .trash import move_to_trash

    with retention_database(uri, collections) as database:
        rules = load_rules(database)
        for word in runs:
            run = RunStore(database).load_run(parse_run_id(word))
            note(database, "run-deleted", f"run {word}", run.project, name=run.name)
            days = rules.days(run.project, "trash") or 0.0
            move_to_trash(database, run.id, by=giver(), trash_days=days)
            click.echo(f"Run {word} is in the trash for {days:g} days. cloister trash restore {word} brings it back.")


@trash.command()
@click.argument("runs", nargs=-1, required=True)
@uri_option
@collections_option
def restore(runs: tuple[str, ...], uri: str | None, collections: str) -> None:
    """Bring RUNS back."""
    from .trash import find_trashed
    from .trash import restore as bring_back

    with retention_database(uri, collections) as database:
        for word in runs:
            trashed = find_trashed(database, parse_run_id(word))
            note(database, "run-restored", f"run {word}", trashed.run.project)
            bring_back(database, trashed.run.id)
            click.echo(f"Run {word} is back.")


@trash.command()
@click.argument("runs", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that is in the trash.")
@click.option("--unfinished", is_flag=True, help="Only end purges that were cut off.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@uri_option
@collections_option
def purge(
    runs: tuple[str, ...], everything: bool, unfinished: bool, yes: bool, uri: str | None, collections: str
) -> None:
    """Delete RUNS in the trash for good, and prove that their bytes are gone. Files that others name stay."""
    from .purge import purge_run
    from .trash import find_trashed, list_trash
    from .unfinished import finish_all

    if not (runs or everything or unfinished):
        raise NothingNamed
    with retention_database(uri, collections) as database:
        ended = finish_all(database)
        if unfinished:
            click.echo(f"{ended} ended that had been cut off." if ended else "Nothing had been cut off.")
        chosen = list_trash(database) if everything else [find_trashed(database, parse_run_id(run)) for run in runs]
        free = [each for each in chosen if not each.is_held]
        if free and not yes:
            click.confirm(f"Delete {len(free)} run{'s' if len(free) > 1 else ''} for good?", abort=True)
        for each in chosen:
            word = format_run_id(each.run.id)
            if each.is_held and everything:
                click.echo(f"Run {word} is under legal hold and stays.")
                continue
            note(database, "purged", f"run {word}", each.run.project)
            print_proof(purge_run(database, each.run.id, by=giver()))


@click.group()
def hold() -> None:
    """Legal hold: as long as it lies on a run or a project, nothing of it is deleted."""


@hold.command(name="ls")
@uri_option
@collections_option
def list_all(uri: str | None, collections: str) -> None:
    """List what is under hold."""
    from .holds import list_holds

    with retention_database(uri, collections) as database:
        found = list_holds(database)
    if not found:
        click.echo("Nothing is under legal hold.")
        return
    rows = [
        [
            "all runs" if each.run_id is None else f"run {format_run_id(each.run_id)}",
            each.project,
            day(each.at),
            each.by,
            each.reason,
        ]
        for each in found
    ]
    print_rows(["What", "Project", "Since", "By", "Reason"], rows)


@hold.command(name="set")
@click.argument("runs", nargs=-1)
@click.option("--project", help="All runs of this project, later ones too.")
@click.option("--reason", required=True, help="Why, for whoever asks later.")
@uri_option
@collections_option
def set_hold(runs: tuple[str, ...], project: str | None, reason: str, uri: str | None, collections: str) -> None:
    """Put RUNS, or a project, under legal hold."""
    from .holds import hold_project, hold_run

    if not (runs or project):
        raise NothingNamed
    with retention_database(uri, collections) as database:
        if project:
            note(database, "hold-set", f"project {project}", project, reason=reason)
            hold_project(database, project, by=giver(), reason=reason)
            click.echo(f"Project {project} is under legal hold.")
        for word in runs:
            note(database, "hold-set", f"run {word}", reason=reason)
            hold_run(database, parse_run_id(word), by=giver(), reason=reason)
            click.echo(f"Run {word} is under legal hold.")


@hold.command()
@click.argument("runs", nargs=-1)
@click.option("--project", help="The hold on this project.")
@uri_option
@collections_option
def lift(runs: tuple[str, ...], project: str | None, uri: str | None, collections: str) -> None:
    """Take the legal hold off RUNS, or a project."""
    from .holds import lift_project, lift_run

    if not (runs or project):
        raise NothingNamed
    with retention_database(uri, collections) as database:
        if project:
            note(database, "hold-lifted", f"project {project}", project)
            lifted = lift_project(database, project)
            click.echo(f"Project {project} is {'not any more' if lifted else 'not, and was not,'} under legal hold.")
        for word in runs:
            note(database, "hold-lifted", f"run {word}")
            lifted = lift_run(database, parse_run_id(word))
            click.echo(f"Run {word} is {'not any more' if lifted else 'not, and was not,'} under legal hold.")
