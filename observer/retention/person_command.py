"""`cloister person`: all that is stored of somebody, handed out or erased."""

from __future__ import annotations

from pathlib import Path

import click

from .command_place import giver, note, print_proof, print_rows, retention_database, uri_option

also_option = click.option(
    "--also", multiple=True, metavar="WORD", help="A further name or address of the person. May be repeated."
)


@click.group()
def person() -> None:
    """What is stored of a person: their account, rights, runs, notes, and entries of the audit log."""


@person.command()
@click.argument("name")
@click.option("--to", "path", type=click.Path(path_type=Path), help="The zip file to write; NAME.zip when left out.")
@click.option("--with-files", is_flag=True, help="Also the bytes of all files of the person's runs.")
@also_option
@uri_option
def export(name: str, path: Path | None, with_files: bool, also: tuple[str, ...], uri: str | None) -> None:
    """Write all that is stored of NAME into a zip file."""
    from .person_export import export_person

    with retention_database(uri) as database:
        note(database, "person-exported", f"user {name}")
        target = path or Path(f"{name.replace('/', '_')}.zip")
        counts = export_person(database, name, target, also=also, with_files=with_files)
    print_rows(["What", "Documents"], [[what, f"{count:,}"] for what, count in counts.items()])
    click.echo(f"{target} holds it, readable to you alone.")


@person.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be changed.")
@click.option("--delete-runs", is_flag=True, help="Purge the person's runs instead of leaving them without the name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@also_option
@uri_option
def erase(name: str, dry_run: bool, delete_runs: bool, yes: bool, also: tuple[str, ...], uri: str | None) -> None:
    """Take NAME out of accounts, rights, runs, notes and the audit log. It cannot be undone."""
    from ..audit.evidence_folder import EvidenceFolder
    from ..settings import load_settings
    from .person_erasure import erase_person

    if not (dry_run or yes):
        click.confirm(f"Erase {name!r} for good?", abort=True)
    with retention_database(uri) as database:
        folder = EvidenceFolder(load_settings().data_folder / "audit")
        if not dry_run:
            note(database, "person-erased", f"user {name}", runs="purged" if delete_runs else "kept")
        erasure = erase_person(
            database, name, by=giver(), folder=folder, also=also, delete_runs=delete_runs, dry_run=dry_run
        )
    if erasure.counts:
        print_rows(["Where", "Documents"], [[what, f"{count:,}"] for what, count in erasure.counts.items()])
    for report in erasure.purged:
        print_proof(report)
    for run_id in erasure.held:
        click.echo(f"Run {run_id} is under legal hold and stays as it is, whoever it names.")
    if erasure.unread_files:
        click.echo(
            f"{erasure.unread_files:,} stored files of the person's runs were not looked into; --delete-runs does."
        )
    if dry_run:
        click.echo("Nothing was changed.")
    else:
        click.echo(
            f"What remains says {erasure.pseudonym!r}. Journals that still wait on training machines have the name."
        )
