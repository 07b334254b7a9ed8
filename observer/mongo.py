"""Connecting to MongoDB: which URI, a client with our time-outs, and a URI as it may be shown to people."""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .errors import CloisterError
from .settings import Settings

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database
    from pymongo.monitoring import CommandListener

DEFAULT_PORT = 27017
CONFIRM_MS = 5000  # for a majority of the replica set to have what is written; less than a socket's time-out
ANSWER_MS = 10_000  # a frozen server or a cut cable is only known by its silence
SHOWN_URI_CHARACTERS = 500  # a message stays readable when somebody pastes a file into CLOISTER_URI
HIDDEN = "***"
SCHEME = "mongodb://"
SRV_SCHEME = "mongodb+srv://"

# Options of a URI that carry a secret of their own, beside the user and password in front of the "@".
_SECRET_OPTION = re.compile(r"(?i)(password|token|secret|authmechanismproperties)")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]{0,30}:/{1,3}")
_HOST = re.compile(r"^(\[[0-9A-Fa-f:.%]*\]|[^:@/?#\[\]]*)(:\d{0,5})?$")
_UNCHECKED_TLS = re.compile(
    r"(?i)(tlsInsecure|tlsAllowInvalidCertificates|tlsAllowInvalidHostnames|ssl_cert_reqs)=(true|CERT_NONE|CERT_OPTIONAL)"
)
_LOOPBACK_HOST = re.compile(r"(?i)(localhost|127(\.\d{1,3}){3}|\[::1\]|%2F[^,]*\.sock)(:\d{1,5})?")
_SHORT = re.compile(r"^[^:@/?#\[\]]+:\d{1,5}(:[^:@/?#\[\]]*)?$")  # what Sacred's -m takes


class BadMongoUri(CloisterError, ValueError):
    """The setting `uri` is not a URI that MongoDB's drivers understand. The reason must hold nothing secret."""

    def __init__(self, uri: str, reason: object) -> None:
        super().__init__(
            f"{redact_uri(uri)!r} is not a MongoDB URI: {first_sentence(reason)}. It looks like "
            "mongodb://user:password@host:27017/cloister, with %-escapes for special characters in the password. Mend "
            "it where it was given (--uri, CLOISTER_URI or 'uri' in cloister.toml), or use the embedded database."
        )


class UnsafeTls(CloisterError, PermissionError):
    """A URI asks for TLS to another machine without a look at its certificate."""

    def __init__(self, uri: str, option: str) -> None:
        super().__init__(
            f"{redact_uri(uri)!r} switches the check of the server's certificate off ({option}), so anybody in between "
            "could be the server and get the password. Give the certificate of your own authority instead: "
            "tlsCAFile=/path/ca.pem. On this machine (127.0.0.1) the option is taken."
        )


class DatabaseUnreachable(CloisterError, ConnectionError):
    """No MongoDB answered at the URI."""

    def __init__(self, uri: str, tried_seconds: float, reason: object = "") -> None:
        cause = first_sentence(reason)
        super().__init__(
            f"MongoDB at {redact_uri(uri)} did not answer within {round(tried_seconds, 1) or tried_seconds:.3g} s"
            f"{f' ({cause})' if cause else ''}. Check that it runs and that this machine may reach it; "
            "'cloister doctor' shows what Cloister tries."
        )


class LoginRefused(CloisterError, PermissionError):
    """MongoDB answered and did not let us in, or let us in without the rights to work."""

    def __init__(self, uri: str, reason: object = "") -> None:
        cause = first_sentence(reason)
        super().__init__(
            f"MongoDB at {redact_uri(uri)} refused the login{f' ({cause})' if cause else ''}. Check the user, the "
            "password and authSource in CLOISTER_URI: a URI that ends in /cloister looks for the user in that database "
            "unless it says ?authSource=admin."
        )


class WritesRefused(CloisterError, ConnectionError):
    """MongoDB answered, let us in, and does not store."""

    def __init__(self, uri: str, reason: object = "") -> None:
        cause = first_sentence(reason)
        super().__init__(
            f"MongoDB at {redact_uri(uri)} does not store what is sent{f' ({cause})' if cause else ''}. It is tried "
            "again until it does."
        )


def resolve_uri(settings: Settings) -> str:
    """The URI to connect to: the configured one, else that of the embedded database, which is started if need be."""
    if settings.uri is not None:
        return settings.uri
    from .embedded.server import ensure_running  # a site with a MongoDB of its own never loads this

    return ensure_running(settings)


