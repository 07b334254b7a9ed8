"""The daemon threads in which the Flask app runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

logger = logging.getLogger("cloister")

Answer = TypeVar("Answer")


class RequestThreads(Executor):
    """`count` daemon threads that take calls in order.

    The pool of the standard library joins its threads at exit, so that one thread waiting for a dead database would
    hold Ctrl-C for seconds; and it does not say how many calls wait.
    """

    def __init__(self, *, count: int = 16) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._count = count
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._closed = False

    @property
    def waiting_calls(self) -> int:
        return self._calls.qsize()

    def submit(self, fn: Callable[..., Answer], /, *args: Any, **kwargs: Any) -> Future[Answer]:
        future: Future[Answer] = Future()
        with self._lock:
            if self._closed:
                future.cancel()
                return future
            self._start_threads()
            self._calls.put(lambda: _settle(future, fn, args, kwargs))
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Take no more calls. Those taken are still made, unless the process ends before: nobody waits for them."""
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._calls.put(None)

    def _start_threads(self) -> None:
        while len(self._threads) < self._count:
            thread = Thread(target=self._work, name=f"cloister-request-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # an idle thread keeps no request's data alive


def _settle(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        answer = fn(*args, **kwargs)
    except BaseException as error:  # wide on purpose: whoever awaits the future gets it, whatever it is
        future.set_exception(error)
    else:
        future.set_result(answer)
