"""The Overview of the privacy pages: what is recorded, who sees it, where it goes, which rules hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from ..observer.policy import STRICTEST, Policy, load_policy
from ..observer.privacy_report import PrivacyLine, tell_readers, tell_recorded, tell_rules
from ..observer.redaction.recording_profiles import PROFILES
from ..observer.settings import load_settings
from .accounts.current import current_principal
from .run_page import describe_database
from .store_access import current_store, home_database, served_databases
from .wording import count_noun

if TYPE_CHECKING:
    from ..observer.access.principal import Principal


@dataclass(frozen=True)
class Fact:
    """A card: one question in two words, its answer, what to know beside it. `section` is where it can be changed."""

    label: str
    answer: str
    remark: str
    symbol: str
    section: str = ""


@dataclass(frozen=True)
class Overview:
    """Four facts, then the answers to each question, of which some are for admins of the site alone."""

    facts: tuple[Fact, ...]
    questions: tuple[tuple[str, tuple[PrivacyLine, ...]], ...]
    is_whole: bool


def load_overview() -> Overview:
    """What the one who asks may know. Counts of what others have are for admins: they would tell of hidden runs."""
    principal = current_principal()
    policy, trouble = _policy()
    lines = [*trouble, *_lines(principal, policy)]
    named = dict.fromkeys(line.question for line in lines)
    questions = tuple((name, tuple(line for line in lines if line.question == name)) for name in named)
    return Overview(tuple(_facts(principal, policy)), questions, principal.may("site"))


def _policy() -> tuple[Policy, tuple[PrivacyLine, ...]]:
    try:
        return load_policy(home_database()), ()
    except (CloisterError, OSError):  # `tell_rules` says what is wrong with it
        return STRICTEST, ()


def _lines(principal: Principal, policy: Policy) -> Iterator[PrivacyLine]:
    settings = load_settings()
    yield from tell_recorded(policy, settings)
    if principal.may("site"):
        yield from tell_readers(home_database(), settings)
    else:
        yield from _own_readers(principal)
    yield from _places()
    yield from tell_rules(home_database() if principal.may("site") else None)


def _own_readers(principal: Principal) -> Iterator[PrivacyLine]:
    question: Any = "Who can see it"
    roles = ", ".join(f"{role} in {project}" for project, role in sorted(principal.roles.items()))
    yield PrivacyLine(question, "Your roles", "ok", roles or "none in any project")
    if principal.groups:
        yield PrivacyLine(question, "Your groups", "ok", ", ".join(sorted(principal.groups)))
    found = "its owner, those it names, and whoever its visibility says; each run says why you see it"
    yield PrivacyLine(question, "A run", "ok", found)
    found = "every run; each look of theirs at somebody's private run is in the audit log"
    yield PrivacyLine(question, "Admins of the site", "ok", found)


def _places() -> Iterator[PrivacyLine]:
    question: Any = "Where it goes"
    yield PrivacyLine(question, "Runs", "ok", describe_database(current_store()))
    further = [database.name for database in served_databases()[1:]]
    if further:
        yield PrivacyLine(question, "Shown beside it", "ok", ", ".join(further))
    found = "no: no telemetry, no update check, no fonts or scripts from elsewhere in any page"
    yield PrivacyLine(question, "Anything else", "ok", found)


def _facts(principal: Principal, policy: Policy) -> Iterator[Fact]:
    if principal.kind == "local":
        yield Fact("Who sees runs", "This machine", "no accounts: whoever opens the viewer sees all", "lock")
    else:
        yield Fact(
            "Who sees new runs", "Their project", "unless the project or the run says otherwise", "lock", "projects"
        )
    rules = len(policy.redaction.patterns) + len(policy.redaction.config) + len(policy.redaction.environment)
    own = count_noun(rules, "own rule") if rules else "no own rules"
    profile = PROFILES[policy.profile]
    yield Fact(
        "What is recorded", profile.name.capitalize(), f"secrets redacted before writing, {own}", "eye", "redaction"
    )
    kept = "by rules" if policy.retention else "until deleted"
    yield Fact("How long it is kept", kept.capitalize(), "projects may say less", "clock", "retention")
    yield Fact("Outside requests", "0", "none possible: pages may load from here alone", "shield")
