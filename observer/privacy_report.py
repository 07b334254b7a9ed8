"""What `cloister doctor` says of privacy: what is recorded, who can see it, where it goes, which rules hold.

Everything is read and nothing changed; what cannot be told is said to be unknown, never to be well.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from .destinations import Destination, list_destinations
from .errors import CloisterError
from .policy import Policy, load_policy, recording_policy
from .redaction.recording_profiles import PROFILES

if TYPE_CHECKING:
    from pymongo.database import Database

    from .settings import Settings

Question = Literal["What is recorded", "Who can see it", "Where it goes", "Which rules hold"]
State = Literal["ok", "warning", "problem"]
QUESTIONS: tuple[Question, ...] = get_args(Question)

TIMEOUT_MS = 3000


@dataclass(frozen=True)
class PrivacyLine:
    """One answer. Whatever is not "ok" says what to do."""

    question: Question
    subject: str
    state: State
    found: str
    advice: str = ""


def tell_privacy(settings: Settings, uri: str | None) -> Iterator[PrivacyLine]:
    """The whole report for this machine and account.

    Args:
        uri: how the database is reached; None where it does not run.
    """
    yield from tell_recorded(recording_policy(), settings)
    yield from _ask_database(settings, uri)
    yield from tell_ways_in(settings)
    yield from tell_folders(settings)
    yield from tell_destinations(settings)
    yield from tell_connections(settings)


def tell_recorded(policy: Policy, settings: Settings) -> Iterator[PrivacyLine]:
    """What a run that starts here keeps of itself, by the policy of this machine."""
    profile = PROFILES[policy.profile]
    yield PrivacyLine(
        "What is recorded", "Profile", "ok", f"{profile.name}: {profile.title[:1].lower()}{profile.title[1:]}"
    )
    parts = {
        "config, metrics, artifacts, notes": True,
        "command line, git commit and branch": True,
        "output": profile.console and settings.capture != "none",
        "sources and uncommitted changes": profile.sources,
        "packages, hardware, machine, the scheduler's variables": profile.environment,
        "names of host and account": profile.names,
        "paths of the machine": profile.paths,
        "e-mail and IP addresses where they stand in texts": profile.contacts
        and not (policy.redaction.emails and policy.redaction.addresses),
    }
    kept = "; ".join(name for name, is_kept in parts.items() if is_kept)
    left_out = "; ".join(name for name, is_kept in parts.items() if not is_kept)
    yield PrivacyLine("What is recorded", "Kept", "ok", kept)
    yield PrivacyLine("What is recorded", "Left out", "ok", left_out or "nothing of these")
    own = policy.redaction
    rules = len(own.patterns) + len(own.config) + len(own.environment)
    yield PrivacyLine(
        "What is recorded",
        "Redacted",
        "ok",
        "passwords, tokens, keys and credentials in addresses, before anything is written; "
        + (f"{rules} further rules of this site" if rules else "no further rules of this site"),
    )


def _ask_database(settings: Settings, uri: str | None) -> Iterator[PrivacyLine]:
    """Who may read, and which rules hold, as the database says."""
    from pymongo.errors import PyMongoError

    from .mongo import client_for, database_name, first_sentence

    if uri is None:
        yield PrivacyLine(
            "Who can see it", "Viewer", "ok", "unknown while the database does not run; nobody until it does"
        )
        yield from tell_rules(None)
        return
    try:
        with client_for(uri, timeout_ms=TIMEOUT_MS) as client:
            database = client[database_name(uri, settings)]
            yield from tell_readers(database, settings)
            yield from tell_rules(database)
    except (PyMongoError, CloisterError) as error:
        advice = "Ask again when the database answers, or with an account that may read it."
        yield PrivacyLine("Who can see it", "Viewer", "warning", f"unknown: {first_sentence(error)}", advice)
        yield from tell_rules(None)


def tell_readers(database: Database[dict[str, Any]], settings: Settings) -> Iterator[PrivacyLine]:
    """Who can see runs: accounts of the viewer, members of projects, and whoever reaches MongoDB itself."""
    ours = {"source": {"$in": ["local", "oidc", "ldap", "proxy"]}, "disabled_at": None}
    people = list(database["users"].find(ours, {"site": 1, "source": 1}))
    if people:
        yield PrivacyLine("Who can see it", "Viewer", "ok", _people_words(people))
        yield from _projects(database)
        links = database["shares"].count_documents({"revoked_at": None, "expires_at": {"$gt": _now()}})
        yield PrivacyLine("Who can see it", "Share links", "ok", f"{links} that open without an account")
    else:
        found = "no accounts: whoever can open the viewer sees all runs. It listens on this machine alone"
        advice = "For a viewer that others reach: cloister user add NAME --admin"
        yield PrivacyLine("Who can see it", "Viewer", "ok", found, advice)
    yield _database_login(database, settings)


def _people_words(people: list[dict[str, Any]]) -> str:
    admins = sum("admin" in (one.get("site") or ()) for one in people)
    auditors = sum("auditor" in (one.get("site") or ()) for one in people)
    sources = sorted({str(one.get("source")) for one in people})
    return (
        f"{_count(len(people), 'account')} ({', '.join(sources)}), {admins} of them site admins, who see every run; "
        f"{auditors} auditors"
    )


def _projects(database: Database[dict[str, Any]]) -> Iterator[PrivacyLine]:
    known = {one["_id"]: one for one in database["projects"].find({}, {"visibility": 1, "members": 1})}
    by_default = [one.get("visibility") or "project" for one in known.values()]
    everybody = sorted(str(name) for name, one in known.items() if one.get("visibility") == "site")
    private = database["runs"].count_documents({"cloister.visibility": "private"})
    words = ", ".join(
        f"{by_default.count(kind)} {kind}" for kind in ("private", "project", "site") if kind in by_default
    )
    found = f"new runs are seen by: {words or 'their project'}; {_count(private, 'run')} marked private"
    if everybody:
        found += f". Everybody who signs in sees {', '.join(everybody[:10])}"
    yield PrivacyLine("Who can see it", "Projects", "ok", found)


def _database_login(database: Database[dict[str, Any]], settings: Settings) -> PrivacyLine:
    """Whoever reaches MongoDB with an account that may read, reads all: rights of the viewer do not hold there."""
    said = database.client.admin.command("connectionStatus")["authInfo"]
    names = [str(user["user"]) for user in said["authenticatedUsers"]]
    question: Question = "Who can see it"
    if names:
        roles = sorted({f"{role['role']}@{role['db']}" for role in said["authenticatedUserRoles"]})
        return PrivacyLine(
            question, "MongoDB", "ok", f"asks for a password; here {', '.join(names)} ({', '.join(roles)})"
        )
    found = "asks nobody for a password: whoever reaches it reads and changes everything"
    if all(one.is_here for one in list_destinations(settings) if one.what.startswith("runs")):
        return PrivacyLine(question, "MongoDB", "warning", f"{found}. It is on this machine", "cloister db users")
    return PrivacyLine(question, "MongoDB", "problem", found, "Switch on its access control, then: cloister db users")


def tell_ways_in(settings: Settings) -> Iterator[PrivacyLine]:
    """Who can get an account through another system."""
    if settings.identity is None:
        return
    from .identity_file import load_identity

    try:
        identity = load_identity(settings.identity)
    except CloisterError:
        return  # told where things go
    ways = {
        "the OpenID provider": identity.oidc,
        "the LDAP directory": identity.ldap,
        "the reverse proxy": identity.proxy,
    }
    for name, rules in ways.items():
        if rules is None:
            continue
        who = f"members of {_listed(rules.required_groups)}" if rules.required_groups else "everybody there"
        found = f"{who} may sign in through {name}"
        if rules.admin_groups:
            found += f"; members of {_listed(rules.admin_groups)} see every run"
        yield PrivacyLine("Who can see it", "Signing in", "ok", found)


def tell_folders(settings: Settings) -> Iterator[PrivacyLine]:
    """Whether other accounts of this machine can read what waits, or the embedded database."""
    folder = settings.data_folder
    yield _folder_line(folder if folder.exists() else None, f"{folder}: journals and the embedded database")
    if settings.identity is not None and settings.identity.exists():
        yield _folder_line(settings.identity, f"{settings.identity}: how people sign in", write_only=True)


def _folder_line(path: Path | None, what: str, *, write_only: bool = False) -> PrivacyLine:
    question: Question = "Who can see it"
    if path is None:
        return PrivacyLine(question, "This machine", "ok", f"{what}; not made yet")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (0o022 if write_only else 0o077):
        act = "change" if write_only else "enter"
        advice = f"chmod {'go-w' if write_only else '700'} {path}"
        return PrivacyLine(
            question, "This machine", "warning", f"{what}; other accounts may {act} it ({mode:04o})", advice
        )
    return PrivacyLine(question, "This machine", "ok", f"{what}; for this account alone" if not write_only else what)


def tell_destinations(settings: Settings) -> Iterator[PrivacyLine]:
    """Every server that is talked to, and whether somebody on the way could listen."""
    question: Question = "Where it goes"
    try:
        found = list(list_destinations(settings))
    except CloisterError as error:
        yield PrivacyLine(question, "Servers", "problem", str(error), "Nothing is sent there before this is mended.")
        return
    for one in found:
        yield _destination_line(one)
    yield PrivacyLine(
        question,
        "Anything else",
        "ok",
        "no: no telemetry, no update check, no fonts or scripts from elsewhere in any page",
    )


def _destination_line(one: Destination) -> PrivacyLine:
    what, _, server = one.what.partition(": ")
    place = f"{server or 'MongoDB'} at {one.words}"
    subject, question = what[:1].upper() + what[1:], "Where it goes"
    if one.is_here:
        return PrivacyLine(question, subject, "ok", f"{place}, on this machine")  # type: ignore[arg-type]
    protected = "over TLS" if one.encrypted else "without TLS: whoever is on the way reads it"
    if one.is_outside:
        advice = "It lies outside of any private network. Move it into your own, or make sure that this is wanted."
        return PrivacyLine(question, subject, "warning", f"{place}, {protected}", advice)  # type: ignore[arg-type]
    if not one.encrypted:
        advice = "Add tls=true to its URI (docs/security.md), or reach it through a tunnel."
        return PrivacyLine(question, subject, "warning", f"{place}, {protected}", advice)  # type: ignore[arg-type]
    return PrivacyLine(question, subject, "ok", f"{place}, {protected}")  # type: ignore[arg-type]


def tell_connections(settings: Settings) -> Iterator[PrivacyLine]:
    """To whom Cloister's processes of this account are connected at this moment."""
    from .open_connections import find_connections

    try:
        known = {address for one in list_destinations(settings) for address in one.addresses()}
    except CloisterError:
        return  # told above
    processes, remotes = find_connections()
    strange = sorted(remotes - known)
    where = _listed(remotes) or "this machine only"
    found = f"{_count(processes, 'process', 'processes')} of Cloister, connected to {where}"
    if strange:
        advice = f"{_listed(strange)} is none of the servers above. Find out whose it is: ss -tnp"
        yield PrivacyLine("Where it goes", "At this moment", "warning", found, advice)
    else:
        yield PrivacyLine("Where it goes", "At this moment", "ok", found)


