"""A MongoDB client that a script has made: used for shipping, never closed, its password known to nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

ANSWER_SECONDS = 3.0  # the client's own time-outs may be half a minute, and others wait for what we say


@dataclass(frozen=True)
class LentClient:
    """A client, and which of its databases the runs go to. Only threads of this process can use it."""

    client: MongoClient[Any]
    database_name: str

    @contextlib.contextmanager
    def open(self) -> Iterator[Database[dict[str, Any]]]:
        """The database, as our own clients give it, whatever types this one makes.

        Raises:
            pymongo.errors.PyMongoError: it does not answer now.
        """
        import pymongo
        from bson.binary import UuidRepresentation
        from bson.codec_options import CodecOptions

        with pymongo.timeout(ANSWER_SECONDS):
            self.client.admin.command("ping")
        options: CodecOptions[dict[str, Any]] = CodecOptions(
            tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
        )
        yield self.client.get_database(self.database_name, codec_options=options)

    @property
    def seeds(self) -> list[str]:
        """The hosts that the client was made with, as `host:port`; those that it knows where it does not say."""
        settings = getattr(self.client, "_topology_settings", None)  # the public list changes with what is discovered
        hosts = getattr(settings, "fqdn", None) or getattr(settings, "seeds", None)
        if isinstance(hosts, str):
            return [hosts]
        found = hosts or self.client.topology_description.server_descriptions()
        return sorted(host if port is None else f"{host}:{port}" for host, port in found)

    @property
    def address(self) -> str:
        """Hosts and database as a URI without user and password: for messages, and for naming the journal's folder."""
        return f"mongodb://{','.join(self.seeds)}/{self.database_name}"
