"""The database behind a `RunStore`: which one, its collections' names, whether it may be written, how it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database

    from .run_collections import Collections
    from .run_places import RunPlace


def open_database(uri: str | None, collections: str | Collections, *, read_only: bool) -> Database[dict[str, Any]]:
    """The database of `uri`, else of the settings in force; raises as `RunStore.connect` says."""
    from .mongo import connect, database_name, resolve_uri
    from .run_collections import Collections, with_collections
    from .settings import load_settings

    chosen = Collections.parse(collections) if isinstance(collections, str) else collections
    settings = load_settings(uri=uri)
    resolved = resolve_uri(settings)
    return _guarded(with_collections(connect(settings)[database_name(resolved, settings)], chosen), read_only)


def open_place(database: Database[dict[str, Any]], place: RunPlace) -> Database[dict[str, Any]]:
    """Another set of runs on the same server; read only where this one is."""
    from .read_only import is_read_only
    from .run_collections import with_collections

    return _guarded(with_collections(database.client[place.database], place.collections), is_read_only(database))


def lenient(database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """The same database, read so that no text that is not UTF-8 and no date beyond year 9999 fails a whole document."""
    from bson.codec_options import DatetimeConversion

    options = database.codec_options.with_options(
        unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    return database.with_options(codec_options=options)


def _guarded(database: Database[dict[str, Any]], is_guarded: bool) -> Database[dict[str, Any]]:
    from .read_only import read_only

    return read_only(database) if is_guarded else database