def tell_rules(database: Database[dict[str, Any]] | None) -> Iterator[PrivacyLine]:
    """The policy as it holds, with where it was said, and what watches over it."""
    question: Question = "Which rules hold"
    try:
        policy = load_policy(database)
    except (CloisterError, OSError) as error:
        advice = "Until it is mended, runs are recorded under the profile 'strict'."
        yield PrivacyLine(question, "Policy", "problem", str(error), advice)
        return
    said = ", ".join(policy.sources) or "nobody has said anything, so the defaults hold"
    yield PrivacyLine(question, "Policy", "ok", said if database is not None else f"{said} (without the database's)")
    factor = "a second factor for everybody" if policy.require_totp else "a second factor for whoever sets one up"
    sessions = f"{policy.session_idle_hours:g} hours unused, {policy.session_days:g} days at most"
    yield PrivacyLine(question, "Signing in", "ok", f"sessions end after {sessions}; {factor}")
    links = f"allowed, {policy.share_link_days:g} days at most" if policy.share_links else "not allowed"
    yield PrivacyLine(question, "Share links", "ok", links)
    kept = "; ".join(f"{name} {value}" for name, value in policy.retention.items())
    yield PrivacyLine(question, "Retention", "ok", kept or "runs are kept until somebody deletes them")
    chosen = "; ".join(f"{project}: {', '.join(map(str, words))}" for project, words in policy.encrypt.items())
    yield PrivacyLine(
        question, "Encryption", "ok", chosen or "nothing is encrypted beyond what MongoDB and the disk do"
    )
    if database is not None:
        entries = database["audit"].estimated_document_count()
        yield PrivacyLine(
            question, "Audit log", "ok", f"{_count(entries, 'entry', 'entries')}; 'cloister audit verify' checks it"
        )


def _listed(texts: Any, most: int = 8) -> str:
    ordered = sorted(texts)
    return ", ".join(ordered[:most]) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _now() -> Any:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc)
