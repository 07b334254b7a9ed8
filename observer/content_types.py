"""What kind of file a file is, by its name."""

from __future__ import annotations

import mimetypes

# The same on every machine, whatever the system knows; as in Sacred's own table, which readers go by.
_KNOWN = mimetypes.MimeTypes(filenames=())
for _type, *_suffixes in (
    ("text/x-python", ".py", ".pyw"),
    ("text/csv", ".csv"),
    ("text/markdown", ".md"),
    ("text/yaml", ".yaml", ".yml"),
    ("application/json", ".json"),
    ("image/svg+xml", ".svg"),
    ("image/webp", ".webp"),
    ("video/mp4", ".mp4"),
    ("audio/x-wav", ".wav"),
):
    for _suffix in _suffixes:
        _KNOWN.add_type(_type, _suffix)


def content_type_of(filename: str) -> str | None:
    """The content type that a file's name says, None if it says none."""
    return _KNOWN.guess_type(filename)[0]
