"""The site's policy: what holds whatever a user, a project or a script says. The strictest of all that say something.

Three places are read, each of which may only add strictness to those before it: /etc/cloister/policy.toml, the file
that CLOISTER_POLICY names, and the database's `policy` document.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from .encryption.chosen import EVERYTHING, parse_table
from .errors import CloisterError
from .policy_values import (
    join_both,
    join_common,
    join_either,
    join_first,
    join_tables,
    parse_positive,
    parse_retention,
    parse_text,
    parse_texts,
    parse_yes_or_no,
)
from .redaction.own_rules import OwnRules, parse_rules

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

SITE_FILE = Path("/etc/cloister/policy.toml")
FILE_VARIABLE = "CLOISTER_POLICY"
DOCUMENT_ID = "site"
OF_RECORDING = ("profile", "redaction", "pseudonym_key")  # what of a policy says how runs are recorded

Profile = Literal["full", "standard", "strict"]  # from the loosest to the strictest
PROFILES: tuple[Profile, ...] = get_args(Profile)

Parse = Callable[[Any], Any]  # a value as it was written -> the field's; raises ValueError with what it should be
Join = Callable[[Any, Any], Any]  # the stricter of two


class UnknownPolicyKey(CloisterError, LookupError):
    """A policy names something that no policy has."""

    def __init__(self, source: str, name: object, known: list[str]) -> None:
        import difflib  # only a wrong name needs it

        nearest = difflib.get_close_matches(str(name), known, n=1)
        hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
        super().__init__(f"{source} has an unknown key {str(name)!r}. {hint}A policy has {', '.join(known)}.")


class BadPolicy(CloisterError, ValueError):
    """A policy holds a value that cannot be used."""

    def __init__(self, source: str, name: str, value: object, expected: str) -> None:
        super().__init__(f"{source} sets {name} to {value!r}, which is not {expected}.")


class UnreadablePolicy(CloisterError, OSError):
    """There is a policy, and it cannot be read."""

    def __init__(self, source: str, reason: object) -> None:
        super().__init__(f"{source} holds the site's policy and cannot be read: {reason}. Mend it or its permissions.")


def _how(parse: Parse, join: Join) -> dict[str, Any]:
    """How a field of the policy is read, and which of two values is the stricter."""
    return {"parse": parse, "join": join}


def _profile(value: Any) -> Profile:
    if value not in PROFILES:
        raise ValueError("one of " + ", ".join(PROFILES))
    found: Profile = value
    return found


def stricter_profile(one: Profile, other: Profile) -> Profile:
    """Of two profiles the one that records less."""
    return max(one, other, key=PROFILES.index)


@dataclass(frozen=True)
class Policy:
    """What holds on this site. Every field is also a key of policy.toml and of the database's document.

    Attributes:
        profile: how much of a run is recorded: see docs/redaction.md.
        redaction: what is redacted beside the built-in secrets.
        pseudonym_key: a file with the key of the pseudonyms that `strict` gives, so that they are the same everywhere.
        share_links: whether links may be made that let people in without an account.
        share_link_days: how long such a link holds at most.
        session_idle_hours, session_days: how long a login holds, unused and at all.
        retention: how many days what is kept; see docs/retention.md.
        encrypt: what is stored encrypted; see docs/encryption.md.
        require_totp: whether everybody needs a second factor.
        trusted_proxies: the addresses whose identity headers count.
        sources: where something of this was said, for people.
    """

    profile: Profile = field(default="full", metadata=_how(_profile, stricter_profile))
    redaction: OwnRules = field(default_factory=OwnRules, metadata=_how(lambda value: value, OwnRules.and_also))
    pseudonym_key: str = field(default="", metadata=_how(parse_text, join_first))
    share_links: bool = field(default=True, metadata=_how(parse_yes_or_no, join_both))
    share_link_days: float = field(default=30.0, metadata=_how(parse_positive, min))
    session_idle_hours: float = field(default=12.0, metadata=_how(parse_positive, min))
    session_days: float = field(default=7.0, metadata=_how(parse_positive, min))
    retention: Mapping[str, Any] = field(default_factory=dict, metadata=_how(parse_retention, join_tables))
    encrypt: Mapping[str, Any] = field(default_factory=dict, metadata=_how(parse_table, join_tables))
    require_totp: bool = field(default=False, metadata=_how(parse_yes_or_no, join_either))
    trusted_proxies: tuple[str, ...] = field(default=(), metadata=_how(parse_texts, join_common))
    sources: tuple[str, ...] = ()


STRICTEST = Policy(
    profile="strict",
    redaction=OwnRules(emails=True, addresses=True),
    share_links=False,
    encrypt={"*": [EVERYTHING]},  # what cannot be read may say so
)


def load_policy(database: Database[dict[str, Any]] | None = None) -> Policy:
    """The policy of this machine, and of the database where one is given.

    Raises:
        UnknownPolicyKey, BadPolicy, BadRedactionRule, UnreadablePolicy: a policy is there that cannot be understood.
            Whoever asks in order to decide something then decides as if it were forbidden.
    """
    policy, said = Policy(), set[str]()
    site = _read_file(SITE_FILE)
    if site is not None:
        policy = tighten(policy, site, str(SITE_FILE), said)
    named = os.environ.get(FILE_VARIABLE)
    if named:
        path = Path(named).expanduser()
        found = _read_file(path)
        if found is None:
            raise UnreadablePolicy(f"{path} (from {FILE_VARIABLE})", "there is no such file")
        # A user chooses this file: in it, nothing can be granted that the site has not granted.
        policy = tighten(policy, found, f"{path} (from {FILE_VARIABLE})", {one.name for one in fields(Policy)})
        said |= found.keys()
    if database is not None:
        document = policy_document(database)
        if document is not None:
            policy = tighten(policy, document, f"The policy in {database.name}", said)
    return policy


def recording_policy(folders: Iterable[Path] = ()) -> Policy:
    """The policy of this machine, for recording: one that cannot be understood is the strictest. Never raises.

    Args:
        folders: of a destination's journals. A courier leaves there what the database's policy says: a training does
            not wait for the database, but the journal is written by that policy too.
    """
    try:
        policy = load_policy()
        from .kept_policy import KEPT_FILE, kept_policy  # which knows this module

        for folder in folders:
            found = kept_policy(folder)
            if found is not None:
                everything = {one.name for one in fields(Policy)}
                return tighten(policy, found, f"{folder / KEPT_FILE} (the database's)", everything)
        return policy
    except (CloisterError, OSError) as error:
        logger.warning("%s Until then runs are recorded under the profile 'strict'.", error)
        return replace(STRICTEST, sources=("a policy that cannot be read",))


def store_recording_policy(database: Database[dict[str, Any]], table: Mapping[str, Any], *, by: str) -> None:
    """Have the database's policy say this of recording, in the place of what it said of it before.

    Args:
        table: of `OF_RECORDING`; a key that is left out is said nothing of.
        by: who changes it.

    Raises:
        UnknownPolicyKey, BadPolicy, BadRedactionRule: something in the table cannot be used; nothing is changed then.
    """
    for name in table:
        if name not in OF_RECORDING:
            raise UnknownPolicyKey("The policy", name, list(OF_RECORDING))
    tighten(Policy(), table, "The policy")
    changed = {**table, "changed_at": datetime.now(timezone.utc), "changed_by": by}
    unset = {name: "" for name in OF_RECORDING if name not in table}
    update = {"$set": changed, **({"$unset": unset} if unset else {})}
    database["policy"].update_one({"_id": DOCUMENT_ID}, update, upsert=True)


def policy_digest(document: Mapping[str, Any] | None) -> str:
    """Names what a stored policy says of recording; empty where it says nothing."""
    said = {name: value for name, value in (document or {}).items() if name in OF_RECORDING}
    if not said:
        return ""
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def tighten(policy: Policy, table: Mapping[str, Any], source: str, said: set[str] | None = None) -> Policy:
    """`policy` with what `table` adds to it in strictness.

    Args:
        said: the keys that a place before has given, which this one may only narrow; its own are added. The first
            to say something of a key says it as against the default, which may be the stricter one.

    Raises:
        UnknownPolicyKey, BadPolicy, BadRedactionRule: something in the table cannot be used.
    """
    said = set() if said is None else said
    known = {one.name: one for one in fields(Policy) if one.name != "sources"}
    changed: dict[str, Any] = {}
    for name, written in table.items():
        if name not in known:
            raise UnknownPolicyKey(source, name, list(known))
        value = _parse(known[name], written, source)
        changed[name] = value if name not in said else known[name].metadata["join"](getattr(policy, name), value)
        said.add(name)
    return replace(policy, **changed, sources=(*policy.sources, source))


def policy_document(database: Database[dict[str, Any]]) -> dict[str, Any] | None:
    """What the database's policy says, without who changed it and when; None where there is none."""
    document = database["policy"].find_one({"_id": DOCUMENT_ID})
    if document is None:
        return None
    return {name: value for name, value in document.items() if name not in ("_id", "changed_at", "changed_by")}


def _parse(one: Field[Any], written: Any, source: str) -> Any:
    if one.name == "redaction":
        return parse_rules(written, source)
    try:
        return one.metadata["parse"](written)
    except ValueError as error:
        raise BadPolicy(source, one.name, written, str(error)) from None


def _read_file(path: Path) -> dict[str, Any] | None:
    """The table in a file; None where there is no file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadablePolicy(str(path), getattr(error, "strerror", None) or "it is not text") from error
    if sys.version_info >= (3, 11):  # only where there is a file
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise UnreadablePolicy(str(path), f"it is not TOML ({error})") from error