def connect(
    settings: Settings, *, timeout_ms: int = 2000, listener: CommandListener | None = None
) -> MongoClient[dict[str, Any]]:
    """A client of the settled database; the caller closes it. Thread-safe, not fork-safe, connects when first used.

    Args:
        listener: is told of every command. Who passes one ships: no answer may then take longer than `ANSWER_MS`.

    Raises:
        BadMongoUri: the URI cannot be parsed.
        DatabaseUnreachable: the URI's host list could not be looked up (mongodb+srv).
    """
    shipping = {} if listener is None else {"event_listeners": [listener], "socketTimeoutMS": ANSWER_MS}
    return client_for(resolve_uri(settings), timeout_ms=timeout_ms, **shipping)


def client_for(uri: str, *, timeout_ms: int = 2000, **further: Any) -> MongoClient[dict[str, Any]]:
    """A client of `uri` with our time-outs; what the URI itself says about time-outs and retries wins."""
    from pymongo import MongoClient  # 60 ms that `import cloister` does not pay
    from pymongo.errors import ConfigurationError, PyMongoError

    _refuse_ignored_options(uri)
    _refuse_unchecked_tls(uri)
    started = time.monotonic()
    given = _option_names(uri)
    options = {name: value for name, value in (_defaults(timeout_ms) | further).items() if name.lower() not in given}
    try:
        return MongoClient(uri, tz_aware=True, uuidRepresentation="standard", **options)
    except ConfigurationError as error:
        if uri.startswith(SRV_SCHEME) and "DNS" in str(error):
            raise DatabaseUnreachable(uri, time.monotonic() - started, error) from None
        raise BadMongoUri(uri, _reason_without_secrets(uri)) from None
    except (PyMongoError, ValueError, TypeError, LookupError):
        # `from None`: the driver's own message may hold the password, and tracebacks end up in logs.
        raise BadMongoUri(uri, _reason_without_secrets(uri)) from None


def check(client: MongoClient[dict[str, Any]]) -> None:
    """Return once the server has answered and accepted our login.

    Raises:
        DatabaseUnreachable: it did not answer within the client's server selection time-out.
        LoginRefused: it answered and refused.
    """
    from pymongo.errors import ConnectionFailure, OperationFailure

    started = time.monotonic()
    try:
        # A `ping` would be answered without a login when the URI has no user; listing is refused then.
        client.admin.command("listDatabases", nameOnly=True, authorizedDatabases=True)
    except ConnectionFailure as error:
        raise DatabaseUnreachable(address_of(client), time.monotonic() - started, error) from error
    except OperationFailure as error:
        raise LoginRefused(address_of(client), (error.details or {}).get("errmsg", "")) from error


