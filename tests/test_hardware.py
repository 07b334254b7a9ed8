"""Sampling hardware: this machine for real, GPUs through the stand-in library, containers laid out as folders."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cloister.observer.hardware import HARDWARE_METRICS, HardwareSampler, describe_hardware_metric
from cloister.observer.hardware.causes import Causes
from cloister.observer.hardware.cgroup_limits import load_cpu_limit, load_memory_limit, usable_cores
from cloister.observer.hardware.metric_table import is_hardware_metric
from cloister.observer.hardware.probe import HardwareProbe
from cloister.observer.hardware.process_tree import ProcessTree
from nvml_stand_in import nvml_stand_in

__all__ = ["nvml_stand_in"]  # a fixture is found by its name in this module

GPU_PROBE = """
import json, logging, os, sys
from pathlib import Path
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(levelname)s %(message)s")
from cloister.observer.hardware.causes import Causes
from cloister.observer.hardware.probe import HardwareProbe
probe = HardwareProbe(os.getpid(), Path.cwd(), Causes())
samples = [{k: v for k, v in probe.measure().items() if k.startswith("gpu")} for _ in range(3)]
probe.close()
print(json.dumps(samples))
"""


class Samples:
    """A recorder that keeps what it is given and lets a test wait for it."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, float], float]] = []
        self._changed = threading.Condition()

    def record(self, values: dict[str, float], wall_time: float) -> None:
        with self._changed:
            self.taken.append((values, wall_time))
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=30), self.taken


def measure_gpus(environment: dict[str, str], **variables: str) -> tuple[list[dict[str, float]], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", GPU_PROBE],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout), done.stderr.splitlines()


def test_a_run_gets_its_cpu_memory_disk_and_network_in_known_metrics() -> None:
    samples = Samples()
    sampler = HardwareSampler(samples.record, first_interval_seconds=0.3)
    before = time.time()
    sampler.start()
    samples.wait_for(lambda: any("cpu.percent" in values for values, _ in samples.taken))
    sampler.stop()

    names = {name for values, _ in samples.taken for name in values}
    assert {"cpu.percent", "cpu.host.percent", "memory.used", "memory.percent", "memory.host.percent"} <= names
    assert {"disk.free", "processes", "threads", "network.sent", "network.received"} <= names
    for name in names:
        title, unit = describe_hardware_metric(name)
        assert title != name or unit
    values, wall_time = samples.taken[-1]
    assert 0 < values["memory.percent"] <= 100
    assert values["memory.used"] > 5_000_000
    assert before <= wall_time <= time.time()
    assert all(isinstance(value, float) for value in values.values())


def test_a_child_process_counts_in_the_run() -> None:
    probe = HardwareProbe(os.getpid(), Path.cwd(), Causes())
    alone = probe.measure()
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        together = probe.measure()
        child.communicate("\n")
    assert together["processes"] == alone["processes"] + 1
    assert together["memory.used"] > alone["memory.used"] + 1_000_000


def test_processes_are_told_apart_and_a_later_one_takes_a_free_number() -> None:
    tree = ProcessTree(os.getpid())
    before = {use.slot for use in tree.measure().each}
    taken = []
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, text=True) as child:
            [taken_now] = [use for use in tree.measure().each if use.pid == child.pid]
            probe = HardwareProbe(os.getpid(), Path.cwd(), Causes())
            names = probe.measure().keys()
            child.communicate("\n")
        taken.append(taken_now.slot)
        assert {"process.0.memory", "process.1.memory"} <= names
        assert describe_hardware_metric("system/process.1.memory") == ("Process 1 memory", "bytes")
        tree.measure()
    assert 0 in before
    assert taken[0] == taken[1] not in before


def test_a_child_started_from_a_thread_counts_in_the_run() -> None:
    probe = HardwareProbe(os.getpid(), Path.cwd(), Causes())
    started, done = threading.Event(), threading.Event()

    def start_and_wait() -> None:
        with subprocess.Popen(["sleep", "60"]) as child:
            started.set()
            done.wait()
            child.kill()

    before = probe.measure()["processes"]
    thread = threading.Thread(target=start_and_wait)
    thread.start()
    started.wait()
    try:
        assert probe.measure()["processes"] == before + 1
    finally:
        done.set()
        thread.join()


def test_children_are_found_on_systems_whose_kernel_does_not_list_them() -> None:
    from cloister.observer.hardware.process_tree import ProcessTree

    tree = ProcessTree(os.getpid())
    before = tree.measure().processes
    with subprocess.Popen(["sleep", "60"]) as child:
        tree._kernel_lists_children = False  # as on macOS; no such kernel is at hand
        assert tree.measure().pids >= {os.getpid(), child.pid}
        assert tree.measure().processes == before + 1
        child.kill()


