"""Taking a place in a run that may exist already: asking who writes it, what it was, and making it ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..observer.encryption.chosen import chosen_for
from ..observer.encryption.opened import opened_document
from ..observer.errors import CloisterError
from ..observer.field_names import decode_field_name
from ..observer.journal_places import journal_places
from ..observer.policy import recording_policy
from ..observer.process_facts import is_ancestor
from ..observer.redaction.marks import holds_mark
from ..observer.redaction.run_redaction import begin_redaction
from ..observer.run_claim import (
    KnownRun,
    NoRunToResume,
    RunHasEnded,
    RunIsAlive,
    claim_run,
    find_run,
    read_known,
    refuse_if_alive,
    refuse_joiner,
)
from ..observer.run_sessions import resumption
from ..observer.session_names import as_uid
from ..observer.settings import Settings
from ..observer.waiting_run import find_waiting, find_writer, read_waiting
from ..observer.writer_lock import holder, take_writer_lock
from .ranks import JobPlace
from .run_identity import Identity

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

PATIENCE_MS = 1000  # for a database that could only say more; a training starts within a second without it
NUMBER_PATIENCE_MS = 5000  # a number means nothing without it
LATE_RANK_SECONDS = 60.0
SHOWN_CHANGES = 5
KEPT_CHANGES = 200


class ResumeNeedsDatabase(CloisterError, ConnectionError):
    """A run is to be resumed by something that only the database can look up, and that is away."""

    def __init__(self, which: object, reason: object) -> None:
        super().__init__(
            f"Which run {which!r} is, only the database knows. {reason} Pass the run's uid to resume it without: it is "
            "printed by 'print(run.uid)' and stands in the run's journal folder."
        )


@dataclass(frozen=True)
class Takeover:
    """What is to be found out, and with what."""

    settings: Settings
    project: str | None
    config_beside: Callable[[dict[str, Any]], Mapping[str, Any]]
    place: JobPlace

    def resume(self, which: int | str) -> Identity:
        """Go on with a run that must exist, in rank 0; join it in the others."""
        uid, document, problem = self._look_up(which)
        if uid is None:
            raise NoRunToResume(which, self._where(), is_foreign=document is not None)
        if self.place.rank:
            return self._locked(Identity(uid, self.place, known=read_known(document) if document else None))
        document, known = self._gather(uid, document, problem)
        if problem is None and known is None:
            raise NoRunToResume(which, self._where())
        return self._take_over(uid, document, known, problem)

    def resume_or_start(self, uid: str) -> Identity:
        """Go on with a run if it has been started before."""
        if self.place.rank:
            return self._locked(Identity(uid, self.place))
        _, document, problem = self._look_up(uid)
        document, known = self._gather(uid, document, problem)
        if known is None:
            return self._locked(Identity(uid, self.place))
        return self._take_over(uid, document, known, problem)

    def join(self, uid: str) -> Identity:
        """Be one of the processes of a run, which may or may not have been started by another of them."""
        identity = self._locked(Identity(uid, self.place))
        try:
            _, document, problem = self._look_up(uid)
            if document is not None:
                refuse_joiner(document, self.place.rank, grace_seconds=LATE_RANK_SECONDS)
        except (RunHasEnded, RunIsAlive):
            if identity.lock is not None:
                identity.lock.release()
            raise
        if problem is not None:
            logger.info("Whether run %s is over already is not known: %s", uid, problem)
        return identity

    def _take_over(
        self, uid: str, document: dict[str, Any] | None, known: KnownRun | None, problem: Exception | None
    ) -> Identity:
        identity = self._locked(Identity(uid, self.place, known=known or KnownRun(uid)))
        try:
            kept = identity.known.config if identity.known else None
            changes = config_changes(kept, self.config_beside(kept)) if kept else []
            changes = without_encrypted(changes, identity.known, self.settings) if changes else []
            redaction, _ = begin_redaction(self.settings, journal_places(self.settings))
            identity.session, changes = redaction.session(identity.session), redaction.differences(changes)
            self._refuse_local_writer(uid, document)
            identity.note = self._claim(document, identity, changes)
        except BaseException:  # Ctrl-C too: the lock must not outlive the attempt
            if identity.lock is not None:
                identity.lock.release()
            raise
        if problem is not None:
            self._warn_of_guesses(identity, problem)
        _tell_changes(identity, changes)
        return identity

    def _claim(self, document: dict[str, Any] | None, identity: Identity, changes: list[dict[str, Any]]) -> Any:
        stopped = identity.known.stopped if identity.known else None
        note = resumption(identity.session, identity.session["time"], stopped=stopped, config=changes)
        if document is None:
            return note  # the courier claims the run when it registers it
        refuse_if_alive(document)
        claimed, problem = self._ask(lambda database: claim_run(database, document, identity.session, changes))
        return note if problem is not None else claimed

    def _gather(
        self, uid: str, document: dict[str, Any] | None, problem: Exception | None
    ) -> tuple[dict[str, Any] | None, KnownRun | None]:
        """The run's document as it is now, and what it and the journal that waits here know together."""
        waiting = read_waiting(journal_places(self.settings), uid)
        if problem is None:
            # Asked again: what was shipped before we looked for it here, the whole run maybe, is stored by now.
            document = self._ask(lambda database: _find_opened(database, uid))[0] or document
        if document is None:
            return None, waiting
        stored = read_known(document)
        if waiting is None:
            return document, stored
        return document, replace(stored, next_step=max(stored.next_step, waiting.next_step))

    def _look_up(self, which: int | str) -> tuple[str | None, dict[str, Any] | None, Exception | None]:
        """The run's uid and document, and why the database could not be asked."""
        uid = as_uid(which) if isinstance(which, str) else None
        document, problem = self._ask(lambda database: _find_opened(database, which, self.project), patient=uid is None)
        if document is not None:
            return (document.get("cloister") or {}).get("uid") or uid, document, None
        uid = uid or find_waiting(journal_places(self.settings), which)
        if problem is not None and uid is None:
            raise ResumeNeedsDatabase(which, problem) from problem
        return uid, None, problem

    def _ask(self, question: Any, *, patient: bool = False) -> tuple[Any, Exception | None]:
        """Put a question to the database; without an answer, why there is none."""
        from pymongo.errors import PyMongoError

        from ..observer.mongo import check, client_for, database_name, resolve_uri

        try:
            uri = resolve_uri(self.settings)
            with closing(client_for(uri, timeout_ms=NUMBER_PATIENCE_MS if patient else PATIENCE_MS)) as client:
                check(client)
                database: Database[dict[str, Any]] = client[database_name(uri, self.settings)]
                return question(database), None
        except (RunHasEnded, RunIsAlive, NoRunToResume):
            raise
        except (CloisterError, PyMongoError, OSError) as error:
            return None, error

    def _locked(self, identity: Identity) -> Identity:
        """`identity` with the right to write its rank on this machine."""
        for place in journal_places(self.settings):
            try:
                lock = take_writer_lock(place, identity.uid, identity.place.rank)
            except OSError as error:
                logger.debug("No lock can be held in %s: %s", place, error)
                continue
            if lock is None:
                self._refuse(identity, holder(place, identity.uid, identity.place.rank))
            identity.lock = lock
            break
        return identity

    def _refuse(self, identity: Identity, process: dict[str, Any]) -> None:
        raise _is_taken(identity.uid, process, identity.place.rank)

    def _refuse_local_writer(self, uid: str, document: dict[str, Any] | None) -> None:
        """A run that was started without a name of its own holds no lock, but its journal."""
        process = find_writer(journal_places(self.settings), uid)
        if process is not None:
            raise _is_taken(str(document["_id"]) if document else uid, process, 0)

    def _warn_of_guesses(self, identity: Identity, problem: Exception) -> None:
        known = identity.known or KnownRun(identity.uid)
        logger.warning(
            "%s Run %s is resumed from what this machine knows of it: it counts steps from %d on%s. If another process "
            "records it, both are kept.",
            problem,
            identity.uid,
            known.next_step,
            "" if known.config is not None else " and has the config of this script",
        )

    def _where(self) -> str:
        from ..observer.mongo import redact_uri

        return redact_uri(self.settings.uri) if self.settings.uri else "the embedded database"


