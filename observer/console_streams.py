"""Streams that pass everything on to the one they stand for and tell a listener what was written."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

CHUNK_BYTES = 64 * 1024  # of a large binary write, decoded at a time

Hear = Callable[[str], None]  # takes what was written; neither it nor the one that is told of a flush raises


class RecordedStream:
    """Stands in for a text stream: whatever is asked of it, the original answers.

    `write` writes to the original first; what that raises rises unchanged, and only what it took is heard. Attributes
    that the script sets land on the original, so they outlive us; its patched `write` stays here, because on the
    original it would call itself through us. It says that it is of the original's class, because scripts ask
    `isinstance(sys.stdout, io.TextIOWrapper)` before `reconfigure`.
    """

    def __init__(self, original: Any, hear: Hear, note_flush: Callable[[], None]) -> None:
        own = self.__dict__
        own["_cloister_original"] = original
        own["_cloister_hear"] = hear
        own["_cloister_note_flush"] = note_flush
        own["_cloister_buffer"] = None

    def write(self, text: str, /) -> Any:
        written = self._cloister_original.write(text)
        hear = self._cloister_hear
        if hear is not None and text:
            # A subclass of str (markupsafe.Markup) could do anything when joined, so it becomes plain text.
            hear(text if type(text) is str else str.__str__(text))
        return written

    def writelines(self, lines: Iterable[str], /) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._cloister_original.flush()
        if self._cloister_hear is not None:
            self._cloister_note_flush()

    @property
    def buffer(self) -> Any:
        """The original's binary buffer, recorded too. AttributeError where the original has none (StringIO)."""
        return self._cloister_wrap_buffer(self._cloister_original.buffer)

    def detach(self) -> Any:
        # io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8") is a common line; what it prints is heard as bytes.
        encoding = self._cloister_original.encoding
        return self._cloister_wrap_buffer(self._cloister_original.detach(), encoding)

    def _cloister_wrap_buffer(self, buffer: Any, encoding: str | None = None) -> RecordedBuffer:
        wrapped: RecordedBuffer | None = self._cloister_buffer
        if wrapped is None or wrapped._cloister_original is not buffer:
            encoding = encoding or getattr(self._cloister_original, "encoding", None) or "utf-8"
            wrapped = RecordedBuffer(buffer, encoding, lambda text: self._cloister_pass_on(text))
            self.__dict__["_cloister_buffer"] = wrapped
        return wrapped

    def _cloister_pass_on(self, text: str) -> None:
        hear = self._cloister_hear
        if hear is not None:
            hear(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cloister_original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("write", "writelines", "flush"):
            self.__dict__[name] = value
        else:
            setattr(self._cloister_original, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__:
            del self.__dict__[name]
        else:
            delattr(self._cloister_original, name)

    def __enter__(self) -> RecordedStream:
        self._cloister_original.__enter__()
        return self

    def __exit__(self, *exception: Any) -> Any:
        return self._cloister_original.__exit__(*exception)

    def __iter__(self) -> Iterator[str]:
        return iter(self._cloister_original)

    def __next__(self) -> Any:
        return next(self._cloister_original)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._cloister_original.__reduce_ex__(protocol)  # a stream refuses to be copied, and says so

    def __dir__(self) -> Iterable[str]:
        return dir(self._cloister_original)

    def __repr__(self) -> str:
        return repr(self._cloister_original)

    @property  # type: ignore[misc]  # read-only here, though object's can be assigned
    def __class__(self) -> Any:
        return type(self._cloister_original)


class RecordedBuffer:
    """Stands in for the binary buffer under a text stream; what it is given is heard as text."""

    def __init__(self, original: Any, encoding: str, hear: Hear) -> None:
        own = self.__dict__
        own["_cloister_original"] = original
        own["_cloister_hear"] = hear
        try:
            own["_cloister_decoder"] = codecs.getincrementaldecoder(encoding)("replace")
        except LookupError:  # a stream that invents its encoding
            own["_cloister_decoder"] = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: Any, /) -> Any:
        written = self._cloister_original.write(data)
        try:
            view = memoryview(data).cast("B")
            for begin in range(0, min(written or 0, len(view)), CHUNK_BYTES):
                text = self._cloister_decoder.decode(bytes(view[begin : min(begin + CHUNK_BYTES, written)]))
                if text:
                    self._cloister_hear(text)
        except Exception:
            # Wide on purpose: the bytes are written; that a codec cannot be told apart here is no reason to fail print.
            logging.getLogger("cloister").debug("Bytes written to the console could not be recorded.", exc_info=True)
        return written

    def writelines(self, lines: Iterable[Any], /) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cloister_original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("write", "writelines"):
            self.__dict__[name] = value
        else:
            setattr(self._cloister_original, name, value)

    def __enter__(self) -> RecordedBuffer:
        self._cloister_original.__enter__()
        return self

    def __exit__(self, *exception: Any) -> Any:
        return self._cloister_original.__exit__(*exception)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._cloister_original)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._cloister_original.__reduce_ex__(protocol)  # a stream refuses to be copied, and says so

    def __dir__(self) -> Iterable[str]:
        return dir(self._cloister_original)

    def __repr__(self) -> str:
        return repr(self._cloister_original)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._cloister_original)


def is_recorded(stream: object) -> bool:
    """Whether `stream` is ours; `isinstance` also says so, but then for the original's class as well."""
    return type(stream) is RecordedStream


def fall_silent(stream: RecordedStream) -> None:
    """Stop telling the listener; the stream goes on passing everything to the original for whoever still holds it."""
    stream.__dict__["_cloister_hear"] = None


def find_original(stream: Any) -> Any:
    """What stands behind `stream` once silent streams of ours are looked through."""
    while is_recorded(stream) and stream.__dict__["_cloister_hear"] is None and not is_patched(stream):
        stream = stream.__dict__["_cloister_original"]
    return stream


def is_patched(stream: RecordedStream) -> bool:
    """Whether the script replaced a method on the stream; taking it away would take the patch away too."""
    return not stream.__dict__.keys().isdisjoint(("write", "writelines", "flush"))
