"""`cloister audit`: verifying, reading, exporting and signing the audit log."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from ..account import host_name, login_name
from ..errors import CloisterError

if TYPE_CHECKING:
    from pymongo.database import Database

    from .entry import AuditEntry
    from .evidence_folder import EvidenceFolder
    from .searching import AuditQuery
    from .verifying import Report

uri_option = click.option("--uri", help="MongoDB URI; when left out the settings decide.")
filter_options = (
    click.option("--actor", default="", metavar="NAME", help="Only what this person, token or command did."),
    click.option("--action", default="", metavar="ACTION", help="Only this kind of event, such as run-viewed."),
    click.option("--project", default="", help="Only events of this project."),
    click.option("--text", default="", help="Only entries that have this text in who, what, details or address."),
    click.option("--since", metavar="DATE", help="From this day or moment on (UTC), or the last 7d, 12h."),
    click.option("--until", metavar="DATE", help="Before this day or moment (UTC)."),
)


class BadMoment(CloisterError, ValueError):
    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no time. Give a day (2026-03-14), a moment (2026-03-14T08:00) or 7d, 12h.")


class BadPublicKey(CloisterError, ValueError):
    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path} holds no Ed25519 public key in PEM ({reason}). 'cloister audit key' prints one.")


class FileIsThere(CloisterError, FileExistsError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already and is not overwritten. Give another name.")


@click.group()
def audit() -> None:
    """Verify, read and export the audit log. It can be appended to only; these commands change nothing in it."""


@audit.command()
@uri_option
@click.option(
    "--public-key",
    "public_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A key to trust beside this machine's own, PEM. May be repeated.",
)
@click.option(
    "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Verify this export instead."
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def verify(uri: str | None, public_keys: tuple[Path, ...], path: Path | None, as_json: bool) -> None:
    """Recompute every entry and follow the chain. Exit code 1 if anything was changed, removed or reordered."""
    from .verifying import verify as verify_log

    trusted = [read_public_key(key) for key in public_keys]
    if path is not None:
        report = _verify_file(path, trusted)
    else:
        with _opened(uri) as database:
            report = verify_log(database, folder=_folder(), public_keys=trusted)
    click.echo(json.dumps(_as_json(report)) if as_json else "\n".join(_in_words(report)))
    if not report.is_whole:
        raise SystemExit(1)


@audit.command()
@uri_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(uri: str | None, limit: int, as_json: bool, **filters: Any) -> None:
    """Print the newest entries, newest last."""
    from .searching import list_entries

    with _opened(uri) as database:
        page = list_entries(database, _query(**filters), size=limit)
    for entry in reversed(page.entries):
        click.echo(_json_line(entry) if as_json else _line(entry))
    if not as_json:
        click.echo(f"{len(page.entries)} of {page.total} entries.", err=True)


@audit.command()
@uri_option
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def export(uri: str | None, path: Path, **filters: Any) -> None:
    """Write the log to PATH: the whole of it as .jsonl, signed; or as .csv, of which the options choose a part."""
    from .exporting import iter_csv_lines, iter_signed_lines
    from .log import record_entry
    from .searching import AuditQuery, iter_documents, iter_entries

    query = _query(**filters)
    if path.suffix not in (".jsonl", ".csv"):
        raise click.BadParameter(f"{path.name!r} ends in neither .jsonl nor .csv.", param_hint="PATH")
    if path.suffix == ".jsonl" and query != AuditQuery():
        raise click.UsageError("A part of the chain proves nothing: leave the options out, or export to a .csv file.")
    with _opened(uri) as database, open_private(path) as file:
        record_entry(database, actor=command_actor(), action="audit-exported", target=path.suffix[1:])
        if path.suffix == ".csv":
            file.writelines(line.encode() for line in iter_csv_lines(iter_entries(database, query)))
        else:
            file.writelines(iter_signed_lines(iter_documents(database), _folder()))
    click.echo(f"Written to {path}.")


@audit.command()
@uri_option
def seal(uri: str | None) -> None:
    """Sign the end of the chain now. A viewer does so daily; this is for cron where none runs."""
    from .seals import seal_if_due

    with _opened(uri) as database:
        made = seal_if_due(database, _folder(), at_once=True)
    click.echo(f"Signed up to entry {made.seq}, by key {made.key}." if made else "Everything is signed already.")


@audit.command()
def key() -> None:
    """Print this machine's public key, for those who verify elsewhere."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _folder().signing_key().public_key()
    click.echo(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), nl=False)


