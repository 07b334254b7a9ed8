"""Published holes about queries that were run as code, and about clients that trusted their server's answers."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cloister
from guarded_site import SECRET, SECRET_RUN, Site
from holes_in_input import OPERATORS_THAT_RUN_CODE
from watched_commands import WATCHED

# What ran in Aim's, ClearML's and others' search fields, and what would run in MongoDB's.
QUERIES = (
    "__import__('os').system('touch {mark}')",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "run.__class__.__init__.__globals__",
    'name = "x" or open("{mark}", "w")',
    'config.lr = 1e-3; import os; os.mknod("{mark}")',
    'name = "$where: sleep(1000)"',
    '{{"$where": "this.name"}}',
    "config.$where = 1",
    'config."$where" = "1 == 1"',
    'metrics."__class__" > 0',
    'tags has "{{{{7*7}}}}"',
    'name contains ".*(a+)+$"',
    "started > -7d) or (1 = 1",
    "env.__globals__ exists",
    "best(metrics.__import__) > 0",
)
PLACES = (
    "/p/digits?q={}",
    "/runs?q={}",
    "/p/digits/explain?q={}",
    "/api/v1/runs?query={}",
    "/api/v1/projects/digits/runs?query={}",
    "/api/v1/query/check?query={}",
    "/api/v1/query/complete?query={}",
    "/api/v1/curves?runs=1&metrics={}",
)


def queries_are_never_code(site: Site) -> None:
    """Not a letter of a query is run, by Python or MongoDB, and what is hidden is not found by one."""
    mark = site.folder / "a-query-ran"
    WATCHED.operators.clear()
    WATCHED.watching = True
    try:
        for query in QUERIES:
            for place in PLACES:
                answer = site.get(place.format(quote(query.format(mark=mark), safe="")))
                assert answer.status_code in (200, 400, 404), (place, query, answer.status_code)
    finally:
        WATCHED.watching = False
    assert not mark.exists()
    assert not WATCHED.operators & set(OPERATORS_THAT_RUN_CODE)
    for query in (f'name contains "{SECRET}"', f'"{SECRET}"', 'not name = "x"', "id > 0 or not id > 0"):
        asked = quote(query, safe="")
        assert SECRET_RUN not in [run["id"] for run in site.get(f"/api/v1/runs?query={asked}", "eva").json["runs"]]
        assert f"/runs/{SECRET_RUN}" not in site.get(f"/runs?q={asked}", "eva").text
    everything = site.get("/api/v1/runs?query=" + quote("id > 0 or not id > 0")).json["runs"]
    assert SECRET_RUN in [run["id"] for run in everything]


class _HostileServer(BaseHTTPRequestHandler):
    """Answers whatever is asked with what names classes, pickles and files."""

    def do_GET(self) -> None:
        body = (
            b'{"class": "os.system", "py/object": "builtins.exec", "__reduce__": ["os.system", ["touch x"]],'
            b' "runs": [{"id": 1, "class": "subprocess.Popen"}], "next": null}'
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/x-python-pickle")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class's name
        pass


def the_client_makes_nothing_that_a_server_names(_site: Site) -> None:
    """Whatever a server answers is plain data to `cloister.Api`; its code reads JSON and imports by no name."""
    with HTTPServer(("127.0.0.1", 0), _HostileServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with cloister.Api(f"http://127.0.0.1:{server.server_port}") as api:
            found = api.get("/anything")
            assert type(found) is dict
            assert found["class"] == "os.system"
            assert list(api.runs()) == [{"id": 1, "class": "subprocess.Popen"}]
        server.shutdown()
    package = Path(cloister.__file__).parent / "observer"
    words = ("pickle", "importlib", "__import__", "eval(", "exec(", "getattr(")
    for module in ("api_client.py", "api_connection.py"):
        text = (package / module).read_text()
        assert not [word for word in words if word in text]
