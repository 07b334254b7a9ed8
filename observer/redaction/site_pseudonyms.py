"""The pseudonyms that the site's own key gives: for those who have it, to find what a person has recorded."""

from __future__ import annotations

import logging
from pathlib import Path

from ..errors import CloisterError
from ..policy import load_policy
from .pseudonyms import is_pseudonym, load_pseudonyms

logger = logging.getLogger("cloister")


def site_pseudonym(kind: str, name: str) -> str:
    """The pseudonym of a "person" or a "host"; "" where the policy names no key, or this process may not read it."""
    if is_pseudonym(name):  # nobody is called so, and whoever is all the same gets no one's runs by it
        return ""
    try:
        named = load_policy().pseudonym_key
        return load_pseudonyms(named, Path()).of(kind, name) if named and name else ""
    except (CloisterError, OSError) as error:  # who cannot be told is nobody
        logger.debug("No pseudonym can be told: %s", error)
        return ""
