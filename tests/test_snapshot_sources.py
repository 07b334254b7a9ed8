"""Which files count as a run's code, from real interpreters that run real scripts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest
from cloister.observer.snapshot.sources import (
    SourceFile,
    Sources,
    find_main_file,
    find_project_root,
    imported_local_modules,
    read_source,
)

REPORT = """
import json, pathlib, sys
from cloister.observer.snapshot import Sources, find_main_file, find_project_root
main = find_main_file()
sources = Sources(main, find_project_root(main, None))
first = [source.file.path for source in sources.read_new()]
{between}
second = [source.file.path for source in sources.read_new()]
print(json.dumps([str(main), first, second, sources.notes]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "__init__.py").write_text("from . import layers\n")
    (folder / "model" / "layers.py").write_text("WIDTH = 64\n")
    (folder / "late.py").write_text("x = 1\n")
    (folder / "never.py").write_text("x = 1\n")
    return folder


def run_python(folder: Path, *arguments: str, **variables: str) -> Any:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_main_file_and_imported_modules_of_the_project_are_found(project: Path) -> None:
    (project / "train.py").write_text("import json, click, model\n" + REPORT.format(between="import late"))
    main, first, second, notes = run_python(project, "train.py")
    assert main == str(project / "train.py")
    assert first == ["train.py", "model/__init__.py", "model/layers.py"]
    assert second == ["late.py"]
    assert notes == []


def test_a_module_run_by_its_name_is_the_main_file(project: Path) -> None:
    (project / "model" / "train.py").write_text(REPORT.format(between=""))
    main, first, _, _ = run_python(project, "-m", "model.train")
    assert main == str(project / "model" / "train.py")
    assert first[0] == "train.py"


def test_a_command_without_a_file_still_has_its_imports(project: Path) -> None:
    script = "import model\n" + REPORT.format(between="")
    main, first, _, _ = run_python(project, "-c", script, PYTHONPATH=f"{os.environ.get('PYTHONPATH', '')}:{project}")
    assert main == "None"
    assert first == ["model/__init__.py", "model/layers.py"]


def test_a_script_without_a_suffix_is_a_source(project: Path) -> None:
    (project / "train").write_text(REPORT.format(between=""))
    assert run_python(project, "train")[1] == ["train"]


def test_a_notebook_that_names_its_file_is_the_main_file(project: Path) -> None:
    (project / "study.ipynb").write_text("{}")
    script = f"__vsc_ipynb_file__ = {str(project / 'study.ipynb')!r}\n" + REPORT.format(between="")
    assert run_python(project, "-c", script)[1] == ["study.ipynb"]
    assert run_python(project, "-c", REPORT.format(between=""), JPY_SESSION_NAME=str(project / "study.ipynb"))[1] == [
        "study.ipynb"
    ]


def test_installed_packages_inside_the_project_do_not_count(project: Path) -> None:
    packages = project / ".venv" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "installed.py").write_text("x = 1\n")
    (project / "train.py").write_text(f"import sys; sys.path.append({str(packages)!r}); import installed\n" + REPORT)
    (project / "train.py").write_text((project / "train.py").read_text().replace("{between}", ""))
    assert run_python(project, "train.py")[1] == ["train.py"]


