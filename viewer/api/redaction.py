"""What is recorded and redacted on the site, and changing that."""

from __future__ import annotations

from typing import Any

from ...observer.policy import PROFILES
from ...observer.redaction.own_rules import OwnRules, parse_rules
from ..redaction_changes import as_table, change_recording, policy_in_force
from .route import Route
from .run_json import TEXT, TEXTS, map_schema, object_schema

PATTERN: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 500}
GLOBS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 200},
    "maxItems": 200,
}
RULES_SCHEMA = object_schema(
    patterns=map_schema(TEXT),
    config=TEXTS,
    environment=TEXTS,
    emails={"type": "boolean"},
    addresses={"type": "boolean"},
)
RECORDING_SCHEMA = object_schema(profile={"enum": list(PROFILES)}, redaction=RULES_SCHEMA, sources=TEXTS)


def show_recording() -> dict[str, Any]:
    policy = policy_in_force()
    return {"profile": policy.profile, "redaction": _as_json(policy.redaction), "sources": list(policy.sources)}


def set_recording(body: dict[str, Any]) -> dict[str, Any]:
    change_recording(as_table(str(body.get("profile", "full")), parse_rules(body.get("redaction", {}), "The body")))
    return show_recording()


def _as_json(own: OwnRules) -> dict[str, Any]:
    return {
        "patterns": dict(own.patterns),
        "config": list(own.config),
        "environment": list(own.environment),
        "emails": own.emails,
        "addresses": own.addresses,
    }


ROUTES: tuple[Route, ...] = (
    Route(
        path="/recording",
        name="show_recording",
        summary="How much of runs is recorded, and what is redacted",
        handler=show_recording,
        answer=RECORDING_SCHEMA,
    ),
    Route(
        path="/recording",
        name="set_recording",
        summary="Say what the database's policy asks of recording; what machines ask beyond that stays",
        handler=set_recording,
        answer=RECORDING_SCHEMA,
        method="PUT",
        body={
            "type": "object",
            "properties": {
                "profile": {"enum": list(PROFILES)},
                "redaction": {
                    "type": "object",
                    "properties": {
                        "patterns": {"type": "object", "additionalProperties": PATTERN},
                        "config": GLOBS,
                        "environment": GLOBS,
                        "emails": {"type": "boolean"},
                        "addresses": {"type": "boolean"},
                    },
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
    ),
)
