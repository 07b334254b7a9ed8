"""The installed distributions and their versions, as a requirements file would name them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

LISTED_DISTRIBUTIONS = 5_000
_NAME_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True)
class InstalledDistributions:
    """`installed` is `name==version`, sorted by name without case; `editable` names those that are source folders."""

    installed: tuple[str, ...]
    editable: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_distributions() -> InstalledDistributions:
    """What `import` could find installed; of two with one name the one that Python would take. Never raises."""
    from importlib import metadata  # 20 ms, with email and zipfile: spares the start of a run

    found: dict[str, tuple[str, str, bool]] = {}
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
        tuple(f"{name}=={version}" for name, version, _ in ordered),
        tuple(name for name, _, is_editable in ordered if is_editable),
        notes,
    )


def _read_one(distribution: Distribution, found: dict[str, tuple[str, str, bool]], damaged: list[str]) -> None:
    try:
        header = _read_header(distribution)
        name, version = header.get("name"), header.get("version")
        if not name or not version:
            damaged.append(name or str(getattr(distribution, "_path", "one without a name")))
            return
        key = _NAME_SEPARATORS.sub("-", name).lower()
        if key not in found:
            found[key] = (name, version, _is_editable(distribution))
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
