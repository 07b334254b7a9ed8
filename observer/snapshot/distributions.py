"""The installed distributions and their versions, as a requirements file would name them."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

LISTED_DISTRIBUTIONS = 5_000
RECORD_CHARACTERS = 200_000  # of a list of files; torch's is ten times as long, and its modules stand in the beginning
_NAME_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True)
class InstalledDistributions:
    """`installed` is `name==version`, sorted by name without case; `imported` are those of them of which this process
    has imported a module; `editable` names those that are source folders."""

    installed: tuple[str, ...]
    imported: tuple[str, ...]
    editable: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_distributions() -> InstalledDistributions:
    """What `import` could find installed; of two with one name the one that Python would take. Never raises."""
    from importlib import metadata  # 20 ms, with email and zipfile: spares the start of a run

    found: dict[str, _Found] = {}
    damaged: list[str] = []
    try:
        for distribution in metadata.distributions():
            if len(found) == LISTED_DISTRIBUTIONS:
                break
            _read_one(distribution, found, damaged)
    except Exception as error:
        # Wide on purpose: any finder on sys.meta_path takes part here; a list that stops early is still worth it.
        damaged.append(f"the rest ({type(error).__name__}: {error})")
    ordered = [found[key] for key in sorted(found)]
    notes = (f"Packages with unreadable metadata: {', '.join(damaged[:20])}.",) if damaged else ()
    return InstalledDistributions(
        tuple(str(one) for one in ordered),
        tuple(str(one) for one in ordered if one.is_imported),
        tuple(one.name for one in ordered if one.is_editable),
        notes,
    )


@dataclass(frozen=True)
class _Found:
    name: str
    version: str
    is_editable: bool
    is_imported: bool

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def _read_one(distribution: Distribution, found: dict[str, _Found], damaged: list[str]) -> None:
    try:
        header = _read_header(distribution)
        name, version = header.get("name"), header.get("version")
        if not name or not version:
            damaged.append(name or str(getattr(distribution, "_path", "one without a name")))
            return
        key = _NAME_SEPARATORS.sub("-", name).lower()
        if key not in found:
            is_imported = _is_imported(distribution, key.replace("-", "_"))
            found[key] = _Found(name, version, _is_editable(distribution), is_imported)
    except Exception as error:
        # Wide on purpose: metadata is written by anybody, and one bad package costs that package alone.
        damaged.append(f"{getattr(distribution, '_path', distribution)} ({type(error).__name__})")


def _read_header(distribution: Distribution) -> dict[str, str]:
    """Name and version from the head of the metadata. `distribution.metadata` parses all of it, 5 times slower."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or distribution.read_text("") or ""
    header: dict[str, str] = {}
    for line in text.split("\n", 200)[:200]:
        if not line.strip():
            break
        key, _, value = line.partition(":")
        if key.lower() in ("name", "version"):
            header.setdefault(key.lower(), value.strip())
    return header


def _is_editable(distribution: Distribution) -> bool:
    text = distribution.read_text("direct_url.json")
    if not text:
        return False
    origin = json.loads(text)
    return isinstance(origin, dict) and bool((origin.get("dir_info") or {}).get("editable"))


def _is_imported(distribution: Distribution, likely: str) -> bool:
    """Whether one of its modules is imported; `likely` is what most call theirs."""
    if likely in sys.modules:
        return True
    named = distribution.read_text("top_level.txt")
    if named is None:  # as many build it now: PIL is found among the files of pillow
        lines = (distribution.read_text("RECORD") or "")[:RECORD_CHARACTERS].splitlines()
        named = " ".join({line.partition("/")[0].removesuffix(".py") for line in lines if " " not in line})
    return any(module in sys.modules for module in named.split())