def test_the_cpu_time_of_children_that_ended_between_samples_is_kept() -> None:
    from cloister.observer.hardware.process_tree import ProcessTree

    tree = ProcessTree(os.getpid())
    before = tree.measure().cpu_seconds
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    assert tree.measure().cpu_seconds >= before + 0.29


def test_a_tree_whose_processes_are_gone_is_empty_and_not_an_error() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        probe = HardwareProbe(child.pid, Path.cwd(), Causes())
        assert probe.measure()["processes"] == 1
        child.kill()
    values = probe.measure()
    assert values["processes"] == 0
    assert values["memory.host.used"] > 0


def test_stop_takes_a_last_sample_and_nothing_is_recorded_afterwards() -> None:
    samples = Samples()
    sampler = HardwareSampler(samples.record, first_interval_seconds=3600)
    sampler.start()
    samples.wait_for(lambda: len(samples.taken) == 1)
    sampler.stop()
    assert len(samples.taken) == 2
    sampler.stop()
    assert len(samples.taken) == 2
    assert "cloister-hardware" not in [thread.name for thread in threading.enumerate()]


def test_a_recorder_that_raises_is_reported_once_and_the_sampling_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    samples = Samples()

    def record(values: dict[str, float], wall_time: float) -> None:
        samples.record(values, wall_time)
        raise OSError("no space left")

    sampler = HardwareSampler(record, first_interval_seconds=0.01)
    with caplog.at_level(logging.WARNING, "cloister"):
        sampler.start()
        samples.wait_for(lambda: len(samples.taken) >= 3)
        sampler.stop()
    assert [record.getMessage() for record in caplog.records] == ["A hardware sample could not be recorded."]
    assert caplog.records[0].exc_info


def test_a_recorder_that_hangs_does_not_hold_the_end_of_the_run_up() -> None:
    release = threading.Event()
    sampler = HardwareSampler(lambda values, wall_time: release.wait() and None, first_interval_seconds=3600)
    sampler.start()
    sampler.stop()  # the test would end by its time limit, not here, if this waited for the recorder
    release.set()


def test_a_forked_child_does_not_sample() -> None:
    script = """
import os, sys, time
from cloister.observer.hardware import HardwareSampler
def record(values, wall_time):
    os.write(1, f"{os.getpid()}\\n".encode())
sampler = HardwareSampler(record, first_interval_seconds=0.05)
sampler.start()
child = os.fork()
if child == 0:
    sampler.start()
    time.sleep(0.3)
    sampler.stop()
    os._exit(0)
os.waitpid(child, 0)
sampler.stop()
os.write(1, f"parent {os.getpid()}\\n".encode())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    *recorders, parent = done.stdout.splitlines()
    assert recorders
    assert {f"parent {pid}" for pid in recorders} == {parent}
    assert done.stderr == ""


def test_a_removed_working_folder_costs_no_more_than_the_sampling(tmp_path: Path) -> None:
    script = """
import os, sys
from cloister.observer.hardware import HardwareSampler
os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
sampler = HardwareSampler(print)
sampler.start(); sampler.stop(); print("trained")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert "trained" in done.stdout
    assert "Traceback" not in done.stderr


def test_both_gpus_tell_their_use_and_a_refused_value_is_left_out(nvml_stand_in: dict[str, str]) -> None:
    samples, log = measure_gpus(nvml_stand_in)
    gibibyte = float(1 << 30)
    assert samples[-1] == {
        "gpu.0.utilization": 42.0,
        "gpu.0.memory.used": 4 * gibibyte,
        "gpu.0.memory.percent": 25.0,
        "gpu.0.memory.run": 3 * gibibyte,
        "gpu.0.power": 123.456,
        "gpu.0.temperature": 55.0,
        "gpu.1.utilization": 90.0,
        "gpu.1.memory.used": 8 * gibibyte,
        "gpu.1.memory.percent": 50.0,
        "gpu.1.temperature": 70.0,
    }
    assert log == ["INFO GPU 1 does not tell its power: Not Supported."]


def test_a_process_on_the_gpu_that_is_not_ours_does_not_count_as_the_run(nvml_stand_in: dict[str, str]) -> None:
    samples, _ = measure_gpus(nvml_stand_in, NVML_STAND_IN_PID="1")
    assert "gpu.0.memory.run" not in samples[0]


