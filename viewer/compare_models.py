"""The architecture of two runs' models beside each other, where the runs recorded it as text.

A run records it as `run.info["model"] = str(model)`, or as an artifact called model.txt, architecture.txt or the like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..observer.blobs import BlobNotFound, UnreadableBlob
from .artifact_preview import read_exactly
from .diff_view import DiffFile
from .source_view import SOURCE_LIMIT_BYTES, looks_binary
from .text_difference import compare_texts

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import RunStore

INFO_KEYS = ("model", "architecture", "model_architecture", "model_summary")
FILE_NAMES = frozenset(
    f"{stem}.{ending}" for stem in INFO_KEYS for ending in ("txt", "json", "yaml", "yml", "md", "toml")
)


@dataclass(frozen=True)
class Architecture:
    """`place`: where the run recorded it, in words."""

    text: str
    place: str


@dataclass(frozen=True)
class ModelComparison:
    """What the two runs recorded, None where one recorded none; `file` is the difference where both did."""

    first: Architecture | None
    second: Architecture | None
    file: DiffFile | None

    @property
    def same(self) -> bool:
        return bool(self.first and self.second and self.first.text == self.second.text)


def compare_models(store: RunStore, first: RunRecord, second: RunRecord) -> ModelComparison:
    old, new = find_architecture(store, first), find_architecture(store, second)
    if old is None or new is None:
        return ModelComparison(old, new, None)
    return ModelComparison(old, new, compare_texts(old.text, new.text, path="model"))


def records_architecture(run: RunRecord) -> bool:
    """Whether the run recorded its model, found without reading a file."""
    return any(_text_of(run.info.get(key)) for key in INFO_KEYS) or any(
        PurePosixPath(entry.name.lower()).name in FILE_NAMES for entry in run.artifacts
    )


def find_architecture(store: RunStore, run: RunRecord) -> Architecture | None:
    for key in INFO_KEYS:
        text = _text_of(run.info.get(key))
        if text:
            return Architecture(text[:SOURCE_LIMIT_BYTES], f'info["{key}"]')
    for entry in reversed(run.artifacts):  # the newest of a name
        if PurePosixPath(entry.name.lower()).name not in FILE_NAMES:
            continue
        try:
            head = read_exactly(store.open_blob(entry.file_id, run), SOURCE_LIMIT_BYTES)
        except (BlobNotFound, UnreadableBlob):
            continue
        if not looks_binary(head):
            return Architecture(head.decode("utf-8", "replace"), entry.name)
    return None


def _text_of(value: Any) -> str:
    """Text as it is; layers as lists and mappings, one to a line."""
    if isinstance(value, str):
        return value
    if isinstance(value, (Mapping, list)) and value:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return ""
