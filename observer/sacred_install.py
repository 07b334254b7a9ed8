"""Whether Sacred can be imported here: 0.8.7, its last release, needs a module that setuptools no longer has."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from .errors import CloisterError

INSTALL = "pip install 'setuptools<81'"


class SacredCannotBeImported(CloisterError, ImportError):
    """Sacred is needed, and is not there or does not work."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)


def sacred_version() -> str | None:
    """The version that is installed, None without one. Imports nothing."""
    try:
        return version("sacred")
    except PackageNotFoundError:
        return None


def sacred_problem() -> str | None:
    """Why `import sacred` fails here, and what to install; None where it should work."""
    known = sacred_version()
    if known is None:
        return "Sacred is not installed. Run: pip install 'cloister[sacred]'"
    if find_spec("pkg_resources") is None:
        return (
            f"Sacred {known} is installed and cannot be imported: it needs pkg_resources, which setuptools has no more "
            f"since version 82, and which Python 3.12 and later come without. Run: {INSTALL}"
        )
    return None


def require_sacred() -> None:
    """Return where Sacred can be imported.

    Raises:
        SacredCannotBeImported: it cannot; says what to install.
    """
    problem = sacred_problem()
    if problem is not None:
        raise SacredCannotBeImported(problem)