def stored_for_good(database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """The same database, whose writes return once they outlive a power cut and an election, whatever the URI says."""
    from pymongo import WriteConcern

    # Members that do not answer must not hold us for ever; what they did not confirm in time is sent again.
    return database.with_options(write_concern=WriteConcern(w="majority", j=True, wtimeout=CONFIRM_MS))


def address_of(client: MongoClient[dict[str, Any]]) -> str:
    """The hosts that a client was given, as a URI without credentials."""
    hosts = sorted(client.topology_description.server_descriptions(), key=str)
    return "mongodb://" + ",".join(host if port is None else f"{host}:{port}" for host, port in hosts)


def database_name(uri: str, settings: Settings) -> str:
    """The database in the URI's path, else the setting `database`."""
    _, _, rest = uri.partition("://")
    path = rest.partition("?")[0].rpartition("@")[2].partition("/")[2]
    return unquote(path).partition(".")[0] or settings.database


def destination(settings: Settings) -> str:
    """Where runs go, as a folder name without credentials: 'embedded', or 16 hex digits for hosts and database.

    The same for every user and password and for any order of the hosts. Never raises: a journal is written even for a
    URI that turns out to be wrong.
    """
    if settings.uri is None:
        return "embedded"
    scheme, _, rest = settings.uri.partition("://")
    hosts = rest.partition("?")[0].rpartition("@")[2].partition("/")[0].lower().split(",")
    if scheme.lower() == "mongodb":
        hosts = [host if re.search(r":\d+$", host) else f"{host}:{DEFAULT_PORT}" for host in hosts]
    text = ",".join(sorted(hosts)) + "/" + database_name(settings.uri, settings)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def redact_uri(uri: object) -> str:
    """A URI as it may be shown and logged: without user, password and secret options. Takes any text, never raises."""
    text = uri if isinstance(uri, str) else repr(uri)
    scheme = _SCHEME.match(text)
    start = scheme.group() if scheme else ""
    # Everything up to the last "@" goes: a password with a raw "@", "/" or "?" in it is malformed, and still a secret.
    credentials, at, rest = text[len(start) :].rpartition("@")
    ends = [place for mark in "/?#" if (place := rest.find(mark)) >= 0]
    hosts, tail = (rest[: min(ends)], rest[min(ends) :]) if ends else (rest, "")
    # "user:secret" without an "@" looks like a host with a port that is not a number.
    shown_hosts = ",".join(host if _HOST.match(host) else HIDDEN for host in hosts.split(","))
    path, mark, query = tail.partition("?")
    shown = start + (f"{HIDDEN}@" if at or credentials else "") + shown_hosts + path + mark + _redact_options(query)
    shown = "".join(character if character.isprintable() else "?" for character in shown)
    return shown if len(shown) <= SHOWN_URI_CHARACTERS else shown[:SHOWN_URI_CHARACTERS] + "..."


def _redact_options(query: str) -> str:
    shown = []
    for option in re.split("([&;])", query):
        name, equals, _ = option.partition("=")
        shown.append(name + equals + HIDDEN if equals and _SECRET_OPTION.search(name) else option)
    return "".join(shown)


def _defaults(timeout_ms: int) -> dict[str, Any]:
    return {
        "serverSelectionTimeoutMS": timeout_ms,
        "connectTimeoutMS": timeout_ms,
        "appName": "cloister",
        "retryWrites": True,
        "retryReads": True,
    }


def _option_names(uri: str) -> set[str]:
    query = uri.partition("?")[2]
    return {option.partition("=")[0].lower() for option in re.split("[&;]", query)}


def _refuse_ignored_options(uri: str) -> None:
    """The driver warns of an option that it does not know, and goes on: `tls=yes` would connect without TLS."""
    from pymongo import uri_parser
    from pymongo.errors import PyMongoError

    if not uri.startswith((SCHEME, SRV_SCHEME)):
        sacreds = "; Sacred's short form host:27017:name is written mongodb://host:27017/name" * bool(_SHORT.match(uri))
        raise BadMongoUri(uri, f"it does not begin with {SCHEME} or {SRV_SCHEME}{sacreds}")
    query = uri.partition("?")[2]
    try:
        if query:
            uri_parser.split_options(query, validate=True, warn=False)
    except (PyMongoError, ValueError, TypeError, LookupError):
        raise BadMongoUri(uri, _reason_without_secrets(uri)) from None


def _refuse_unchecked_tls(uri: str) -> None:
    """Encryption without knowing with whom protects from nobody who can stand in between."""
    options = re.split("[&;]", uri.partition("?")[2])
    unsafe = [option for option in options if _UNCHECKED_TLS.fullmatch(option)]
    hosts = re.split("[/?]", uri.partition("://")[2].rpartition("@")[2])[0].split(",")
    if unsafe and not all(_LOOPBACK_HOST.fullmatch(host) for host in hosts):
        raise UnsafeTls(uri, unsafe[0])


def fault_in_uri(uri: str) -> str | None:
    """What the driver says against a URI, without its secrets; None if it can be parsed. Asks nobody."""
    from pymongo import uri_parser
    from pymongo.errors import PyMongoError

    try:
        uri_parser.parse_uri(uri.replace(SRV_SCHEME, SCHEME, 1), warn=False)
    except (PyMongoError, ValueError, TypeError, LookupError):
        return _reason_without_secrets(uri)
    return None


def _reason_without_secrets(uri: str) -> str:
    """What the driver says of the URI without its secrets: its messages quote what they stumble over."""
    from pymongo import uri_parser
    from pymongo.errors import PyMongoError

    try:
        # Of a list of servers the scheme does not matter, and mongodb+srv would ask the DNS.
        uri_parser.parse_uri(redact_uri(uri).replace(SRV_SCHEME, SCHEME, 1), warn=False)
    except (PyMongoError, ValueError, TypeError, LookupError) as error:
        return str(error)
    return "its user, its password or a secret option holds characters that need %-escapes"


def first_sentence(reason: object) -> str:
    """The driver's reason without the topology dump that PyMongo appends."""
    text = re.split(r"(?:, Timeout:|\(configured timeouts|, Topology Description:|, full error:)", str(reason))[0]
    return text.strip().rstrip(".,")[:200]
