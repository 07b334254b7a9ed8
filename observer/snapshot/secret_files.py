"""Which files hold keys and passwords, told by their names."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

_SECRET_FOLDERS = frozenset({".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker"})
_SECRET_NAMES = (
    ".env",
    ".env*",
    "*.env",
    ".netrc",
    "_netrc",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.gpg",
    "*.ppk",
    ".pgpass",
    ".my.cnf",
    ".npmrc",
    ".pypirc",
    ".htpasswd",
    ".git-credentials",
    ".dockercfg",
    ".boto",
    "kaggle.json",
    "credentials",
    "credentials.*",
    "secrets.*",
    "service-account*.json",
    "service_account*.json",
)


def holds_secrets(path: str) -> bool:
    """Whether a file at `path` (slashes) is of a kind that people keep keys or passwords in."""
    *folders, name = PurePosixPath(path.lower()).parts or ("",)
    if any(folder in _SECRET_FOLDERS for folder in folders):
        return True
    return any(fnmatchcase(name, pattern) for pattern in _SECRET_NAMES)
