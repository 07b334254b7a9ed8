"""Installed packages, Python, machine and GPUs as they are recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import pytest
from cloister.observer.snapshot import host
from cloister.observer.snapshot.distributions import InstalledDistributions, read_distributions
from cloister.observer.snapshot.git_state import GitState
from cloister.observer.snapshot.gpu_inventory import Gpu, GpuInventory, read_gpus
from cloister.observer.snapshot.host import read_environment, read_host
from nvml_stand_in import nvml_stand_in  # noqa: F401 - the fixture


def make_package(folder: Path, name: str, version: str, **files: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: decoy\n")
    for file, text in files.items():
        (info / file.replace("_json", ".json")).write_text(text)


def test_the_list_is_what_importlib_says() -> None:
    expected = {f"{package.metadata['Name']}=={package.version}" for package in metadata.distributions()}
    packages = read_distributions()
    assert set(packages.installed) <= expected
    assert {line.partition("==")[0].lower() for line in packages.installed} == {
        line.partition("==")[0].lower() for line in expected
    }
    names = [line.partition("==")[0].lower().replace("_", "-").replace(".", "-") for line in packages.installed]
    assert names == sorted(names)


def test_an_editable_package_is_named_apart_and_the_list_stays_a_requirements_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package(tmp_path, "my.own_code", "0.1", direct_url_json='{"url": "file:///x", "dir_info": {"editable": true}}')
    make_package(tmp_path, "from_git", "2.0", direct_url_json='{"url": "https://x/y.git", "vcs_info": {}}')
    monkeypatch.syspath_prepend(str(tmp_path))
    packages = read_distributions()
    assert "my.own_code==0.1" in packages.installed
    assert "from_git==2.0" in packages.installed
    assert "my.own_code" in packages.editable
    assert "from_git" not in packages.editable


def test_what_is_imported_is_named_apart_whatever_its_modules_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package(tmp_path, "Named.Alike", "1")
    package = {"RECORD": "../bin/x,,\nby_files/__init__.py,,\n"}
    make_package(tmp_path, "of-other-name", "2", **package)
    make_package(tmp_path, "of_a_list", "3", **{"top_level.txt": "by_list\n_by_list\n"})
    make_package(tmp_path, "not-imported", "4", RECORD="nobody/__init__.py,,\n")
    for module in ("named_alike", "by_files", "_by_list"):
        monkeypatch.setitem(sys.modules, module, sys)
    monkeypatch.syspath_prepend(str(tmp_path))
    packages = read_distributions()
    assert {"Named.Alike==1", "of-other-name==2", "of_a_list==3"} <= set(packages.imported) < set(packages.installed)
    assert "not-imported==4" in set(packages.installed) - set(packages.imported)


def test_the_first_of_two_packages_of_one_name_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package(tmp_path / "old", "twice_there", "1.0")
    make_package(tmp_path / "new", "Twice.There", "2.0")
    monkeypatch.syspath_prepend(str(tmp_path / "old"))
    monkeypatch.syspath_prepend(str(tmp_path / "new"))
    found = [line for line in read_distributions().installed if "twice" in line.lower()]
    assert found == ["Twice.There==2.0"]


def test_broken_packages_cost_only_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package(tmp_path, "good_one", "1.0")
    make_package(tmp_path, "bad_json", "1.0", direct_url_json="{not json")
    make_package(tmp_path, "odd_json", "1.0", direct_url_json='["a list"]')
    (tmp_path / "empty-1.0.dist-info").mkdir()
    (tmp_path / "bytes-1.0.dist-info").mkdir()
    (tmp_path / "bytes-1.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe\0")
    (tmp_path / "folder-1.0.dist-info" / "METADATA").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    packages = read_distributions()
    assert "good_one==1.0" in packages.installed
    assert "odd_json==1.0" in packages.installed
    [note] = packages.notes
    assert all(name in note for name in ("empty-1.0", "bytes-1.0", "folder-1.0", "bad_json-1.0"))


def test_the_environment_says_what_this_machine_is() -> None:
    environment = read_environment(InstalledDistributions(("a==1",), (), ("a",)))
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert environment["python_executable"] == sys.executable
    assert environment["host"] == host.host_name()
    assert environment["working_folder"] == str(Path.cwd())
    assert environment["memory"]["total_bytes"] == psutil.virtual_memory().total
    assert environment["cpu"]["logical_cores"] == psutil.cpu_count()
    assert 0 < environment["cpu"]["usable_cores"] <= environment["cpu"]["logical_cores"]
    assert environment["cpu"]["model"]
    assert (environment["distributions"], environment["editable_distributions"]) == (["a==1"], ["a"])
    assert environment["notes"] == []
    json.dumps(environment)


def test_the_environment_is_read_without_starting_a_process() -> None:
    script = (
        "import sys\n"
        "from cloister.observer.snapshot import read_environment, read_host\n"
        "sys.addaudithook(lambda event, args: event in ('subprocess.Popen', 'os.fork', 'os.posix_spawn') and 1 / 0)\n"
        "print(read_environment()['notes'], read_host()['os'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[]")


def test_only_listed_variables_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("SLURM_JOB_NAME", "n" * 5_000)
    monkeypatch.setenv("SLURM_JWT", "CANARY-7f3a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-7f3a")
    environment = read_environment()
    assert environment["variables"]["SLURM_JOB_ID"] == "4711"
    assert (environment["variables"]["RANK"], environment["variables"]["WORLD_SIZE"]) == ("3", "8")
    assert len(environment["variables"]["SLURM_JOB_NAME"]) == 300
    assert "CANARY-7f3a" not in str(environment)
    assert "CANARY-7f3a" not in str(read_host())


def test_an_account_without_a_name_is_its_number() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become an account without a name")
    script = "import os; os.setuid(54321); from cloister.observer.account import login_name; print(login_name())"
    clean = {name: value for name, value in os.environ.items() if name not in ("LOGNAME", "USER", "LNAME", "USERNAME")}
    done = subprocess.run([sys.executable, "-c", script], env=clean, capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr or "ModuleNotFoundError" in done.stderr:
        pytest.skip("the package lies in a folder that only root can read")
    assert done.stdout.strip() == "uid 54321"


def test_sacred_gets_its_host_fields() -> None:
    gpus = GpuInventory((Gpu(0, "NVIDIA H100", "GPU-1", 80 * 2**30, True),), "550.54", "12.4")
    found = read_host(gpus)
    assert set(found) == {"hostname", "os", "python_version", "cpu", "gpus", "ENV"}
    assert found["os"][0] == "Linux"
    assert found["gpus"] == {
        "driver_version": "550.54",
        "gpus": [{"model": "NVIDIA H100", "total_memory": 81920, "persistence_mode": True}],
    }
    assert "gpus" not in read_host(GpuInventory())


def test_every_recorded_variable_and_field_is_named_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "what-is-recorded.md").read_text()
    names = {*host.RECORDED_VARIABLES, *read_environment(), *GitState("repository").as_document()}
    assert {name for name in names if f"`{name}`" not in page} == set()


def ask_with_stand_in(environment: dict[str, str], **variables: str) -> Any:
    script = (
        "import json; from dataclasses import asdict\n"
        "from cloister.observer.snapshot import read_gpus\n"
        "read_gpus(); print(json.dumps(asdict(read_gpus())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**environment, **variables}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_gpus_are_listed_through_nvml(nvml_stand_in: dict[str, str]) -> None:  # noqa: F811 - the fixture
    found = ask_with_stand_in(nvml_stand_in)
    assert [gpu["index"] for gpu in found["gpus"]] == [0, 1]
    assert all(gpu["memory_bytes"] and gpu["name"] and gpu["uuid"] for gpu in found["gpus"])
    assert (found["driver"], found["cuda_driver"]) == ("550.54.15", "12.4")


def test_a_gpu_that_is_lost_leaves_the_others(nvml_stand_in: dict[str, str]) -> None:  # noqa: F811 - the fixture
    found = ask_with_stand_in(nvml_stand_in, NVML_STAND_IN_LOST_GPU="0")
    assert {gpu["index"]: gpu["memory_bytes"] is None for gpu in found["gpus"]}[1] is False


def test_a_driver_that_refuses_us_is_no_error(nvml_stand_in: dict[str, str]) -> None:  # noqa: F811 - the fixture
    assert ask_with_stand_in(nvml_stand_in, NVML_STAND_IN_DENIED="1") == {
        "gpus": [],
        "driver": None,
        "cuda_driver": None,
    }


@pytest.mark.gpu
def test_a_real_gpu_says_its_name() -> None:
    inventory = read_gpus()
    if inventory.driver is None:
        pytest.skip("no NVIDIA driver answers through NVML here")
    assert inventory.gpus[0].name
