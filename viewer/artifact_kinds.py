"""What kind of file an artifact is, in a word and an icon, by its name's ending. For people; decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from ..observer.run_record import ArtifactEntry

_IMAGE, _TABLE, _FILE, _PACKAGE, _CODE, _PLAYED = "image", "table", "file", "package", "terminal", "play"

# Ending, what people call it, icon. A new kind is a row.
KINDS: dict[str, tuple[str, str]] = {
    "bin": ("Binary", _FILE),
    "ckpt": ("Checkpoint", _PACKAGE),
    "csv": ("CSV", _TABLE),
    "flac": ("FLAC", _PLAYED),
    "gif": ("GIF", _IMAGE),
    "gz": ("Gzip", _PACKAGE),
    "h5": ("HDF5", _PACKAGE),
    "html": ("HTML", _CODE),
    "ipynb": ("Notebook", _CODE),
    "joblib": ("Joblib", _PACKAGE),
    "jpeg": ("JPEG", _IMAGE),
    "jpg": ("JPEG", _IMAGE),
    "json": ("JSON", _CODE),
    "m4a": ("AAC", _PLAYED),
    "md": ("Markdown", _FILE),
    "mp3": ("MP3", _PLAYED),
    "mp4": ("MP4", _PLAYED),
    "npy": ("NumPy", _PACKAGE),
    "npz": ("NumPy", _PACKAGE),
    "ogg": ("Ogg", _PLAYED),
    "onnx": ("ONNX", _PACKAGE),
    "parquet": ("Parquet", _TABLE),
    "pdf": ("PDF", _FILE),
    "pickle": ("Pickle", _PACKAGE),
    "pkl": ("Pickle", _PACKAGE),
    "png": ("PNG", _IMAGE),
    "pt": ("PyTorch", _PACKAGE),
    "pth": ("PyTorch", _PACKAGE),
    "py": ("Python", _CODE),
    "safetensors": ("Safetensors", _PACKAGE),
    "svg": ("SVG", _FILE),
    "tar": ("Tar", _PACKAGE),
    "toml": ("TOML", _CODE),
    "tsv": ("TSV", _TABLE),
    "txt": ("Text", _FILE),
    "wav": ("WAV", _PLAYED),
    "webm": ("WebM", _PLAYED),
    "webp": ("WebP", _IMAGE),
    "yaml": ("YAML", _CODE),
    "yml": ("YAML", _CODE),
    "zip": ("Zip", _PACKAGE),
}
UNKNOWN_KIND = ("File", _FILE)


def register_artifact_kinds(app: Flask) -> None:
    """Make the two functions below known to the templates."""
    app.jinja_env.filters.update(artifact_type=name_kind, artifact_icon=choose_icon)


def name_kind(entry: ArtifactEntry) -> str:
    return KINDS.get(_ending(entry.name), UNKNOWN_KIND)[0]


def choose_icon(entry: ArtifactEntry) -> str:
    return KINDS.get(_ending(entry.name), UNKNOWN_KIND)[1]


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()
