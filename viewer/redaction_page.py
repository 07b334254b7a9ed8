"""The redaction page: what is recorded, which rules take secrets out, what they found; trying them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, render_template, request

from ..observer.errors import CloisterError
from ..observer.policy import PROFILES as PROFILE_NAMES
from ..observer.policy import STRICTEST
from ..observer.redaction.own_rules import BadRedactionRule, OwnRules, parse_rules
from ..observer.redaction.recording_profiles import PROFILES, rules_under
from ..observer.redaction.rule_words import rules_in_force
from ..observer.redaction.stored_redactions import count_redactions
from ..observer.redaction.text_redaction import TextRules
from .redaction_changes import as_table, change_recording, machine_policy, policy_in_force, stored_table
from .redaction_words import profile_words, redacted_words, redaction_rows
from .store_access import home_database, root

bp = Blueprint("redaction", __name__, url_prefix="/privacy/redaction")
TRIED_CHARACTERS = 20_000


def _register_filters(state: Any) -> None:
    for function in (redacted_words, profile_words, redaction_rows, lower_first):
        state.app.add_template_filter(function)


def lower_first(text: str) -> str:
    """A sentence as a part of another one."""
    return text[:1].lower() + text[1:]


bp.record_once(_register_filters)


@bp.get("")
def show_redaction() -> str:
    return _render()


@bp.post("")
def change_redaction() -> Response | tuple[str, int]:
    try:
        table = _read_form()
        change_recording(table)
    except CloisterError as error:
        if not isinstance(error, (ValueError, LookupError)):
            raise
        return _render(problem=str(error), typed=dict(request.form), is_refused=True), 400
    return redirect(f"{root()}/privacy/redaction", 303)  # type: ignore[return-value]


@bp.post("/try")
def try_rules() -> str:
    """What the rules make of a text. It is neither stored nor logged."""
    text = request.form.get("text", "")[:TRIED_CHARACTERS].replace("\r\n", "\n")
    found: list[str] = []
    try:
        own = rules_under(policy_in_force())
    except (CloisterError, OSError):
        own = rules_under(STRICTEST)
    redacted = TextRules(own).redact(text, found.append)
    return _render(tried={"text": text, "redacted": redacted, "found": found})


def _render(
    problem: str = "",
    typed: dict[str, str] | None = None,
    tried: dict[str, Any] | None = None,
    is_refused: bool = False,
) -> str:
    try:
        policy, machine = policy_in_force(), machine_policy()
    except (CloisterError, OSError) as error:  # what recording does with it too
        policy = machine = STRICTEST
        problem = problem or f"{error} Until then runs are recorded under the profile 'strict'."
    stored = stored_table()
    own = _stored_rules(stored)
    return render_template(
        "privacy/redaction.html",
        policy=policy,
        profile=PROFILES[policy.profile],
        profiles=[PROFILES[name] for name in PROFILE_NAMES],
        least=PROFILE_NAMES.index(machine.profile),
        machine_rules=machine.redaction,
        typed={**dict.fromkeys(_FIELDS, ""), **(typed or _as_typed(str(stored.get("profile", "full")), own))},
        own=own,
        rules=rules_in_force(rules_under(policy)),
        counts=count_redactions(home_database()),
        problem=problem,
        is_refused=is_refused,
        tried=tried,
    )


def _stored_rules(stored: dict[str, Any]) -> OwnRules:
    try:
        return parse_rules(stored.get("redaction", {}), "The policy")
    except BadRedactionRule:  # somebody wrote it past this page: `policy_in_force` has said so
        return OwnRules()


_FIELDS = ("profile", "patterns", "config", "environment", "emails", "addresses")


def _as_typed(profile: str, own: OwnRules) -> dict[str, str]:
    return {
        "profile": profile,
        "patterns": "\n".join(f"{name} = {pattern}" for name, pattern in own.patterns.items()),
        "config": "\n".join(own.config),
        "environment": "\n".join(own.environment),
        "emails": "on" if own.emails else "",
        "addresses": "on" if own.addresses else "",
    }


def _read_form() -> dict[str, Any]:
    patterns: dict[str, str] = {}
    for line in _lines("patterns"):
        name, equals, pattern = line.partition("=")
        if not equals:
            raise BadRedactionRule(
                "The form", line[:80], "a rule is written as a name, an equals sign and an expression"
            )
        patterns[name.strip()] = pattern.strip()
    own = parse_rules(
        {
            "patterns": patterns,
            "config": _lines("config"),
            "environment": _lines("environment"),
            "emails": bool(request.form.get("emails")),
            "addresses": bool(request.form.get("addresses")),
        },
        "The form",
    )
    return as_table(request.form.get("profile", "full"), own)


def _lines(name: str) -> list[str]:
    return [line.strip() for line in request.form.get(name, "").splitlines() if line.strip()]
