"""A real Omniboard on a database of ours, and its REST as its pages ask it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from peer_installs import omniboard_program

PATH = "/sacred"  # where Omniboard serves the only database that it knows

# What the table asks for: at first, and after that with the columns that it shows.
FIRST_COLUMNS = (
    "_id,heartbeat,experiment,command,host,stop_time,config,duration,result,start_time,resources,format,status,"
    "omniboard,metrics,meta"
)
DETAILS = "captured_out,info,meta,host,experiment,artifacts,config,fail_trace,status"
# What the comparison of metrics leaves out of the runs that it wants with each of them.
NOT_COMPARED = (
    "captured_out", "meta", "heartbeat", "result", "start_time", "stop_time", "resources", "artifacts", "format",
    "command", "info.metrics", "experiment.sources",
)  # fmt: skip


class Omniboard:
    """What a page gets from the server at `address`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.page = f"{self.address}{PATH}"
        self._port = port
        self._process = process
        self._log = log

    def ask(self, path: str, **parameters: Any) -> bytes:
        """The body of a GET below `/api/v1/`; whatever is not plain text is sent as JSON, as the pages do."""
        plain = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            connection.request("GET", f"{PATH}/api/v1/{path}?{urlencode(plain)}")
            with closing(connection.getresponse()) as response:
                body = response.read()
        assert response.status == 200, f"{response.status} for {path} {plain}: {body[:500]!r}\n{self.log_text()}"
        return body

    def ask_json(self, path: str, **parameters: Any) -> Any:
        return json.loads(self.ask(path, **parameters))

    def ask_table(self, columns: str, **options: str) -> Any:
        asked = {"sort_by": "_id", "order_by": "-1", "query": "{}", "limit": "50", **options}
        return self.ask_json("Runs", select=columns, **asked)

    def ask_metrics(self, number: int) -> Any:
        return self.ask_json("Metrics", query=json.dumps({"run_id": str(number)}))

    def ask_metric(self, number: int, name: str) -> Any:
        [metric] = [metric for metric in self.ask_metrics(number) if metric["name"] == name]
        return metric

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def log_text(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while "established successfully" not in self.log_text():
            assert self.is_alive(), self.log_text()
            assert time.monotonic() < deadline, self.log_text()
            time.sleep(0.05)


@contextmanager
def running_omniboard(uri: str, folder: Path, port: int) -> Iterator[Omniboard]:
    """Omniboard on the database of `uri`, with its log in `folder`."""
    log = folder / "omniboard.log"
    environment = {**os.environ, "PORT": str(port), "npm_package_version": "2.16.1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["node", str(omniboard_program()), "--mu", uri],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder,
        )  # fmt: skip
    omniboard = Omniboard(process, port, log)
    try:
        omniboard.wait_until_ready()
        yield omniboard
    finally:
        process.terminate()
        process.wait(30)