for _command in (show, export):
    for _option in filter_options:
        _option(_command)


def command_actor() -> str:
    """Who a command's entries name: the account that runs it, and where."""
    return f"{login_name()}@{host_name()}"


def open_private(path: Path) -> BinaryIO:
    """A new file that only this account can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.fdopen(os.open(path, flags, 0o600), "wb")
    except FileExistsError:
        raise FileIsThere(path) from None


def read_public_key(path: Path) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(path.read_bytes())
    except (ValueError, OSError) as error:
        raise BadPublicKey(path, error) from error
    if not isinstance(public, Ed25519PublicKey):
        raise BadPublicKey(path, type(public).__name__)
    return public.public_bytes_raw()


def parse_moment(text: str | None) -> datetime | None:
    """A day, a moment or a span before now, in UTC.

    Raises:
        BadMoment: the text is none of them.
    """
    if not text:
        return None
    if text[:-1].isdecimal() and text[-1] in "dh" and len(text) < 7:
        span = timedelta(days=int(text[:-1])) if text[-1] == "d" else timedelta(hours=int(text[:-1]))
        return datetime.now(timezone.utc) - span
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadMoment(text) from None
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def _query(*, actor: str, action: str, project: str, text: str, since: str | None, until: str | None) -> AuditQuery:
    from .actions import find_action
    from .searching import AuditQuery

    if action:
        find_action(action)
    start, end = parse_moment(since), parse_moment(until)
    return AuditQuery(actor=actor, action=action, project=project, text=text, since=start, until=end)


@contextmanager
def _opened(uri: str | None) -> Iterator[Database[dict[str, Any]]]:
    from ..runs import RunStore

    database = RunStore.connect(uri).database
    with database.client:
        yield database


def _folder() -> EvidenceFolder:
    from ..settings import load_settings
    from .sightings import keep_evidence_in

    folder = keep_evidence_in(load_settings().data_folder / "audit")
    assert folder is not None
    return folder


def _verify_file(path: Path, trusted: list[bytes]) -> Report:
    from .exporting import ExportReader
    from .verifying import verify_documents

    known = {*trusted, *_folder().public_keys()}
    with path.open("rb") as file:
        reader = ExportReader(file)
        report = verify_documents(reader, public_keys=known)
    if not reader.public:
        report.notes.append("The export is not signed.")
    elif base64.b64decode(reader.public) not in known:
        report.notes.append("The export is signed by a key that is not known here: pass it by --public-key.")
    return report


def _in_words(report: Report) -> Iterable[str]:
    yield from report.problems
    if report.problem_count > len(report.problems):
        yield f"... and {report.problem_count - len(report.problems)} more findings."
    for remark in report.notes:
        yield f"Note: {remark}"
    if report.pseudonymised:
        yield f"{report.pseudonymised} entries were pseudonymised, as signed entries say."
    if report.signed_until:
        yield f"Signed up to entry {report.signed_until} at {report.signed_at}."
    head = f", head {report.head.hash[:16]}" if report.head else ""
    verdict = "unbroken" if report.is_whole else f"BROKEN, first at entry {report.first_problem_seq}"
    yield f"{report.entries} entries, {verdict}{head}."


def _as_json(report: Report) -> dict[str, Any]:
    head = {"seq": report.head.seq, "hash": report.head.hash} if report.head else None
    names = ("entries", "problems", "problem_count", "first_problem_seq", "notes", "pseudonymised", "signed_until")
    return {"whole": report.is_whole, "head": head, **{name: getattr(report, name) for name in names}}


def _line(entry: AuditEntry) -> str:
    details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True) if entry.details else ""
    parts = (entry.actor or "-", entry.action, entry.target, entry.project, entry.address, details)
    return f"{entry.seq:>7}  {entry.at:%Y-%m-%d %H:%M:%S}  " + "  ".join(part for part in parts if part)


def _json_line(entry: AuditEntry) -> str:
    names = ("seq", "actor", "action", "target", "project", "address", "details", "hash")
    values = {name: getattr(entry, name) for name in names}
    return json.dumps({**values, "at": entry.at.isoformat(timespec="milliseconds")}, ensure_ascii=False, sort_keys=True)
