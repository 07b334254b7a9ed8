"""`cloister retention`: how long what is kept, and deleting what has outlived that."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from ..errors import CloisterError
from ..run_ids import format_run_id
from .command_place import collections_option, day, giver, note, print_proof, print_rows, retention_database, uri_option
from .purge import report_json

if TYPE_CHECKING:
    from .expiry import Applied


class NotAnAssignment(CloisterError, ValueError):
    """What is to be set was not written as KIND=AGE."""

    def __init__(self, word: str) -> None:
        super().__init__(f"{word!r} is not KIND=AGE. Write console=90d, or runs=never to take a project's rule away.")


@click.group()
def retention() -> None:
    """How long what is kept: by the site's policy and each project's own rules, of which the shorter time holds."""


@retention.command()
@click.argument("projects", nargs=-1)
@uri_option
@collections_option
def show(projects: tuple[str, ...], uri: str | None, collections: str) -> None:
    """Show the rules of PROJECTS, of all when none is named."""
    from .rules import KINDS, age_words, known_projects, load_rules

    with retention_database(uri, collections) as database:
        rules = load_rules(database)
        names = list(projects) or known_projects(database)
        rows = [
            [name, *(_cell(age_words(rules.days(name, each.name)), rules.source(name, each.name)) for each in KINDS)]
            for name in names
        ]
    print_rows(["Project", *(each.title for each in KINDS)], rows)


@retention.command(name="set")
@click.argument("assignments", nargs=-1, required=True, metavar="KIND=AGE...")
@click.option("--project", help="The project whose own rules are changed.")
@click.option("--site", is_flag=True, help="Change the rules of the site, in the database's policy.")
@uri_option
@collections_option
def set_rules(assignments: tuple[str, ...], project: str | None, site: bool, uri: str | None, collections: str) -> None:
    """Keep KIND (console, artifacts, sources, metrics, runs, trash) for AGE: 90d, 12w, 2y, never."""
    from .rules import age_words, parse_age, set_project_days, set_site_days

    if (project is None) == (not site):
        raise click.UsageError("Say whose rules are changed: --project NAME or --site.")
    changes = {}
    for word in assignments:
        kind, sign, age = word.partition("=")
        if not sign:
            raise NotAnAssignment(word)
        changes[kind] = parse_age(kind, age)
    with retention_database(uri, collections) as database:
        said = {kind: age_words(days) for kind, days in changes.items()}
        note(database, "retention-changed", "the site" if site else f"project {project}", project or "", **said)
        if project is None:
            set_site_days(database, changes, by=giver())
        else:
            set_project_days(database, project, changes, by=giver())
    for kind, words in said.items():
        click.echo(f"{kind}: {'no rule of its own' if words == 'for ever' else words}")


@retention.command(name="apply")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would go.")
@click.option("--project", "projects", multiple=True, help="Only this project. May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@uri_option
@collections_option
def apply_now(dry_run: bool, projects: tuple[str, ...], as_json: bool, uri: str | None, collections: str) -> None:
    """Delete what has outlived its time, and prove it. What was cut off before is ended first."""
    from .expiry import apply_rules, rehearse_rules
    from .rules import known_projects, load_rules
    from .unfinished import finish_all

    with retention_database(uri, collections) as database:
        rules = load_rules(database)
        if not dry_run:
            finish_all(database)
            note(database, "purged", "by the rules of retention", projects=list(projects) or "all")
        chosen = list(projects) or known_projects(database)
        applied = (
            rehearse_rules(database, rules, chosen) if dry_run else apply_rules(database, rules, chosen, by=giver())
        )
    if as_json:
        click.echo(json.dumps(applied_json(applied, dry_run=dry_run), indent=2))
    else:
        _print(applied, dry_run=dry_run)


def applied_json(applied: Applied, *, dry_run: bool) -> dict[str, Any]:
    due = [
        {
            "kind": each.kind,
            "run_id": format_run_id(each.run_id),
            "project": each.project,
            "name": each.name,
            "since": each.ended.isoformat() if each.ended else None,
            "days": each.days,
        }
        for each in applied.due
    ]
    reports = [report_json(report) for report in applied.reports]
    counts = {"would_delete": applied.counts} if dry_run else {"reports": reports}
    return {"dry_run": dry_run, "due": due, "trashed": list(map(format_run_id, applied.trashed)), **counts,
            "left": applied.left}  # fmt: skip


def _print(applied: Applied, *, dry_run: bool) -> None:
    if not applied.due:
        click.echo("Nothing has outlived its time.")
    elif dry_run:
        rows = [
            [each.kind, format_run_id(each.run_id), each.name, each.project, day(each.ended), f"{each.days:g} d"]
            for each in applied.due
        ]
        print_rows(["Kind", "Run", "Name", "Project", "Since", "Kept for"], rows)
        totals = ", ".join(f"{count:,} {name}" for name, count in sorted(applied.counts.items()) if count)
        click.echo(f"Nothing was deleted. Without --dry-run it would be: {totals or 'nothing more than is gone'}.")
    else:
        for report in applied.reports:
            print_proof(report)
        if applied.trashed:
            click.echo(f"Into the trash: {', '.join(f'run {format_run_id(each)}' for each in applied.trashed)}.")
        kinds = Counter(each.kind for each in applied.due)
        click.echo("; ".join(f"{count:,} x {kind}" for kind, count in kinds.items()))
    for sentence in applied.left:
        click.echo(f"Left alone: {sentence}")


def _cell(words: str, source: str) -> str:
    return f"{words} ({source})" if source else words
