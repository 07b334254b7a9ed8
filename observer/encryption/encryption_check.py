"""What `cloister doctor` says of encryption: what is chosen, where the keys are, whether they can be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import CloisterError
from .key_providers import KeyProvider, open_provider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..settings import Settings

_LIBRARIES = ("cryptography", "pymongocrypt")


@dataclass(frozen=True)
class EncryptionState:
    """A line on encryption. `is_good` is None where nothing is asked for."""

    is_good: bool | None
    found: str
    advice: str = ""


def check_encryption(settings: Settings, table: Mapping[str, Any]) -> Iterator[EncryptionState]:
    """Whether what should be encrypted can be.

    Args:
        table: the policy's `encrypt`.
    """
    wanted = [f"{project}: {', '.join(words)}" for project, words in table.items()]
    wanted += [f"chosen by this user: {', '.join(settings.encrypt)}"] if settings.encrypt else []
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if wanted and missing:
        advice = "pip install 'cloister[encryption]'. Until then what is chosen is not recorded."
        yield EncryptionState(False, f"{', '.join(missing)} not installed ({'; '.join(wanted)})", advice)
        return
    chosen = "; ".join(wanted) or "nothing is chosen"
    try:
        provider = open_provider(settings)
        yield _judge(provider, chosen, is_wanted=bool(wanted))
    except CloisterError as error:
        yield EncryptionState(None if not wanted else False, f"{chosen}; {error}")


def _judge(provider: KeyProvider, chosen: str, *, is_wanted: bool) -> EncryptionState:
    from .key_file import KeyFile

    if not isinstance(provider, KeyFile):
        provider.find("cloister-doctor")  # whether it answers; nobody has such a project
        return EncryptionState(True, f"{chosen}; keys in {provider.where}, which answers")
    projects = provider.projects()
    if projects:
        return EncryptionState(True, f"{chosen}; keys of {', '.join(projects)} in {provider.where}")
    found = f"{chosen}; no key in {provider.where}"
    if not is_wanted:
        return EncryptionState(None, found)
    advice = "Until there is one, what is chosen is not recorded: 'cloister keys add PROJECT', or 'keys import'."
    return EncryptionState(False, found, advice)
