"""`cloister redact`: what recording a script would take out, and taking the same out of what is stored already."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..account import host_name, login_name
from ..amounts import count_of
from ..audit.entry import plain_text
from ..policy import Policy, load_policy
from ..run_ids import format_run_id
from ..settings import load_settings
from .recording_profiles import rules_under
from .run_redaction import RunRedaction
from .script_check import check_script
from .site_pseudonyms import site_pseudonym
from .stored_run_redaction import StillRecorded, StoredFindings, look_at_run, redact_run

if TYPE_CHECKING:
    from pymongo.database import Database

FOUND_CODE = 1  # of the process, so that a hook can refuse a commit


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--check", "script", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A script.")
@click.option("--scan", is_flag=True, help="Look through the stored runs. Changes nothing.")
@click.option("--apply", is_flag=True, help="Redact the stored runs, for good.")
@click.option("--project", help="Only the runs of this project.")
@click.option("--run", "run_id", help="Only this run, by its number.")
@click.option("--uri", help="MongoDB URI; when left out the settings decide, else the embedded database is used.")
@click.option("--pseudonym", "person", metavar="NAME", help="Tell a person's pseudonym, by the site's key.")
@click.option("--yes", is_flag=True, help="Do not ask before runs are changed.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def redact(
    script: Path | None,
    scan: bool,
    apply: bool,
    project: str | None,
    run_id: str | None,
    uri: str | None,
    person: str | None,
    yes: bool,
    words: tuple[str, ...],
) -> None:
    """List the secrets that a script would pass on to its record, or that are stored already.

    \b
    cloister redact --check train.py --password x   what recording this would take out; runs nothing
    cloister redact --scan --project digits         what is stored of runs recorded before there were rules
    cloister redact --apply --run 12                take it out of a stored run

    Ends with code 1 where something is found. WORDS are the script's own.
    """
    if (script is not None) + scan + apply + (person is not None) != 1:
        raise click.UsageError("Say one of --check SCRIPT, --scan, --apply and --pseudonym NAME.")
    if person is not None:
        click.echo(site_pseudonym("person", person) or "The policy names no pseudonym_key that can be read here.")
        return
    if script is not None:
        _check(script, words)
        return
    with _open(uri) as database:
        policy = load_policy(database)
        chosen = _condition(project, run_id)
        if not apply:
            _print_findings(_look(database, policy, chosen))
            return
        _apply(database, policy, chosen, yes)


def _check(script: Path, words: tuple[str, ...]) -> None:
    found = list(check_script(script, words, load_policy()))
    for finding in dict.fromkeys(found):
        click.echo(f"{finding.rule:<16}  {plain_text(finding.where)}")
    if not found:
        click.echo(f"Nothing of {script} would be redacted.")
        return
    click.echo(f"{count_of(len(found), 'finding')}. Recording takes them out; better is code that does not hold them.")
    sys.exit(FOUND_CODE)


def _look(database: Database[dict[str, Any]], policy: Policy, chosen: dict[str, Any]) -> Iterator[StoredFindings]:
    settings = load_settings()
    for document in database["runs"].find(chosen).sort("_id", 1).batch_size(20):
        found = look_at_run(database, document, RunRedaction(_as_stored(policy), settings, environment={}))
        if found.places or found.unread:
            yield found


def _as_stored(policy: Policy) -> Policy:
    """The rules alone: who recorded what, and which parts there are, is not changed afterwards."""
    return replace(policy, profile="full", redaction=rules_under(policy))


def _print_findings(findings: Iterator[StoredFindings]) -> None:
    runs = total = 0
    for found in findings:
        for place in found.places:
            click.echo(
                f"run {format_run_id(found.run_id):<8}  {place.rule:<16}  {place.count:>5}  {plain_text(place.where)}"
            )
        for name in found.unread:
            click.echo(f"run {format_run_id(found.run_id):<8}  cannot be read: {plain_text(name)}")
        runs, total = runs + bool(found.places), total + found.count
    if not total:
        click.echo("Nothing that is stored would be redacted.")
        return
    click.echo(f"{count_of(total, 'finding')} in {count_of(runs, 'run')}. 'cloister redact --apply' takes them out.")
    sys.exit(FOUND_CODE)


def _apply(database: Database[dict[str, Any]], policy: Policy, chosen: dict[str, Any], yes: bool) -> None:
    from ..audit import record_entry

    if not yes:
        click.confirm("What is found is taken out of the database for good. Go on?", abort=True)
    actor = f"{login_name()}@{host_name()}"
    runs = total = 0
    for found in _look(database, policy, chosen):
        if not found.places:
            continue
        document = database["runs"].find_one({"_id": found.run_id})
        if document is None:
            continue
        number = format_run_id(found.run_id)
        try:
            record_entry(
                database,
                actor=actor,
                action="redaction-applied",
                target=f"run {number}",
                project=found.project,
                details={"findings": found.count, "rules": sorted({place.rule for place in found.places})},
            )
            redact_run(database, document, found)
        except StillRecorded as error:
            click.echo(str(error))
            continue
        click.echo(f"run {number}: {count_of(found.count, 'finding')} taken out")
        runs, total = runs + 1, total + found.count
    click.echo(f"{count_of(total, 'finding')} taken out of {count_of(runs, 'run')}. Backups still have them.")


def _condition(project: str | None, run_id: str | None) -> dict[str, Any]:
    condition: dict[str, Any] = {}
    if project is not None:
        condition["cloister.project"] = project
    if run_id is not None:
        condition["_id"] = int(run_id) if run_id.isascii() and run_id.isdecimal() else run_id
    return condition


@contextmanager
def _open(uri: str | None) -> Iterator[Database[dict[str, Any]]]:
    from ..mongo import check  # these spare `--help` the driver
    from ..store_connection import open_database

    database = open_database(uri, "", read_only=False)
    with database.client:
        check(database.client)
        yield database
