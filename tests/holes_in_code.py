"""Published holes that a look at our own code closes: templates, pickles, shells, hashes."""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from html import escape, unescape
from importlib.metadata import version
from pathlib import Path

import cloister
from artifact_keeping import keep_artifact
from cloister.observer.runs import RunStore
from cloister.observer.stored_runs import StoredRun
from cloister.viewer.security import SECURITY_HEADERS
from guarded_site import (
    SECRET,
    SECRET_RUN,
    Site,
)
from running_viewer import insert_run

PACKAGE = Path(cloister.__file__).parent

ROOMS = [*PACKAGE.glob("observer/**/*.py"), *PACKAGE.glob("viewer/**/*.py"), *PACKAGE.glob("decorators/**/*.py")]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def user_code_is_never_code_here(site: Site) -> None:
    assert "eval" not in SECURITY_HEADERS["Content-Security-Policy"]
    for number, (name, kind) in enumerate(
        (
            ("a.js", "text/javascript"),
            ("a.wasm", "application/wasm"),
            ("a.py", "text/x-python"),
            ("a.html", "text/html"),
            ("a.svg", "image/svg+xml"),
        )
    ):
        insert_run(site.database, 1600 + number)
        file_id = keep_artifact(
            site.database, site.folder, name, name.encode(), content_type=kind, run_id=1600 + number
        )
        answer = site.get(f"/api/v1/runs/{1600 + number}/artifacts/{file_id}")
        assert answer.status_code == 200
        assert answer.mimetype in ("application/octet-stream", "text/plain"), name
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["Content-Security-Policy"]


def templates_escape(site: Site) -> None:
    assert site.app.jinja_env.autoescape is True
    for path in (PACKAGE / "viewer" / "templates").rglob("*.html"):
        assert not re.search(r"\|\s*safe\b|autoescape", path.read_text()), path
    hostile = "<img src=x onerror=alert(1)>"
    insert_named(site, 1717, hostile)
    store = RunStore(site.database)
    shown = StoredRun(store, store.load_run(1717))._repr_html_()  # in a notebook
    assert hostile not in shown
    assert escape(hostile) in shown


def templates_come_from_files_alone(site: Site) -> None:
    banned = ("render_template_string", "from_string", "Template(")
    assert not [path for path in ROOMS for word in banned if word in path.read_text() and "viewer" in path.parts]
    literal = "{{7*7}} ${7*7} #{7*7} <%= 7*7 %> {0.__class__} %(x)s"
    insert_named(site, 18, literal)
    assert literal in unescape(site.get("/runs/18").text)


def insert_named(site: Site, run_id: int, name: str) -> None:
    insert_run(site.database, run_id)
    site.database["runs"].update_one({"_id": run_id}, {"$set": {"cloister.name": name, "cloister.notes": name}})


# Sacred's own failure dumps are pickles; plain_pickle.py reads them by its own reader, which calls nothing.
MAY_NAME_PICKLE = {"plain_pickle.py", "failure_pickles.py"}


def nothing_is_unpickled(site: Site) -> None:
    banned = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib"}
    calls = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "torch.load", "numpy.load", "np.load"}
    named = re.compile(r"\b(c?pickle|cloudpickle|jsonpickle|marshal|shelve|dill|joblib)\b|\b(eval|exec|load)\(")
    for path in [*PACKAGE.glob("observer/**/*.py"), *PACKAGE.glob("viewer/**/*.py")]:
        for node in ast.walk(parsed(path)) if named.search(path.read_text()) else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
                raise AssertionError(f"{path}:{node.lineno} calls {ast.unparse(node.func)}")
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if path.name not in MAY_NAME_PICKLE:
                assert not {name.split(".")[0] for name in names} & banned, f"{path}:{getattr(node, 'lineno', 0)}"
    value = {"py/object": "os.system", "py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["touch /tmp/owned"]}]}
    insert_run(site.database, 19, config=value, info=value, result=value, **{"cloister.encoder": "sacred"})
    Path("/tmp/owned").unlink(missing_ok=True)
    for tab in ("", "/config", "/source"):
        assert site.get(f"/runs/19{tab}").status_code == 200
    assert site.get("/api/v1/runs/19").status_code == 200
    assert not Path("/tmp/owned").exists()


def variables_stay_text(site: Site) -> None:
    literal = "$HOME ${PATH} %PATH% ~root `id` $(id)"
    insert_named(site, 31, literal)
    assert literal in unescape(site.get("/runs/31").text)
    assert not [path for path in ROOMS if "expandvars" in path.read_text()]


def no_shell_is_started(site: Site) -> None:
    banned = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}
    named = re.compile(r"shell|os\.system|popen|getoutput|getstatusoutput|pty")
    for path in ROOMS:
        for node in ast.walk(parsed(path)) if named.search(path.read_text()) else ():
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in banned, f"{path}:{node.lineno}"
                shells = [ast.unparse(word.value) for word in node.keywords if word.arg == "shell"]
                assert shells in ([], ["False"]), f"{path}:{node.lineno}"


def weak_hashes_prove_nothing(site: Site) -> None:
    for path in ROOMS:
        for found in re.finditer(r"(?:md5|sha1)\(([^\n]*)", path.read_text()):
            if path.name not in ("git_state.py",) and "def " not in found[0]:
                assert "usedforsecurity=False" in found[0] or found[1].startswith("self"), f"{path}: {found[0]}"
    entry = site.database["runs"].find_one({"_id": SECRET_RUN})["artifacts"][0]
    assert entry["sha256"] == hashlib.sha256(SECRET.encode()).hexdigest()


def the_driver_is_new_enough(site: Site) -> None:
    assert tuple(int(part) for part in version("pymongo").split(".")[:2]) >= (4, 9)
    assert '"pymongo>=4.9"' in (PACKAGE / "pyproject.toml").read_text()
