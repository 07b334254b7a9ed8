"""The data key that a training encrypts with, had without asking the database."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .chosen import chosen_for
from .data_keys import DataKey, new_data_key, project_digest, read_facts, unwrapped, wrapped_document
from .key_providers import KeyProvider, KeyUnavailable, open_provider

if TYPE_CHECKING:
    from ..settings import Settings
    from .run_sealing import Sealing

logger = logging.getLogger("cloister")

FOLDER = "keys"  # in the data folder: wrapped data keys, which tell nothing without the provider
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def begin_sealing(header: Mapping[str, Any], settings: Settings, table: Mapping[str, Any]) -> Sealing | None:
    """How a run that begins is encrypted; None where nothing of it is. Never raises.

    Args:
        header: the first record of the run's journal.
        table: the policy's `encrypt`.
    """
    project = str(header.get("project") or "")
    chosen = chosen_for(project, table, settings.encrypt)
    if not chosen:
        return None
    from .run_sealing import RunSealing, Withholding

    try:
        key, document = recording_key(project, settings)
        return RunSealing(chosen, key, document, str(header["uid"]))
    except Exception as error:
        # Wide on purpose: the training outranks its record, and a library that cannot be loaded may raise anything.
        # What cannot be encrypted is not recorded.
        logger.warning("%s Until then %s of runs of this project are not recorded.", error, ", ".join(chosen.words))
        return Withholding(chosen)


def recording_key(project: str, settings: Settings) -> tuple[DataKey, Mapping[str, Any]]:
    """The project's data key on this machine, and how it is stored; a new one where there is none, or a rotated one.

    Raises:
        KeyUnavailable, KeyProviderFailed: the provider has no key for the project, or does not answer.
    """
    provider = open_provider(settings)
    state = provider.find(project)
    if state is None:
        advice = f"Import it ('cloister keys import'), or make one if it has none: 'cloister keys add {project}'."
        raise KeyUnavailable(project, f"{provider.where} has none", advice)
    kept = load_kept(settings, project)
    if kept is not None and read_facts(kept).version == state.newest:
        try:
            return unwrapped(kept, provider), kept
        except KeyUnavailable as error:  # it was kept for another key of that name
            logger.debug("%s", error)
    return make_recording_key(project, provider, settings)


def make_recording_key(project: str, provider: KeyProvider, settings: Settings) -> tuple[DataKey, Mapping[str, Any]]:
    """A new data key, kept for the next run on this machine."""
    key = new_data_key(project)
    document = wrapped_document(key, provider)
    keep_for_recording(settings, project, document)
    return key, document


def load_kept(settings: Settings, project: str) -> dict[str, Any] | None:
    """The wrapped data key that was kept on this machine."""
    from bson import decode
    from bson.errors import BSONError

    try:
        document = decode(_path(settings, project).read_bytes())
        return document if read_facts(document).project == project and "keyMaterial" in document else None
    except (OSError, BSONError, KeyError, TypeError):
        return None


def keep_for_recording(settings: Settings, project: str, document: Mapping[str, Any]) -> None:
    """Keep a wrapped data key for the next runs on this machine. Where that fails, they make one each."""
    from bson import Binary, encode

    path = _path(settings, project)
    new = path.with_name(f"{path.name}.{os.urandom(6).hex()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(new, _NEW, 0o600), "wb") as file:
            file.write(encode({**document, "_id": Binary(read_facts(document).id, 4)}))
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        logger.debug("The data key of %r is not kept in %s: %s", project, path, error)


def forget_kept(settings: Settings, project: str) -> None:
    _path(settings, project).unlink(missing_ok=True)


def _path(settings: Settings, project: str) -> Path:
    return settings.data_folder / FOLDER / f"{project_digest(project)}.bson"