def test_a_link_into_the_project_is_the_file_that_it_leads_to(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "shared.py"
    outside.write_text("x = 1\n")
    (project / "shared.py").symlink_to(outside)
    (project / "train.py").write_text("import shared\n" + REPORT.format(between=""))
    assert run_python(project, "train.py")[1] == ["train.py"]


class BrokenModule:
    """Something in sys.modules that is no module and bites."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("do not touch")

    __class__ = property(lambda self: 1 / 0)  # type: ignore[assignment]


def test_broken_modules_are_passed_over(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, file in {"none": None, "number": 3, "nul": "a\0b", "gone": "/gone.py", "folder": "/tmp"}.items():
        module = types.ModuleType(name)
        module.__dict__["__file__"] = file
        monkeypatch.setitem(sys.modules, f"broken_{name}", module)
    monkeypatch.setitem(sys.modules, "broken_object", BrokenModule())  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "broken_nothing", None)  # type: ignore[arg-type]
    good = types.ModuleType("good")
    good.__file__ = str(project / "late.py")
    monkeypatch.setitem(sys.modules, "good", good)
    assert imported_local_modules(None, project) == [SourceFile("late.py", project / "late.py")]


def test_a_lazy_module_is_not_imported_by_looking_at_it(project: Path) -> None:
    (project / "late.py").write_text("raise SystemExit('imported')\n")
    lazy = (
        "import importlib.util, sys\n"
        "spec = importlib.util.find_spec('late')\n"
        "spec.loader = importlib.util.LazyLoader(spec.loader)\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['late'] = module\n"
        "spec.loader.exec_module(module)\n"
    )
    (project / "train.py").write_text(lazy + REPORT.format(between=""))
    assert run_python(project, "train.py")[1] == ["train.py", "late.py"]


def test_other_threads_may_import_meanwhile(project: Path) -> None:
    stop = threading.Event()

    def import_all_the_time() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            sys.modules[f"made_up_{number % 500}"] = types.ModuleType("made up")
            sys.modules.pop(f"made_up_{(number + 250) % 500}", None)

    thread = threading.Thread(target=import_all_the_time)
    thread.start()
    try:
        for _ in range(10):
            assert imported_local_modules(None, project) == []
    finally:
        stop.set()
        thread.join()
        for number in range(500):
            sys.modules.pop(f"made_up_{number}", None)


def test_a_source_comes_with_its_digest(project: Path) -> None:
    source = read_source(SourceFile("late.py", project / "late.py"))
    assert source.content == b"x = 1\n"
    assert source.sha256 == hashlib.sha256(b"x = 1\n").hexdigest()
    assert (source.size_bytes, source.reason) == (6, None)


def test_a_source_that_is_too_large_or_secret_or_gone_is_left_out_with_a_reason(project: Path) -> None:
    (project / "large.py").write_text("#" * 1_000_001)
    (project / "secrets.py").write_text("KEY = 'CANARY'\n")
    os.mkfifo(project / "pipe.py")
    reasons = {
        name: read_source(SourceFile(name, project / name)).reason
        for name in ("large.py", "secrets.py", "pipe.py", "gone.py")
    }
    assert reasons == {
        "large.py": "larger than 1 MB",
        "secrets.py": "its name says that it holds secrets",
        "pipe.py": "not a plain file",
        "gone.py": "unreadable: No such file or directory",
    }


def test_what_is_left_out_is_noted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "large.py").write_text("#" * 1_000_001)
    sources = Sources(project / "large.py", project)
    assert [source.content for source in sources.read_new()] == [None]
    assert sources.notes == ["The source large.py is not recorded: larger than 1 MB."]
    assert sources.read_new() == []


def test_a_script_outside_the_repository_is_its_own_project(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    script = tmp_path / "elsewhere" / "train.py"
    assert find_project_root(script, tmp_path / "repository") == script.parent
    assert find_project_root(tmp_path / "repository" / "a" / "train.py", tmp_path / "repository") == (
        tmp_path / "repository"
    )
    assert find_project_root(None, None) == Path.cwd()


def test_a_removed_working_folder_has_no_project(tmp_path: Path) -> None:
    script = (
        "import os, json, pathlib\nfrom cloister.observer.snapshot import *\n"
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "root = find_project_root(None, None)\n"
        "state = read_git_state(pathlib.Path('.')).as_document()['state']\n"
        "print(json.dumps([root, Sources(None, root).read_new(), state, read_environment()['working_folder']]))"
    )
    assert run_python(tmp_path, "-c", script) == [None, [], "error", None]


def test_the_main_file_of_this_test_run_is_a_file_or_nothing() -> None:
    main = find_main_file()
    assert main is None or main.is_file()
