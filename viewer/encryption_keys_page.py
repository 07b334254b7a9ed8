"""The keys page: which projects have keys, what they encrypt, and whether this viewer can use them. It changes nothing:
keys are made and destroyed by who holds them, on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from flask import Blueprint, render_template

from ..observer.encryption.chosen import chosen_for
from ..observer.encryption.key_care import ProjectKeys, count_encrypted_runs, list_keys
from ..observer.encryption.key_providers import KeyProvider, KeyProviderFailed, open_provider
from ..observer.policy import load_policy
from ..observer.settings import load_settings
from .accounts.current import current_principal
from .store_access import current_store, home_database

if TYPE_CHECKING:
    from pymongo.database import Database

bp = Blueprint("encryption_keys", __name__, url_prefix="/privacy/keys")

State = Literal["open", "locked", "forgotten", "missing", "plain"]
STATE_WORDS: dict[State, str] = {
    "open": "opens here",
    "locked": "locked here",
    "forgotten": "destroyed",
    "missing": "no key yet",
    "plain": "no key here",
}


@dataclass(frozen=True)
class KeyRow:
    """A project on the page.

    Attributes:
        state: "missing" is a project whose runs should be encrypted and have no key.
        words: what the policy has encrypted of its runs.
        run_count: runs with encrypted parts, of those that the reader sees.
    """

    project: str
    state: State
    keys: ProjectKeys | None
    words: tuple[str, ...]
    run_count: int


@bp.get("")
def show_keys() -> str:
    """The projects that the one who asks manages, as far as they have keys or should have some."""
    principal = current_principal()
    store, settings = current_store(), load_settings()
    table = load_policy(home_database()).encrypt
    provider, problem = _provider()
    known = {each.project: each for each in list_keys(store.database, provider)} if provider else {}
    runs = {project.name for project in store.list_projects()}
    rows = [
        _row(name, known.get(name), chosen_for(name, table, settings.encrypt).words, store.database)
        for name in sorted(set(known) | runs, key=str.casefold)
        if principal.may("manage", project=name)
    ]
    return render_template(
        "privacy/keys.html",
        rows=[row for row in rows if row.state != "plain"],
        state_words=STATE_WORDS,
        # Where keys lie is for those who run the site.
        where=provider.where if provider and principal.may("site") else "",
        is_file=provider is None or provider.kind == "file",
        problem=problem,
        has_policy=bool(table),
    )


def _provider() -> tuple[KeyProvider | None, str]:
    try:
        return open_provider(load_settings()), ""
    except KeyProviderFailed as error:
        return None, str(error) if current_principal().may("site") else "The keys of this viewer cannot be used."


def _row(name: str, keys: ProjectKeys | None, words: tuple[str, ...], database: Database[dict[str, Any]]) -> KeyRow:
    return KeyRow(name, _state(keys, words), keys, words, count_encrypted_runs(database, name) if keys else 0)


def _state(keys: ProjectKeys | None, words: tuple[str, ...]) -> State:
    if keys is None:
        return "missing" if words else "plain"
    if keys.is_forgotten and keys.state is None:
        return "forgotten"
    if not keys.living and keys.state is None:
        return "missing"
    return "locked" if keys.problem or keys.state is None else "open"
