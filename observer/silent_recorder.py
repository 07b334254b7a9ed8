"""The recorder of a run that nobody wants recorded: it takes everything and keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .private_copies import open_to_copy
from .recorder import Recorder

if TYPE_CHECKING:
    from .live_points import LiveRun
    from .runs import RunStore


class NothingRecorded(CloisterError, LookupError):
    """Something is to be read back of a run that is not recorded."""

    def __init__(self) -> None:
        super().__init__(
            "This run is unobserved: nothing of it is recorded, so nothing can be read back. Start it without "
            "--unobserved (unobserved=True)."
        )


class SilentRecorder(Recorder):
    """Has no journal, no courier and no thread."""

    observed = False

    def __init__(self) -> None:
        self.before_beat = None
        self.on_stop = None
        self._destination = Path()

    def record_points(self, values: Mapping[str, float], step: int, wall_time: float | None = None) -> None:
        pass

    def record_hardware(self, values: Mapping[str, float], sample: int, wall_time: float) -> None:
        pass

    def record_console(self, stream: str, text: str, wall_time: float) -> None:
        pass

    def record_fields(self, fields: Mapping[str, Any]) -> None:
        pass

    def record_event(self, kind: str, text: str) -> None:
        pass

    def record_artifact(
        self, source: Path, name: str, content_type: str | None, metadata: Mapping[str, Any] | None
    ) -> None:
        with open_to_copy(source):  # a file that is not there is told all the same
            pass

    def record_resource(self, source: Path, path: str) -> None:
        with open_to_copy(source):
            pass

    def record_source(self, path: str, content: bytes) -> None:
        pass

    def record_attached(self, field: str, name: str, content: bytes, content_type: str) -> None:
        pass

    def record_end(self, status: str, **_how: Any) -> None:
        pass

    def close(self) -> None:
        pass

    @property
    def lost(self) -> dict[str, int]:
        return {"points": 0, "lines": 0, "bytes": 0}

    def start(self) -> None:
        pass

    def run_id(self, timeout_seconds: float) -> Any:
        return None

    def is_stored(self) -> bool:
        return True

    def is_unreachable(self, for_seconds: float = 0.0) -> bool:
        return False

    def as_live_run(self, uid: str, open_store: Callable[[], RunStore]) -> LiveRun:
        raise NothingRecorded()

    def left_bytes(self) -> int:
        return 0

    def wait_until_stored(self, timeout_seconds: float, *, on_wait: Callable[[int], None] | None = None) -> bool:
        return True

    def give_up_memory(self) -> None:
        pass

    def warn_unless_stored(self) -> None:
        pass