@pytest.mark.parametrize("calls", [0, 1, 3, 7])
def test_a_gpu_that_falls_off_the_bus_leaves_the_other_one(nvml_stand_in: dict[str, str], calls: int) -> None:
    lost = {"NVML_STAND_IN_LOST_GPU": "0", "NVML_STAND_IN_LOST_AFTER": str(calls)}
    samples, log = measure_gpus(nvml_stand_in, **lost)
    assert [name for name in samples[-1] if name.startswith("gpu.0")] == []
    assert all(sample["gpu.1.utilization"] == 90.0 for sample in samples)
    assert sum("GPU 0 stopped answering (GPU is lost)" in line for line in log) == 1


def test_a_gpu_in_mig_mode_still_tells_its_power_and_temperature(nvml_stand_in: dict[str, str]) -> None:
    samples, _ = measure_gpus(nvml_stand_in, NVML_STAND_IN_MIG="1")
    assert {name for name in samples[-1] if name.startswith("gpu.0")} == {
        "gpu.0.memory.run",
        "gpu.0.power",
        "gpu.0.temperature",
    }


def test_a_driver_that_denies_access_means_no_gpu_values(nvml_stand_in: dict[str, str]) -> None:
    samples, log = measure_gpus(nvml_stand_in, NVML_STAND_IN_DENIED="1")
    assert samples == [{}, {}, {}]
    assert log == ["DEBUG No GPU is sampled: Insufficient Permissions."]


def test_every_metric_has_a_title_and_names_from_elsewhere_are_shown_as_they_are() -> None:
    assert describe_hardware_metric("system/gpu.3.temperature") == ("GPU 3 temperature", "°C")
    assert describe_hardware_metric("cpu.percent") == ("CPU of the run", "%")
    assert describe_hardware_metric("gpu.x{0}.heat") == ("gpu.x{0}.heat", "")
    assert describe_hardware_metric("system/") == ("", "")
    assert is_hardware_metric("system/gpu.3.temperature")
    assert is_hardware_metric("system/rank/2/memory.used")
    assert not is_hardware_metric("memory.used")
    assert not is_hardware_metric("system/own")
    for pattern in HARDWARE_METRICS:
        title, _ = describe_hardware_metric(pattern.replace("*", "12"))
        assert "{" not in title
        assert ("12" in title) == ("*" in pattern)


def write_files(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_the_tightest_limit_of_a_version_2_cgroup_counts(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "proc/self/cgroup": "0::/slice/job\n",
            "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
            "sys/fs/cgroup/slice/memory.max": "8000\n",
            "sys/fs/cgroup/slice/memory.current": "5000\n",
            "sys/fs/cgroup/slice/memory.stat": "anon 3000\ninactive_file 1500\n",
            "sys/fs/cgroup/slice/job/memory.max": "max\n",
            "sys/fs/cgroup/slice/cpu.max": "max 100000\n",
            "sys/fs/cgroup/slice/job/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/slice/job/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        },
    )
    memory, cpu = load_memory_limit(tmp_path), load_cpu_limit(tmp_path)
    assert memory is not None
    assert cpu is not None
    assert (memory.limit_bytes, memory.used_bytes()) == (8000, 3500)
    assert (cpu.cores, cpu.used_seconds()) == (0.5, 2.5)
    assert usable_cores(cpu) == 0.5


def test_the_limits_of_a_version_1_container_count_though_its_path_is_the_hosts(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",
            "proc/self/mountinfo": (
                "31 30 0:27 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
                "32 30 0:28 /other /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
            ),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1024\n",
            "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 24\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage": "3000000000\n",
        },
    )
    memory, cpu = load_memory_limit(tmp_path), load_cpu_limit(tmp_path)
    assert memory is not None
    assert cpu is not None
    assert (memory.limit_bytes, memory.used_bytes()) == (4096, 1000)
    assert (cpu.cores, cpu.used_seconds()) == (1.5, 3.0)


@pytest.mark.parametrize(
    ("membership", "mounts"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("0::/../../escape\n", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n", id="parent-path"),
        pytest.param("nonsense\n0\n", "nonsense - \n - cgroup2\n", id="nonsense"),
        pytest.param("5:memory:/\n", "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup c rw,memory\n", id="unlimited"),
    ],
)
def test_cgroup_files_without_a_limit_mean_none(tmp_path: Path, membership: str, mounts: str) -> None:
    write_files(
        tmp_path,
        {
            "proc/self/cgroup": membership,
            "proc/self/mountinfo": mounts,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert load_memory_limit(tmp_path) is None
    assert load_cpu_limit(tmp_path) is None
    assert load_memory_limit(tmp_path / "no such folder") is None
