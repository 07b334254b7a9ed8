"""Which machines Cloister's processes of this account are connected to, as the system's own list says."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator

MARKS = ("cloister.observer.courier_process", "cloister serve", "-m cloister", "/cloister ")


def find_connections() -> tuple[int, frozenset[str]]:
    """How many processes there are beside this one, and the addresses of other machines that they are connected to."""
    import psutil

    processes, remotes = 0, set[str]()
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or not _is_ours(process):
                continue
            processes += 1
            remotes |= set(_remotes(process))
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another account's
    return processes, frozenset(remotes)


def _is_ours(process: object) -> bool:
    words = process.cmdline()  # type: ignore[attr-defined]
    line = " ".join(words)
    return "python" in line.partition(" ")[0].rpartition("/")[2] and any(mark in f"{line} " for mark in MARKS)


def _remotes(process: object) -> Iterator[str]:
    list_connections = getattr(process, "net_connections", None) or process.connections  # type: ignore[attr-defined]
    for connection in list_connections(kind="inet"):
        if connection.raddr and not ipaddress.ip_address(connection.raddr.ip.partition("%")[0]).is_loopback:
            yield connection.raddr.ip
