"""What a recorder records of a run whose parts are encrypted: ciphertext, before the journal has it."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from ..field_names import decode_field_name
from .chosen import ARTIFACTS, CONSOLE, RESULTS, SOURCES, Chosen
from .field_cipher import is_sealed

if TYPE_CHECKING:
    from ..blobs import Digests
    from .data_keys import DataKey

ENCRYPTION = "cloister.encryption"  # {parts: [words], key: id}: that a run has encrypted parts, and by which key
KEY_DOCUMENT = "encryption_key"  # in a journal's header: the wrapped data key, for whoever ships it
PARTS = "encrypted_parts"  # in a journal's header: the words by which it is encrypted
SEALED = "sealed"  # in a file's entry, and in a console piece
NOT_HERE = "<encrypted: read it in Cloister>"  # for Sacred's readers
WITHHELD = "<not recorded: no key>"

Kept = tuple["Digests", dict[str, Any]]


class Sealing(Protocol):
    """Takes what is recorded and gives what the journal may have of it. Thread-safe."""

    def header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """The first record of the run's journal."""

    def facts(self) -> dict[str, Any]:
        """What the run's document says of its encryption."""

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Values to be set, by field path; also how the run ended."""

    def has_console(self) -> bool:
        """Whether the console is not to be recorded as it is."""

    def console(self, stream: str, text: str) -> Iterator[dict[str, Any]]:
        """The fields of the console's records that stand for a text."""

    def keep(self, part: str, stream: BinaryIO, keep: Callable[[BinaryIO], Digests]) -> Kept | None:
        """Keep a file by calling `keep` with what may be kept; what else is to be recorded of it. None: nothing is."""

    def metadata(self, part: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """What is said beside a file."""


class _Chosen(ABC):
    """Which values of a run's document are chosen, whatever is then done with them."""

    def __init__(self, chosen: Chosen) -> None:
        self.chosen = chosen

    @abstractmethod
    def _seal(self, value: Any) -> Any:
        """What takes the place of a value that is chosen."""

    def _sealed(self, value: Any) -> Any:
        return value if is_sealed(value) else self._seal(value)  # a resumed run's config comes from its document

    def header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        sealed: dict[str, Any] = {**header, PARTS: list(self.chosen.words)}
        for name in ("config", "config_defaults"):
            sealed[name] = self._config(header.get(name) or {})
        if not self.chosen.has_config:
            return sealed
        sealed["config_changes"] = [self._change(change) for change in header.get("config_changes") or ()]
        if header.get("argv"):
            sealed["argv"] = [self._sealed(list(header["argv"]))]
        if "meta" in header:
            sealed["meta"] = self._meta(header["meta"])
        if isinstance(header.get("sacred"), Mapping) and header["sacred"].get("meta"):
            sealed["sacred"] = {**header["sacred"], "meta": self._meta(header["sacred"]["meta"])}
        if "queue" in header:
            sealed["queue"] = self._queue(header["queue"])
        if header.get("resumption"):
            changes = header["resumption"].get("config") or ()
            sealed["resumption"] = {**header["resumption"], "config": [self._difference(each) for each in changes]}
        return sealed

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {path: self._field(path, value) for path, value in fields.items()}

    def has_console(self) -> bool:
        return self.chosen.has(CONSOLE)

    def _field(self, path: str, value: Any) -> Any:
        top, _, rest = path.partition(".")
        if top == "config":
            return self._config(value) if not rest else self._entry(decode_field_name(rest), value)
        if path == "cloister.config_defaults":
            return self._config(value)
        if path == "meta" and isinstance(value, Mapping) and self.chosen.has_config:
            return self._meta(value)
        if top in ("result", "info") and self.chosen.has(RESULTS) and path != "info.metrics" and value is not None:
            return self._sealed(value)
        if path == "captured_out" and self.chosen.has(CONSOLE):
            return NOT_HERE
        return self._ending(path, value)

    def _ending(self, path: str, value: Any) -> Any:
        """A traceback shows lines of code, and is printed; an interruption says what the script wanted to say."""
        if not (self.chosen.has(CONSOLE) or self.chosen.has(SOURCES)) or not value:
            return value
        if path == "fail_trace":
            return [self._sealed(value)]
        if path == "exit" and value.get("reason"):
            return {**value, "reason": self._sealed(value["reason"])}
        return value

    def _config(self, config: Any, prefix: str = "") -> Any:
        if not self.chosen.has_config or not isinstance(config, Mapping):
            return config
        return {key: self._entry(f"{prefix}{decode_field_name(key)}", value) for key, value in config.items()}

    def _entry(self, path: str, value: Any) -> Any:
        if self.chosen.has_key(path):
            return self._sealed(value)
        return self._config(value, f"{path}.") if isinstance(value, Mapping) else value

    def _change(self, change: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._entry(str(change.get("key")), value) if name == "before" else value
            for name, value in change.items()
        }

    def _difference(self, change: Mapping[str, Any]) -> dict[str, Any]:
        path = str(change.get("key"))
        return {
            name: self._entry(path, value) if name in ("kept", "given") else value for name, value in change.items()
        }

    def _meta(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        """What was said on the command line stands in there as well."""
        said = ("config_updates", "options", "named_configs")
        return {name: self._sealed(value) if name in said and value else value for name, value in meta.items()}

    def _queue(self, queue: Mapping[str, Any]) -> dict[str, Any]:
        entry = queue.get("entry") or {}
        words = [self._sealed(entry["words"])] if entry.get("words") else []
        return {**queue, "entry": {**entry, "words": words}}


class RunSealing(_Chosen):
    """Encrypts the chosen parts of one run with a data key."""

    def __init__(self, chosen: Chosen, key: DataKey, document: Mapping[str, Any], run_uid: str) -> None:
        """
        Args:
            document: the data key as it is stored, wrapped.
        """
        from .field_cipher import FieldCipher
        from .sealed_text import TextCipher

        super().__init__(chosen)
        self._key, self._document, self._run_uid = key, dict(document), run_uid
        self._fields = FieldCipher()
        self._fields.add(key)
        self._fields.prepare()  # what is missing is known before anything is recorded
        self._text = TextCipher(key, uuid.UUID(run_uid).bytes)

    def header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().header(header), KEY_DOCUMENT: self._document}

    def facts(self) -> dict[str, Any]:
        return {"parts": list(self.chosen.words), "key": self._document["_id"]}

    def console(self, stream: str, text: str) -> Iterator[dict[str, Any]]:
        from ..console_store import split_text

        return (self.console_record(stream, part) for part in split_text(text))

    def console_record(self, stream: str, text: str) -> dict[str, Any]:
        """The fields of one record that stands for a text."""
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        amounts = {"lines": text.count("\n"), "bytes": size}
        return {"stream": stream, SEALED: self._text.encrypt(stream, text), "key": self._document["_id"], **amounts}

    def keep(self, part: str, stream: BinaryIO, keep: Callable[[BinaryIO], Digests]) -> Kept | None:
        if not self.chosen.has(part):
            return keep(stream), {}
        from .sealed_files import FORMAT, ChangedMeanwhile, SealedStream, file_facts

        sealed = SealedStream(stream, self._key)
        try:
            digests = keep(sealed)  # type: ignore[arg-type]  # a raw stream, of which it reads and seeks
        except ChangedMeanwhile:
            sealed.forget_digest()
            digests = keep(sealed)  # type: ignore[arg-type]
        said = {SEALED: self._seal(file_facts(sealed)), "encryption": {"key": self._document["_id"], "format": FORMAT}}
        return digests, said

    def metadata(self, part: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        if not self.chosen.has(part) or not metadata:
            return dict(metadata)
        return {SEALED: self._seal(dict(metadata))}

    def _seal(self, value: Any) -> Any:
        return self._fields.encrypt(self._key.id, value, self._run_uid)


class Withholding(_Chosen):
    """Records of the chosen parts that they are not recorded: where they cannot be encrypted they are nobody's."""

    def facts(self) -> dict[str, Any]:
        return {"parts": list(self.chosen.words), "withheld": True}

    def console(self, stream: str, text: str) -> Iterator[dict[str, Any]]:
        return iter(())

    def keep(self, part: str, stream: BinaryIO, keep: Callable[[BinaryIO], Digests]) -> Kept | None:
        return None if self.chosen.has(part) else (keep(stream), {})

    def metadata(self, part: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {} if self.chosen.has(part) else dict(metadata)

    def _seal(self, value: Any) -> Any:
        return WITHHELD


PART_OF_FILE = {"artifact": ARTIFACTS, "resource": ARTIFACTS, "source": SOURCES, "attach": SOURCES}
