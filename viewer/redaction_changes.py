"""What the site records and redacts, and changing that: for the page and the REST API alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..observer.policy import OF_RECORDING, PROFILES, Policy, load_policy, policy_document, store_recording_policy
from ..observer.redaction.own_rules import OwnRules
from .accounts.current import current_principal
from .audit_notes import note
from .store_access import home_database


def stored_table() -> dict[str, Any]:
    """What the database's policy says of recording, as it was written."""
    document = policy_document(home_database()) or {}
    return {name: document[name] for name in OF_RECORDING if name in document}


def machine_policy() -> Policy:
    """What the files of this machine say: the database's policy can only add to it."""
    return load_policy()


def policy_in_force() -> Policy:
    return load_policy(home_database())


def change_recording(table: Mapping[str, Any]) -> None:
    """Have the database's policy say this of recording, once that is in the audit log.

    Raises:
        UnknownPolicyKey, BadPolicy, BadRedactionRule: something of it cannot be used.
    """
    before = stored_table()
    rules = table.get("redaction") or {}
    note(
        "policy-changed",
        target="recording",
        before=str(before.get("profile", "full")),
        after=str(table.get("profile", "full")),
        rules=sorted(rules.get("patterns") or {}),
    )
    store_recording_policy(home_database(), table, by=current_principal().name or "local")


def as_table(profile: str, own: OwnRules) -> dict[str, Any]:
    """The policy's table, without what says nothing."""
    said: dict[str, Any] = {
        "patterns": dict(own.patterns),
        "config": list(own.config),
        "environment": list(own.environment),
        "emails": own.emails,
        "addresses": own.addresses,
    }
    rules = {name: value for name, value in said.items() if value}
    return {**({"profile": profile} if profile in PROFILES[1:] else {}), **({"redaction": rules} if rules else {})}
