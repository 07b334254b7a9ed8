"""Which names of settings, variables and options say that a secret stands behind them."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_PASSWORD = frozenset({"password", "passwd", "passphrase", "passcode", "pwd", "passwort", "pass"})
_SECRET = frozenset({"secret", "secrets", "passwords", "credential", "credentials", "creds"})
_KEY_BEFORE = frozenset({
    "api", "access", "private", "secret", "auth", "account", "signing", "encryption", "master", "storage",
    "subscription", "app", "application", "ssh", "deploy", "license", "webhook", "service", "registry", "wandb",
    "openai", "huggingface",
})  # fmt: skip
_JOINED = {
    "apikey": "api-key", "apikeys": "api-key", "accesskey": "api-key", "privatekey": "api-key", "authkey": "api-key",
    "apitoken": "token", "accesstoken": "token", "authtoken": "token", "secretkey": "secret", "clientsecret": "secret",
    "dbpassword": "password", "userpassword": "password", "mypassword": "password",
}  # fmt: skip
# A token that is a piece of text to a model, not a way in.
_TOKEN_OF_TEXT = frozenset({
    "pad", "eos", "bos", "unk", "mask", "sep", "cls", "special", "start", "end", "stop", "image", "next", "first",
    "last", "new", "per", "num", "max", "min", "n", "sub", "word", "input", "output", "class", "query", "text",
    "video", "audio", "each", "every", "space", "newline", "decoder", "encoder", "prefix", "suffix", "register",
    "blank", "oov", "prev", "previous", "current", "begin", "eot", "eod", "eom", "trigger", "placeholder",
    "instance", "time", "cost", "answer", "target", "source", "label", "patch", "latent", "separator", "empty",
    "padding", "bpe", "subword", "distillation",
})  # fmt: skip
# What comes last says that this is about a secret, and is none.
_ABOUT = frozenset({
    "length", "len", "size", "count", "num", "type", "name", "names", "file", "files", "path", "policy", "min",
    "max", "ids", "id", "dim", "prob", "rate", "dropout", "limit", "env", "var", "variable", "field", "url", "uri",
    "host", "folder", "dir", "directory", "prompt", "hint", "required", "enabled", "expiry", "expires", "ttl",
    "seconds", "days", "hash", "algorithm", "manager", "provider", "store", "mode", "format", "version", "index",
    "embedding", "embeddings", "position", "mask", "weight", "weights", "loss", "strategy", "budget", "usage",
    "valid", "reset", "scope", "scopes", "sharing", "santa", "strength", "fields", "key_name", "attempts",
    "changed", "at", "stats", "per", "is",
})  # fmt: skip


@lru_cache(maxsize=4096)
def secret_in_name(name: str) -> str | None:
    """The rule by which a value under this name is redacted: "password", "secret", "token", "api-key"; else None.

    Args:
        name: one name, or several with dots between them, of which the last one counts.
    """
    words = [word.lower() for word in _WORD.findall(name.rpartition(".")[2][:200])]
    while words and words[-1].isdecimal():  # password2, API_KEY_1
        words.pop()
    if not words or words[-1] in _ABOUT:
        return None
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _JOINED:
        return _JOINED[last]
    if last in _PASSWORD and (
        last != "pass" or before in ("db", "user", "mysql", "smtp", "ftp", "mongo", "root", "ssh")
    ):
        return "password"
    if last in _SECRET:
        return "secret"
    if last == "token":
        return None if before in _TOKEN_OF_TEXT else "token"
    if last in ("key", "keys") and (before in _KEY_BEFORE or "secret" in words):
        return "api-key"
    return None


def holds_many(rule: str | None, name: str) -> bool:
    """Whether all texts below this name are secrets: those in `credentials: {user: ..., key: ...}`."""
    return rule == "secret" or (rule == "password" and name.lower().endswith("s"))