def _find_opened(
    database: Database[dict[str, Any]], which: int | str, project: str | None = None
) -> dict[str, Any] | None:
    """As `find_run`, with what is encrypted in the clear; what this machine has no key for stays as it is stored."""
    document = find_run(database, which, project)
    return None if document is None else opened_document(database, document, keeps_locked=True)


def without_encrypted(
    changes: list[dict[str, Any]], known: KnownRun | None, settings: Settings
) -> list[dict[str, Any]]:
    """The changes without the values of encrypted entries: they are logged, and noted in the run as they are."""
    project = (known.fields.get("project") if known is not None else None) or settings.project or ""
    chosen = chosen_for(str(project), recording_policy(journal_places(settings)).encrypt, settings.encrypt)
    if not chosen.has_config:
        return changes
    hidden = {"kept": "<encrypted>", "given": "<encrypted>"}
    return [{**change, **hidden} if chosen.has_key(change["key"]) else change for change in changes]


def inherits_identity(error: Exception, settings: Settings) -> bool:
    """Whether a run is taken by the process that started this one, whose environment this one has inherited."""
    if not isinstance(error, RunIsAlive) or settings.run is None or error.process is None:
        return False
    return is_ancestor(error.process)


def config_changes(kept: Mapping[str, Any] | None, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How a script's config differs from the one that a run keeps: `{key, kept, given}` for each value.

    Nothing where one of them has no values at all: then there is nothing to compare.
    """
    if not kept or not given:
        return []
    old, new = _leaves(kept), _leaves(given)
    # What was redacted of the kept config cannot be compared.
    keys = [
        key
        for key in {**old, **new}
        if (key not in old or key not in new or old[key] != new[key]) and not holds_mark(old.get(key))
    ]
    return [{"key": key, "kept": old.get(key), "given": new.get(key)} for key in keys[:KEPT_CHANGES]]


def _is_taken(run: str, process: Mapping[str, Any], rank: int) -> RunIsAlive:
    if process.get("pid") == os.getpid():
        error = RunIsAlive(run, "by this very process (finish() it first)", None, rank=rank)
    else:
        where = f"by process {process['pid']}" if process.get("pid") else "by another process"
        error = RunIsAlive(run, f"{where} on this host", None, rank=rank)
    error.process = dict(process)
    return error


def _leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{decode_field_name(key)}"
        if isinstance(value, Mapping) and value:
            leaves.update(_leaves(value, f"{name}."))
        else:
            leaves[name] = value
    return leaves


def _tell_changes(identity: Identity, changes: list[dict[str, Any]]) -> None:
    if changes:
        shown = ", ".join(
            f"{change['key']} {change['kept']!r} -> {change['given']!r}" for change in changes[:SHOWN_CHANGES]
        )
        more = f" and {len(changes) - SHOWN_CHANGES} more" if len(changes) > SHOWN_CHANGES else ""
        run = identity.known.id if identity.known and identity.known.id is not None else identity.uid
        logger.warning("Run %s keeps its config; what this script has otherwise is noted: %s%s.", run, shown, more)
