"""Sees to it that the browser tests have Debian's chromium: installs it when that is possible, else says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PACKAGES = ("chromium", "fonts-liberation")  # without a font package pages are measured with squares for letters


def main() -> str | None:
    """None when chromium is there or may be missing, else why the tests cannot begin."""
    if shutil.which("chromium"):
        return None
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing chromium for the browser tests")
        install()
        return None if shutil.which("chromium") else "apt-get installed no chromium, and the browser tests need one."
    advice = "The browser tests need chromium. On Debian: apt-get install " + " ".join(PACKAGES)
    if os.environ.get("CI"):
        return advice
    print(advice + " (as root). They are skipped now.")
    return None


def install() -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update",), ("install", "--yes", "--no-install-recommends", *PACKAGES)):
        result = subprocess.run(
            ["apt-get", "-qq", *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if result.returncode:
            sys.exit(f"apt-get {' '.join(command)} failed:\n{result.stdout}{result.stderr}")


if __name__ == "__main__":
    sys.exit(main())
