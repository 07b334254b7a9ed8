"""The TOML file that says how people of other systems sign in, read and checked; its secrets lie in further files."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .errors import CloisterError
from .identity_settings import IdentitySettings, LdapSettings, Network, OidcSettings, ProxySettings

T = TypeVar("T")

SHORTEST_PROXY_SECRET = 32  # characters: what 'openssl rand -hex 16' prints
# Where container runtimes and systemd lay secrets: their mode is the runtime's, and nobody else is in there.
SECRET_FOLDERS = (Path("/run/secrets"), Path("/run/credentials"))


class BadIdentityFile(CloisterError, ValueError):
    """The file that says how people come in cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}, which says how people sign in, cannot be used: {reason} See docs/identity.md.")


REQUIRED = {
    OidcSettings: ("issuer", "client_id"),
    LdapSettings: ("uri", "user_base"),
    ProxySettings: ("addresses", "secret_file"),
}
SECRETS = ("client_secret", "bind_password", "secret")  # in the file, the names of files: `secret_file`


def load_identity(path: Path) -> IdentitySettings:
    """What the file says, with the secrets that it names the files of.

    Raises:
        BadIdentityFile: it is not there, not TOML, says what nobody understands, or would let people in unsafely.
    """
    table = _read_toml(path)
    ways: dict[str, Callable[[dict[str, Any]], Any]] = {
        "oidc": lambda given: _oidc(path, given),
        "ldap": lambda given: _ldap(path, given),
        "proxy": lambda given: _proxy(path, given),
    }
    _refuse_unknown(path, "", table, ("address", *ways))
    address = table.get("address", "")
    if not isinstance(address, str):
        raise BadIdentityFile(path, f"address is {address!r}, which is not text.")
    found = {name: read(_table(path, name, table[name])) for name, read in ways.items() if name in table}
    if not found:
        raise BadIdentityFile(path, "it has none of the tables [oidc], [ldap] and [proxy].")
    if "oidc" in found:
        _check_web_address(path, "address", address)
    return IdentitySettings(path=path, address=address.rstrip("/"), **found)


def _oidc(path: Path, given: dict[str, Any]) -> OidcSettings:
    settings = _fill(path, "oidc", OidcSettings, given)
    _check_web_address(path, "[oidc] issuer", settings.issuer)
    if "openid" not in settings.scopes:
        raise BadIdentityFile(path, f"[oidc] scopes are {', '.join(settings.scopes)}, without openid.")
    return settings


def _ldap(path: Path, given: dict[str, Any]) -> LdapSettings:
    settings = _fill(path, "ldap", LdapSettings, given)
    parts = urlsplit(settings.uri)
    if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
        raise BadIdentityFile(path, f"[ldap] uri is {settings.uri!r}, which is not like ldaps://directory.lab.")
    if settings.bind_dn and not settings.bind_password:
        raise BadIdentityFile(
            path, f"[ldap] bind_dn is {settings.bind_dn!r}, and bind_password_file names no password for it."
        )
    for name, place in (("user_filter", "{name}"), ("group_filter", "{dn}")):
        text: str = getattr(settings, name)
        if place not in text or not (text.startswith("(") and text.endswith(")")):
            raise BadIdentityFile(
                path, f"[ldap] {name} is {text!r}, which is not a filter in (...) with {place} in it."
            )
    return settings


def _proxy(path: Path, given: dict[str, Any]) -> ProxySettings:
    settings = _fill(path, "proxy", ProxySettings, given)
    wide = [str(network) for network in settings.addresses if network.prefixlen == 0]
    if wide:
        raise BadIdentityFile(
            path, f"[proxy] addresses has {wide[0]}, which is everybody. Name the proxy's own address."
        )
    if not settings.addresses:
        raise BadIdentityFile(path, "[proxy] addresses is empty, so no proxy would be believed.")
    if len(settings.secret) < SHORTEST_PROXY_SECRET:
        raise BadIdentityFile(
            path,
            f"the secret in [proxy] secret_file has {len(settings.secret)} characters, and must have at least "
            f"{SHORTEST_PROXY_SECRET}. Make one: openssl rand -hex 32.",
        )
    return settings


