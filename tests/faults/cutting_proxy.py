"""A TCP proxy that cuts its connections in the middle of what they carry."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PIECE = 4096


class CuttingProxy:
    """Passes bytes on between whoever connects and a server, until a connection has carried so many.

    Attributes:
        port: where it listens, on 127.0.0.1.
        cuts: how many connections it has cut.
        budget: asked for each direction of each new connection after how many bytes it is cut; None is never.
    """

    def __init__(self, server_port: int, budget: Callable[[], int | None]) -> None:
        self.budget = budget
        self.cuts = 0
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in `accept`
        self._listener.close()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:  # we were closed, or the server is away: the next one may find it
                if self._listener.fileno() < 0:
                    return
                continue
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, target, self.budget()), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE if left is None else min(_PIECE, left)):
                target.sendall(piece)
                if left is not None:
                    left -= len(piece)
                    if left <= 0:
                        self.cuts += 1
                        break
        for one in (source, target):
            # Reset, not closed in order: as a router that forgets a connection, or a cable.
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def a_cutting_proxy(server_port: int, chooser: random.Random, low: int, high: int) -> Iterator[CuttingProxy]:
    """A proxy that cuts each direction of each connection after some number of bytes between `low` and `high`."""
    proxy = CuttingProxy(server_port, lambda: chooser.randint(low, high))
    try:
        yield proxy
    finally:
        proxy.close()
