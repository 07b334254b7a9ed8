"""`cloister.Api`: what a viewer's REST API has, in Python, from any machine that reaches it. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .api_connection import ApiConnection, ApiError, BadApiAddress, problem_of, with_query

PREFIX = "/api/v1"
DEFAULT_URL = "http://127.0.0.1:6390"
RUNS_AT_ONCE = 200  # of one action
POINTS_AT_ONCE = 50_000
KEPT_ANSWERS = 128
CHUNK_BYTES = 1024 * 1024
RECONNECT_SECONDS = 2.0

RunKey = int | str
Json = dict[str, Any]


class Api:
    """A viewer, asked by a program.

    What it answers are the dicts that docs/api.md describes. Whoever shows a token sees and may change what its account
    may, as far as the token reaches.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        """
        Args:
            url: the viewer's address; that of a further database ends in its path, .../db/sacred.
            token: as the page of one's account makes it; the environment's CLOISTER_API_TOKEN where it is left out.
            ca_file: the certificates to trust, PEM, for a viewer whose own no authority of the system has signed.

        Raises:
            BadApiAddress: `url` is none, or would carry the token over plain HTTP to another machine.
        """
        token = token if token is not None else os.environ.get("CLOISTER_API_TOKEN")
        given = None if ca_file is None else os.fspath(ca_file)
        self._connection = ApiConnection(url, token, timeout_seconds=timeout_seconds, ca_file=given)
        self._kept: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Api of {self._connection.origin}{self._connection.prefix}>"

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        self._connection.close()

    # ---- any address

    def get(self, path: str, **query: Any) -> Any:
        """The answer at an address below /api/v1; one that has not changed since it was last read is not sent again."""
        asked = self._path(with_query(path, query))
        kept = self._kept.get(asked)
        status, headers, data = self._connection.send("GET", asked, headers={"If-None-Match": kept[0]} if kept else {})
        if status == 304 and kept is not None:
            data = kept[1]
        elif headers.get("ETag"):
            self._kept[asked] = headers["ETag"], data
            while len(self._kept) > KEPT_ANSWERS:
                self._kept.popitem(last=False)
        return json.loads(data)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self._change("POST", path, body, query)

    def put(self, path: str, body: Any = None, **query: Any) -> Any:
        return self._change("PUT", path, body, query)

    def patch(self, path: str, body: Any = None, **query: Any) -> Any:
        return self._change("PATCH", path, body, query)

    def delete(self, path: str, **query: Any) -> Any:
        return self._change("DELETE", path, None, query)

    def _change(self, method: str, path: str, body: Any, query: Mapping[str, Any]) -> Any:
        _, _, data = self._connection.send(method, self._path(with_query(path, query)), body=body)
        return json.loads(data) if data else None

    def _path(self, path: str) -> str:
        return f"{self._connection.prefix}{PREFIX}{path if path.startswith('/') else '/' + path}"

    # ---- reading

    def projects(self) -> list[Json]:
        return list(self.get("/projects")["projects"])

    def runs(
        self,
        query: str = "",
        *,
        project: str | None = None,
        sort: str = "-started",
        archived: str = "without",
        text: str = "",
        page_size: int = 100,
    ) -> Iterator[Json]:
        """The runs that meet a query, page by page as they are wanted; none is skipped or comes twice meanwhile."""
        path = "/runs" if project is None else f"/projects/{_part(project)}/runs"
        asked = {"query": query or None, "text": text or None, "sort": sort, "archived": archived}
        after: str | None = None
        while True:
            page = self.get(path, **asked, page_size=page_size, after=after)
            yield from page["runs"]
            after = page["next"]
            if after is None:
                return

    def run(self, run: RunKey) -> Json:
        found: Json = self.get(_run(run))
        return found

    def metrics(self, run: RunKey) -> list[Json]:
        return list(self.get(f"{_run(run)}/metrics")["metrics"])

    def points(self, run: RunKey, metric: str) -> tuple[list[int], list[float], list[float]]:
        """Steps, values and wall times (seconds since 1970) of all points, exactly as they were logged."""
        steps: list[int] = []
        values: list[float] = []
        times: list[float] = []
        total = 1
        while len(steps) < total:
            part = self.get(f"{_run(run)}/metrics/points", name=metric, limit=POINTS_AT_ONCE, offset=len(steps))
            total = part["total"]
            if not part["steps"]:
                break
            steps += part["steps"]
            values += map(float, part["values"])  # "NaN" and "Infinity" are texts in JSON
            times += map(float, part["wall_times"])
        return steps, values, times

    def console(self, run: RunKey) -> Iterator[Json]:
        """All pieces of a run's output from its first one on, raw."""
        after = ""
        while True:
            page = self.get(f"{_run(run)}/console", after=after)
            yield from page["pieces"]
            if not page["more"] or not page["pieces"]:
                return
            after = page["last"]

    def artifacts(self, run: RunKey) -> list[Json]:
        return list(self.get(f"{_run(run)}/artifacts")["artifacts"])

    def download(self, run: RunKey, name: str, to: str | os.PathLike[str]) -> Path:
        """Write a file that a run made, by its name, to a path; a file that was there is replaced once all is here.

        Raises:
            ApiError: the run has no file of this name.
        """
        found = [each for each in self.artifacts(run) if each["name"] == name]
        if not found:
            raise ApiError(404, f"Run {run} has no artifact {name!r}.")
        target = Path(to)
        part = target.with_name(target.name + ".part")
        connection = self._connection.open()
        with contextlib.closing(connection), part.open("wb") as file:
            connection.request("GET", found[-1]["url"], headers=self._connection.headers({}))
            answer = connection.getresponse()
            if answer.status != 200:
                raise problem_of(answer.status, answer.read())
            length = answer.length
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
            if length is not None and file.tell() != length:
                raise ApiError(0, f"{name!r} broke off after {file.tell()} of {length} bytes.")
        return part.replace(target)

    # ---- changing

    def edit_run(
        self,
        run: RunKey,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        expected: Mapping[str, Any] | None = None,
    ) -> Json:
        """Change what is given; what is not as `expected` any more is not replaced (`ApiError` with status 412)."""
        given = {"name": name, "tags": None if tags is None else list(tags), "notes": notes, "expected": expected}
        answer: Json = self.patch(_run(run), {key: value for key, value in given.items() if value is not None})
        return answer

    def act(self, action: str, runs: Sequence[RunKey], **how: Any) -> list[Json]:
        """Archive, unarchive, move, trash, restore, stop, add-tags or remove-tags; the outcome of each run."""
        outcomes: list[Json] = []
        for start in range(0, len(runs), RUNS_AT_ONCE):
            body = {"action": action, "runs": list(runs[start : start + RUNS_AT_ONCE]), **how}
            outcomes += self.post("/runs/actions", body)["outcomes"]
        return outcomes

    def stop(self, run: RunKey, *, level: str = "interrupt") -> Json:
        """Ask a run to stop; raises `ApiError` where it has ended."""
        [outcome] = self.act("stop", [run], level=level)
        if outcome["status"] != 200:
            raise ApiError(outcome["status"], outcome["detail"])
        return outcome

    # ---- following

    def changes(self, *, project: str | None = None, run: RunKey | None = None) -> Iterator[Json]:
        """Runs that change, as it happens, for ever; after a break with what was missed.

        A dict with "gap" instead of a run says that something may have gone unheard: read anew what you show.
        """
        place: str | None = None
        while True:
            try:
                for event in self._events(project=project, run=run, after=place):
                    place = event.get("id") or place
                    if event.get("event") == "gap":
                        yield {"gap": True}
                    elif "event" not in event and "data" in event:
                        yield json.loads(event["data"])
            except (OSError, http.client.HTTPException):
                pass
            except ApiError as error:
                if error.status != 503:
                    raise
            time.sleep(RECONNECT_SECONDS)

    def _events(self, **query: Any) -> Iterator[dict[str, str]]:
        connection = self._connection.open()
        with contextlib.closing(connection):
            path = self._path(with_query("/live", query))
            connection.request("GET", path, headers=self._connection.headers({"Accept": "text/event-stream"}))
            answer = connection.getresponse()
            if answer.status != 200:
                raise problem_of(answer.status, answer.read())
            event: dict[str, str] = {}
            while line := answer.readline().decode("utf-8", "replace"):
                name, _, value = line.rstrip("\n").partition(": ")
                if name:
                    event[name] = value
                else:
                    yield event
                    event = {}


def _run(run: RunKey) -> str:
    return f"/runs/{quote(str(run), safe=':~')}"


def _part(name: str) -> str:
    return quote(name, safe="")


__all__ = ["Api", "ApiError", "BadApiAddress"]