def _fill(path: Path, name: str, kind: type[T], given: dict[str, Any]) -> T:
    """The dataclass `kind` from a table of the file; secrets come from the files that it names."""
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    names = [f"{one}_file" if one in SECRETS else one for one in known]
    _refuse_unknown(path, name, given, names)
    missing = [one for one in REQUIRED[kind] if not given.get(one)]
    if missing:
        raise BadIdentityFile(path, f"[{name}] has no {missing[0]}.")
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key.endswith("_file") and key.removesuffix("_file") in SECRETS:
            values[key.removesuffix("_file")] = _read_secret(path, f"[{name}] {key}", value)
        else:
            one = known[key]
            default = one.default_factory() if one.default_factory is not MISSING else one.default
            values[key] = _convert(path, f"[{name}] {key}", value, default)
    return kind(**values)


def _convert(path: Path, what: str, value: Any, default: Any) -> Any:
    """`value` in the type of the setting's default."""
    if what.endswith(" addresses"):
        return _networks(path, what, value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise BadIdentityFile(path, f"{what} is {value!r}, which is neither true nor false.")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise BadIdentityFile(path, f"{what} is {value!r}, which is not a list of texts.")
        return tuple(value)
    if isinstance(default, dict):
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise BadIdentityFile(
                path, f'{what} is {value!r}, which is not a table such as {{"their group" = "ours"}}.'
            )
        return value
    if not isinstance(value, str):
        raise BadIdentityFile(path, f"{what} is {value!r}, which is not text.")
    if default is None:  # ca_file
        found = _beside(path, value)
        if not found.is_file():
            raise BadIdentityFile(path, f"{what} is {value!r}, and there is no such file.")
        return found
    return value


def _networks(path: Path, what: str, value: Any) -> tuple[Network, ...]:
    if not isinstance(value, list):
        raise BadIdentityFile(path, f'{what} is {value!r}, which is not a list such as ["10.0.0.5"].')
    networks = []
    for one in value:
        try:
            networks.append(ipaddress.ip_network(one))
        except (ValueError, TypeError):
            raise BadIdentityFile(
                path, f"{what} has {one!r}, which is neither an address nor a network such as 10.0.5.0/28."
            ) from None
    return tuple(networks)


def _read_secret(path: Path, what: str, value: Any) -> str:
    """The text in the file that `value` names. One that every account of the machine can read is no secret."""
    if not isinstance(value, str) or not value:
        raise BadIdentityFile(path, f"{what} is {value!r}, which is not the path of a file.")
    file = _beside(path, value)
    try:
        mode = file.stat().st_mode
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise BadIdentityFile(path, f"{what} names {str(file)!r}, which cannot be read ({reason}).") from error
    if mode & 0o007 and not any(folder in file.parents for folder in SECRET_FOLDERS):
        raise BadIdentityFile(
            path, f"{what} names {str(file)!r}, which every account of this machine may read: chmod 640 {file}."
        )
    if not secret or "\n" in secret:
        raise BadIdentityFile(path, f"{what} names {str(file)!r}, which must hold one line, the secret.")
    return secret


def _beside(path: Path, value: str) -> Path:
    """A path in the file: relative ones lie beside it."""
    return path.absolute().parent / Path(value).expanduser()


def _check_web_address(path: Path, what: str, address: str) -> None:
    """https, or http to this machine itself: anything else would show codes and tokens to the network."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    own = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not (parts.scheme == "https" or (parts.scheme == "http" and own)) or not parts.hostname:
        raise BadIdentityFile(path, f"{what} is {address!r}, which is not an address such as https://name.lab.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise BadIdentityFile(path, f"{what} is {address!r}: leave out what stands before an @ or after ? and #.")


def _table(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadIdentityFile(path, f"{name} is {value!r}, which is not a table [{name}].")
    return value


def _refuse_unknown(path: Path, table: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    import difflib

    place = f"[{table}] has" if table else "it has"
    for name in given:
        if name in SECRETS and f"{name}_file" in known:
            raise BadIdentityFile(
                path, f"{place} {name}, and secrets do not belong in it. Put it into a file and say {name}_file = ...."
            )
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"There are {', '.join(known)}."
            raise BadIdentityFile(path, f"{place} an unknown {name!r}. {hint}")


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadIdentityFile(path, f"it cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise BadIdentityFile(path, f"it is not TOML ({error}).") from error
