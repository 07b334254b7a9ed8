"""What people install: the wheel's files, the dependencies that it declares, a checkout in a folder of any name."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cloister
import pytest
from cloister.observer.runs import RunStore
from packaging.requirements import Requirement
from recorded_script import RecordedScript

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
ROOMS = ("observer", "decorators", "viewer")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone, in a folder whose name is no module's name."""
    folder = tmp_path_factory.mktemp("clone") / "cloister-main"
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path) -> Path:
    """Built with the setuptools that is installed, so that nothing is downloaded."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(clone.parent), str(clone)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    [path] = clone.parent.glob("*.whl")
    return path


def tracked(clone: Path) -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=clone, check=True, capture_output=True, text=True)
    return listed.stdout.splitlines()


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(clone: Path, wheel: Path) -> None:
    expected = {
        f"cloister/{name}"
        for name in tracked(clone)
        if name in ("__init__.py", "__main__.py")
        or (name.startswith(ROOMS) and name.endswith(".py"))
        or name.startswith(("viewer/static/", "viewer/templates/"))
    }
    about = f"cloister-{cloister.__version__}.dist-info/"
    expected |= {about + name for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")}
    expected.add(about + "licenses/LICENSE")

    held = set(zipfile.ZipFile(wheel).namelist())

    assert sorted(held - expected) == []
    assert sorted(expected - held) == []


def test_every_package_is_in_the_list_of_pyproject(clone: Path) -> None:
    found = {
        ".".join(("cloister", *Path(name).parent.parts))
        for name in tracked(clone)
        if name.endswith("__init__.py") and (name.startswith(ROOMS) or name == "__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_vendored_files_have_their_licence_beside_them(clone: Path) -> None:
    vendored = [clone / name for name in tracked(clone) if name.startswith("viewer/static/vendor/")]
    names = {path.name.partition(".")[0] for path in vendored}
    assert {path.name for path in vendored if "LICENSE" in path.name} >= {f"{name}.LICENSE" for name in names}


def test_the_version_is_said_once() -> None:
    assert PROJECT["project"]["version"] == cloister.__version__


class Environment:
    """A virtual environment with the wheel and, of everything that is installed here, only what it declares to need."""

    def __init__(self, folder: Path, wheel: Path, *extras: str) -> None:
        venv.create(folder, with_pip=False)
        self.python = folder / "bin" / "python"
        self.folder = folder
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(self.python),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
        ]
        subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
        [site] = folder.glob("lib/python*/site-packages")
        for requirement in requirements_of(wheel):
            for name in needed(requirement, extras):
                link_distribution(name, site)

    def variables(self, **more: str) -> dict[str, str]:
        return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **more}


def requirements_of(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        lines = archive.read(path).decode().splitlines()
    return [Requirement(line.partition(": ")[2]) for line in lines if line.startswith("Requires-Dist: ")]


def needed(requirement: Requirement, extras: tuple[str, ...] = ()) -> Iterator[str]:
    """The distribution that a requirement names and all that it needs in turn, where its marker holds."""
    if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
        return
    yield requirement.name
    for line in importlib.metadata.distribution(requirement.name).requires or ():
        yield from needed(Requirement(line), tuple(requirement.extras))


def link_distribution(name: str, site: Path) -> None:
    distribution = importlib.metadata.distribution(name)
    for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        link = site / top
        if not link.exists():
            link.symlink_to(str(distribution.locate_file(top)))


def test_a_training_needs_nothing_but_what_the_wheel_declares(
    wheel: Path, tmp_path: Path, home: Path, database_uri: str, store: RunStore
) -> None:
    environment = Environment(tmp_path / "venv", wheel)
    script = RecordedScript(tmp_path / "project", database_uri, store)
    path = script.write(
        """
        import importlib.util
        import cloister
        from cloister import experiment

        assert importlib.util.find_spec("flask") is None, "the viewer's dependencies must not be here"

        @experiment(project="installed")
        def train(run, lr: float = 0.1):
            print("hello from", cloister.__file__)
            run.log({"loss": 1.5}, step=3)
            run.log_artifact(__file__)
            return "done"

        train()
        """
    )
    result = subprocess.run(
        [str(environment.python), str(path), "lr=0.5"],
        cwd=path.parent,
        env=environment.variables(CLOISTER_URI=database_uri),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert f"hello from {environment.folder}" in result.stdout
    run = script.only_run()
    assert (run.status, run.config, run.result) == ("completed", {"lr": 0.5}, "done")
    assert store.load_points(run.id, "loss").steps.tolist() == [3]
    assert [artifact.name for artifact in run.artifacts] == ["train.py"]
    assert run.sources[0].path == "train.py"


def test_the_viewer_needs_nothing_but_what_the_wheel_declares(
    wheel: Path, tmp_path: Path, home: Path, database_uri: str
) -> None:
    environment = Environment(tmp_path / "venv", wheel, "viewer")
    process = subprocess.Popen(
        [str(environment.folder / "bin" / "cloister"), "serve", "--port", "0"],
        cwd=tmp_path,
        env=environment.variables(CLOISTER_URI=database_uri),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("Cloister is at ").strip()
        assert address, process.communicate()[1]
        with urllib.request.urlopen(address, timeout=20) as answer:
            page = answer.read().decode()
        assert "Cloister" in page
        for path in ("static/css/base.css", "static/js/live.js", "static/vendor/htmx.min.js"):
            with urllib.request.urlopen(address + path, timeout=20) as answer:
                assert answer.status == 200
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_tests_of_a_checkout_with_a_hyphen_import_the_package_once(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "cloister").symlink_to(clone)
    test = """
        import sys

        import cloister
        from cloister.observer import settings


        def test_once():
            files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
            assert [name for name, file in files.items() if file == cloister.__file__] == ["cloister"]
            assert sys.modules["cloister.observer.settings"] is settings
    """
    (clone / "tests" / "test_once.py").write_text(textwrap.dedent(test), encoding="utf-8")
    for folder in (clone, clone / "tests"):
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(clone / "tests" / "test_once.py")],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert "1 passed" in result.stdout, result.stdout + result.stderr
