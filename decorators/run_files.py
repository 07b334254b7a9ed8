"""The files of a run: those that it makes (artifacts), and those that it reads (resources)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from ..observer.bson_values import NAME_LIMIT, to_bson, to_text
from ..observer.errors import CloisterError
from ..observer.private_copies import CopyNotKept

METADATA_LIMIT_BYTES = 64 * 1024  # those of all artifacts are in the one document of the run
_READING = frozenset({"r", "rb", "rt", "br", "tr"})


class BadResourceMode(CloisterError, ValueError):
    """A resource was to be opened for writing."""

    def __init__(self, mode: object) -> None:
        super().__init__(
            f"A resource is a file that the run reads, and mode {mode!r} would write it. Open it with 'r' or 'rb'; "
            "what the run makes goes through run.log_artifact."
        )


class FileTaker(Protocol):
    """Where files are recorded: see `observer.recorder.Recorder`."""

    def record_artifact(
        self, source: Path, name: str, content_type: str | None, metadata: Mapping[str, Any] | None
    ) -> None: ...

    def record_resource(self, source: Path, path: str) -> None: ...


class RunFiles:
    """Records files as they are now. What cannot be recorded is refused or reported, never raised from in here."""

    def __init__(
        self,
        recorder: FileTaker,
        refuse: Callable[[Exception, object], None],
        report: Callable[[Exception, object], None],
    ) -> None:
        """
        Args:
            refuse: takes what the script has given wrong, with its cause: one that is known already is not told again.
            report: takes what went wrong in here.
        """
        self._recorder = recorder
        self._refuse = refuse
        self._report = report

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        name: str | None,
        content_type: str | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        """See `Run.log_artifact`."""

        def record() -> None:
            source = Path(path)
            self._recorder.record_artifact(
                source,
                to_text(name or source.name, NAME_LIMIT),
                None if content_type is None else to_text(content_type, NAME_LIMIT),
                to_bson(dict(metadata or {}), METADATA_LIMIT_BYTES),
            )

        self._record("Artifact", path, record)

    def add_resource(self, path: str | os.PathLike[str]) -> None:
        """See `Run.add_resource`."""
        absolute = Path(path).absolute()
        self._record("Resource", path, lambda: self._recorder.record_resource(absolute, to_text(str(absolute))))

    def open_resource(self, path: str | os.PathLike[str], mode: str, **how: Any) -> IO[Any]:
        """See `Run.open_resource`."""
        if mode not in _READING:
            raise BadResourceMode(mode)
        opened: IO[Any] = open(path, mode, **how)  # noqa: SIM115, PTH123 - the caller closes it, as with open()
        self.add_resource(path)
        return opened

    def _record(self, what: str, path: str | os.PathLike[str], act: Callable[[], None]) -> None:
        cause = (what, str(path))
        try:
            act()
        except CopyNotKept as error:
            self._refuse(error, cause)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"{what} {str(path)!r} is not recorded: {reason}. Pass the path of a file that can be read."
            self._refuse(type(error)(error.errno, message) if error.errno else OSError(message), cause)
        except Exception as error:
            # Wide on purpose: the training outranks its record.
            self._report(error, (what, type(error)))
