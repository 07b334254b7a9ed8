"""Rows of the fault table: the database dies, freezes, loses its office, is late, is gone, or is cut off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pymongo
from recorded_script import wait_for

from .comparing import Outcome, compare
from .cutting_proxy import CuttingProxy, a_cutting_proxy
from .places import Place, Training, Workplace
from .servers import Server, a_replica_set, failing_commands, primary_of, set_uri

RATE = 500  # steps a second: the courier has always something under way
LEAVING_SECONDS = 2.0  # from the training's end to its process's, once the database is known to be away
EXIT_CODE = 3


def outage(work: Workplace, *, lengths: Sequence[float], how: str) -> Outcome:
    """The database is away in the middle of a training, once for each of so many seconds."""
    outcome = Outcome()
    for number in work.rounds(len(lengths)):
        server = work.victim
        server.ensure_running()
        with work.place(server=server.uri) as place:
            training = _start(place)
            training.wait_for_steps(work.chooser.randint(RATE // 4, RATE))
            OUTAGES[how](server, lengths[number])
            time.sleep(0.5)
            outcome += _end_and_compare(place, training)
    return outcome


def _kill(server: Server, seconds: float) -> None:
    server.kill()
    time.sleep(seconds)
    server.start()


def _freeze(server: Server, seconds: float) -> None:
    server.freeze()
    time.sleep(seconds)
    server.thaw()


def _step_down(server: Server, seconds: float) -> None:
    server.step_down(seconds)
    primary_of([server])


OUTAGES: dict[str, Callable[[Server, float], None]] = {"killed": _kill, "frozen": _freeze, "stepped down": _step_down}


def primary_lost(work: Workplace, *, times: int) -> Outcome:
    """A replica set of three loses its primary again and again, killed or stepped down; the others elect one."""
    outcome = Outcome()
    with a_replica_set(work.folder / "set") as servers, work.place(server=set_uri(servers)) as place:
        training = _start(place)
        for number in work.rounds(times):
            training.wait_for_steps(training.tally.steps + RATE // 2)
            primary = primary_of(servers)
            if number % 2 == 0:
                primary.kill()
                primary_of([server for server in servers if server is not primary])
                primary.start(wait=False)
            else:
                primary.step_down(5)
                primary_of(servers)
        outcome += _end_and_compare(place, training)
        outcome.times = times
    return outcome


def down_at_start(work: Workplace, *, times: int, seconds: float) -> Outcome:
    """The database comes some seconds after the training has started."""
    outcome = Outcome()
    for _ in work.rounds(times):
        server = work.victim
        server.ensure_running()
        server.kill()
        with work.place(server=server.uri) as place:
            started = time.monotonic()
            training = _start(place)
            training.wait_for_steps(1)
            waited = training.tally.started_ns / 1e9 - started
            outcome.complain_if(waited > 2 * work.patience, f"the training's first line came after {waited:.1f} s")
            time.sleep(seconds)
            server.start()
            outcome += _end_and_compare(place, training)
    return outcome


def gone_for_good(work: Workplace, *, times: int, from_the_start: bool) -> Outcome:
    """The database never comes back: the process leaves in time and says where the run is; `sync` ships it later."""
    outcome = Outcome()
    for _ in work.rounds(times):
        server = work.victim
        server.ensure_running()
        with work.place(server=server.uri) as place:
            if from_the_start:
                server.kill()
            training = _start(place)
            training.wait_for_steps(RATE)
            server.kill()
            training.wait_for_steps(training.tally.steps + 3 * RATE)  # until it is known to be away
            training.tally.tell_to_end()
            training.wait()
            left = training.seconds_to_leave
            outcome.remarks.append(f"left {left:.2f} s after its end")
            outcome.complain_if(left > LEAVING_SECONDS * work.patience, f"the process left {left:.1f} s after its end")
            said = training.err.read_text()
            outcome.complain_if(
                str(place.home) not in said or "cloister sync" not in said, f"it did not say where the run is: {said!r}"
            )
            server.start()
            synced = place.sync()
            outcome.complain_if(synced.returncode, f"sync failed: {synced.stderr[-300:]}")
            place.wait_until_shipped()
            outcome += compare(place, training)
    return outcome


WRITES = ["insert", "update", "delete", "findAndModify", "bulkWrite"]
FAILURES: dict[str, dict[str, Any]] = {
    "closed": {"closeConnection": True},
    "not majority": {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    "not primary": {"errorCode": 10107},
    "reading cut": {"closeConnection": True, "failCommands": ["find", "aggregate", "getMore", "hello"]},
}


def commands_fail(work: Workplace, *, times: int, seconds: float, how: str) -> Outcome:
    """A third of the commands fail, by MongoDB's own fail points: before they are done, or after."""
    data = {"failCommands": WRITES, **FAILURES[how]}

    @contextmanager
    def failing(place: Place) -> Iterator[str | None]:
        with failing_commands(place.server, {"activationProbability": 0.33}, **data):
            yield None

    return _with_trouble(work, failing, times, seconds)


def connections_cut(work: Workplace, *, times: int, cuts: int) -> Outcome:
    """Connections are cut after some thousand bytes, in either direction: in the middle of batches and answers."""
    outcome = Outcome()
    port = pymongo.uri_parser.parse_uri(work.server)["nodelist"][0][1]
    for _ in work.rounds(times):
        with a_cutting_proxy(port, work.chooser, 500, 16_000) as proxy:
            uri = f"mongodb://127.0.0.1:{proxy.port}/{{}}?directConnection=true"
            with work.place(uri=uri) as place:
                training = _start(place)
                wait_for(partial(_has_cut, proxy, cuts), f"{cuts} connections are cut", 60 + cuts * 5)
                proxy.budget = lambda: None  # the cable is mended; connections that are open are cut once more
                outcome += _end_and_compare(place, training)
                outcome.times += proxy.cuts - 1
    return outcome


def _has_cut(proxy: CuttingProxy, cuts: int) -> bool:
    return proxy.cuts >= cuts


def _with_trouble(
    work: Workplace, trouble: Callable[[Place], AbstractContextManager[object]], times: int, seconds: float
) -> Outcome:
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place:
            training = _start(place)
            training.wait_for_steps(RATE // 4)
            with trouble(place):
                time.sleep(seconds)
            outcome += _end_and_compare(place, training)
    return outcome


def _start(place: Place) -> Training:
    return place.start(until_told=True, rate=RATE, line_every=5, exit_code=EXIT_CODE)


def _end_and_compare(place: Place, training: Training) -> Outcome:
    training.tally.tell_to_end()
    training.wait()
    place.sync()  # does nothing where the training has waited for all of it
    place.wait_until_shipped()
    return compare(place, training)
