"""The socket guard: Python imports this at its start, in every process that has this folder on its PYTHONPATH.

It notes each wish to reach an address or find a name beyond this machine, whether or not that works.
"""

import os
import sys

LOG = os.environ.get("NO_WAY_OUT_LOG", "")
REACHING = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1, "socket.bind": 1}
NAMING = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
HERE = (None, "", "localhost", "::1", "::", "0.0.0.0")  # "everywhere" is an address to listen on


def is_here(host):
    if isinstance(host, bytes):
        host = host.decode()
    return host in HERE or str(host).startswith("127.")


def note(line):
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, (line + "\n").encode())
    finally:
        os.close(file)


def watch(event, arguments):
    if event in REACHING:
        address = arguments[1]
        if isinstance(address, tuple) and not is_here(address[0]):  # a unix socket's address is text
            note(f"left {event} {address!r} of {sys.argv}")
    elif event in NAMING:
        host = arguments[0][0] if isinstance(arguments[0], tuple) else arguments[0]
        if not is_here(host):
            note(f"left {event} {host!r} of {sys.argv}")


if LOG:
    note(f"began {os.getpid()} {' '.join(sys.orig_argv)[:200]!r}")
    sys.addaudithook(watch)
