"""Sees to it that the tests of LDAP and proxies have Debian's slapd and nginx, and python-ldap: or says what to do."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

PACKAGES = ("slapd", "libldap2-dev", "libsasl2-dev", "gcc", "nginx-light")


def main() -> None:
    missing = what_is_missing()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {', '.join(missing)} for the tests of LDAP and reverse proxies")
        install()
        missing = what_is_missing()
    if missing:
        print(f"Without {', '.join(missing)} the tests of LDAP and reverse proxies are skipped. On Debian, as root:")
        print(f"    apt-get install {' '.join(PACKAGES)} && {sys.executable} -m pip install python-ldap")


def what_is_missing() -> list[str]:
    missing = [name for name in ("slapd", "nginx") if find_server(name) is None]
    if importlib.util.find_spec("ldap") is None:
        missing.append("python-ldap")
    return missing


def find_server(name: str) -> str | None:
    """Servers lie in a folder that is not everybody's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def install() -> None:
    """Whatever of it can be: without the network the tests are skipped, and everything else still runs."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # The tests start servers of their own: those of the packages shall not run.
    guard = "/usr/sbin/policy-rc.d"
    guarded = not os.path.exists(guard)  # noqa: PTH110
    if guarded:
        with open(guard, "w") as file:  # noqa: PTH123
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(guard, 0o755)  # noqa: PTH101
    try:
        for command in (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *PACKAGES],
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "python-ldap"],
        ):
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
            )
            if done.returncode:
                print(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    finally:
        if guarded:
            os.unlink(guard)  # noqa: PTH108


if __name__ == "__main__":
    main()
