"""Several processes that record one run: ranks that join by CLOISTER_RUN or torchrun, spawned ones that get the run."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import cloister
import pytest
from cloister.decorators.ranks import BadRank, find_place
from cloister.decorators.run_travel import RunCannotTravel
from cloister.observer.courier import Courier
from cloister.observer.run_claim import RunHasEnded, RunIsAlive
from cloister.observer.runs import MetricNotFound, RunStore
from conftest import free_port
from recorded_script import RecordedScript, wait_for
from recorded_work import begin_work

TRAINING = """
    import os, pathlib, sys, time
    import cloister

    rank = int(os.environ["RANK"])
    print("stdout of rank", rank, flush=True)
    with cloister.start_run(project="ranks", name="together", config={"lr": 0.1}) as run:
        for step in range(20):
            run.log({"loss": step + 100 * rank}, step=step)
        print("line of rank", rank)
        print("warning of rank", rank, file=sys.stderr)
        deadline = time.monotonic() + 30
        own = b"system/rank/%d/memory" % rank if rank else b"system/memory"
        journals = pathlib.Path(os.environ["CLOISTER_HOME"])
        while not any(own in path.read_bytes() for path in journals.rglob("*.journal")):
            time.sleep(0.05)
            assert time.monotonic() < deadline
        while not all(os.path.exists(f"done-{other}") for other in range(run.world_size)):
            open(f"done-{rank}", "w").close()
            time.sleep(0.02)
            assert time.monotonic() < deadline
        if rank == 2:
            raise RuntimeError("rank two fell over")
"""


HOST_OF_ITS_OWN = """os.environ["CLOISTER_HOME"] = os.environ["HOSTS"] + os.environ["RANK"]
    import cloister"""


def start_ranks(script: RecordedScript, source: str, count: int, **extra: str) -> list[subprocess.Popen[str]]:
    """Start `count` ranks as a launcher does: by the environment alone."""
    shared = {"WORLD_SIZE": str(count), "CLOISTER_RUN": "job-77", **extra}
    return [script.start(source, env={"RANK": str(rank), "LOCAL_RANK": str(rank), **shared}) for rank in range(count)]


def finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What each wrote to stderr."""
    return [process.communicate(timeout=120)[1] for process in processes]


def test_ranks_record_one_run_and_the_failing_one_says_why(script: RecordedScript) -> None:
    processes = start_ranks(script, TRAINING, 3)
    errors = finish(processes)
    assert [process.returncode for process in processes] == [0, 0, 1], errors
    script.wait_until_shipped()

    run = script.only_run()
    assert (run.name, run.status, run.world_size, run.config) == ("together", "completed", 3, {"lr": 0.1})
    steps = list(range(20))
    for name, first in (("loss", 0), ("rank/1/loss", 100), ("rank/2/loss", 200)):
        points = script.store.load_points(run.id, name)
        assert (points.steps.tolist(), points.values.tolist()) == (steps, [first + step for step in steps])
    states = {state.rank: state for state in run.ranks}
    assert [states[rank].status for rank in range(3)] == ["completed", "completed", "failed"]
    assert [states[rank].pid for rank in range(3)] == [process.pid for process in processes]
    assert states[2].fail_trace[-1] == "RuntimeError: rank two fell over\n"
    assert states[2].exit == {"code": 1}
    text = "".join(piece.text for piece in script.store.load_console(run.id).pieces)
    assert "line of rank 0\n" in text
    assert "line of rank 1" not in text
    assert "[rank 1] warning of rank 1\n" in text
    names = set(run.system)
    assert {"memory.used", "memory.host.used", "rank/1/memory.used", "rank/2/memory.used"} <= names
    assert not {name for name in names if name.startswith("rank/") and ".host." in name}


def test_ranks_of_several_hosts_may_merge_their_metrics(script: RecordedScript, tmp_path: Path) -> None:
    """Each host has a data folder and a courier of its own; both work on the same run."""
    source = TRAINING.replace("rank == 2", "False").replace("import cloister", HOST_OF_ITS_OWN, 1)
    processes = start_ranks(script, source, 2, CLOISTER_RANKS="merge", HOSTS=str(tmp_path / "host"))
    errors = finish(processes)
    assert [process.returncode for process in processes] == [0, 0], errors

    run = script.only_run()
    assert [state.status for state in run.ranks] == ["completed", "completed"]
    assert (run.status, run.summary["loss"].count) == ("completed", 40)
    points = script.store.load_points(run.id, "loss")
    assert sorted(points.values.tolist()) == [*range(20), *range(100, 120)]
    with pytest.raises(MetricNotFound):
        script.store.load_points(run.id, "rank/1/loss")


@pytest.mark.usefixtures("home")
def test_merged_metrics_are_counted_whole_whatever_each_host_logs_at_a_time(
    store: RunStore, database_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = begin_work(database_uri)
    monkeypatch.setenv("CLOISTER_HOME", str(tmp_path / "another host"))
    second = begin_work(database_uri, uid=first.uid)
    couriers = [Courier(store.database, work.places[:1]) for work in (first, second)]
    for turn in range(4):
        # The second host ships something that both log, between two batches of the first of different metrics.
        for number, name in ((0, "loss"), (1, "loss"), (0, "accuracy"), (0, "loss")):
            (first, second)[number].recorder.record_points({name: math.nan if turn == 1 else 0.5}, turn)
            couriers[number].ship()
    for number, work in enumerate((first, second)):
        work.end()
        couriers[number].ship()

    [run] = [store.load_run(document["_id"]) for document in store.database["runs"].find({}, {"_id": 1})]
    assert {name: summary.count for name, summary in run.summary.items()} == {"loss": 12, "accuracy": 4}
    assert len(store.load_points(run.id, "loss")) == 12


def test_a_killed_rank_is_lost_while_the_run_goes_on(script: RecordedScript) -> None:
    source = """
        import os, time
        import cloister

        run = cloister.start_run(project="ranks", hardware=False)
        run.log({"loss": 1.0})
        print("ready", flush=True)
        time.sleep(60 if run.rank else 0)
        while run.rank == 0 and not os.path.exists("go"):
            time.sleep(0.02)
    """
    first, second = start_ranks(script, source, 2)
    for process in (first, second):
        assert process.stdout is not None
        process.stdout.readline()
    wait_for(lambda: script.runs() and len(script.only_run().ranks) == 2, "both ranks are there")
    second.send_signal(signal.SIGKILL)
    second.communicate()
    number = script.only_run().id
    script.store.database["runs"].update_one(
        {"_id": number}, {"$set": {"cloister.ranks.1.heartbeat": script.only_run().start_time.replace(year=2020)}}
    )
    assert [state.status for state in script.only_run().ranks] == ["running", "lost"]
    (script.folder / "go").touch()
    first.communicate(timeout=60)
    script.wait_until_shipped()
    assert [state.status for state in script.only_run().ranks] == ["completed", "lost"]


@pytest.fixture
def joined(home: Path, database_uri: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Options of a run that others may join, shipped by a thread of this process."""
    monkeypatch.setenv("CLOISTER_COURIER", "thread")
    return {"uri": database_uri, "capture": "none", "hardware": False, "join": "job-5"}


def test_a_second_process_of_the_same_rank_is_refused_and_a_late_joiner_too(
    joined: dict[str, object], store: RunStore
) -> None:
    with cloister.start_run(**joined, rank=0, world_size=2) as run:  # type: ignore[arg-type]
        with pytest.raises(RunIsAlive, match="by this very process"):
            cloister.start_run(**joined, rank=0, world_size=2)  # type: ignore[arg-type]
        with cloister.start_run(**joined, rank=1, world_size=2) as other:  # type: ignore[arg-type]
            assert other.uid == run.uid
    assert run.wait_until_stored()
    an_hour_ago = store.load_run(run.id).stop_time.replace(year=2020)  # type: ignore[union-attr]
    store.database["runs"].update_one({"_id": run.id}, {"$set": {"stop_time": an_hour_ago}})
    for rank in (0, 1):
        with pytest.raises(RunHasEnded, match=rf"Run {run.id} has ended \(completed at 2020-"):
            cloister.start_run(**joined, rank=rank, world_size=2)  # type: ignore[arg-type]
    resumed = cloister.start_run(**joined, rank=0, world_size=2, resume="auto")  # type: ignore[arg-type]
    wait_for(lambda: store.load_run(run.id).status == "running", "the run goes on")
    with cloister.start_run(**joined, rank=1, world_size=2):  # type: ignore[arg-type]
        pass
    resumed.finish()
    assert resumed.wait_until_stored()


def test_a_program_that_a_training_starts_is_no_part_of_its_run(script: RecordedScript) -> None:
    source = """
        import os, subprocess, sys
        import cloister

        with cloister.start_run(project="ranks", name=sys.argv[-1], hardware=False) as run:
            run.log({"loss": 1.0})
            if sys.argv[-1] == "outer":
                subprocess.run([sys.executable, __file__, "inner"], check=True)
        with cloister.start_run(project="ranks", name="second " + sys.argv[-1], hardware=False):
            pass
    """
    finished = script.run(source, "outer", env={"CLOISTER_RUN": "job-1"})
    assert finished.returncode == 0, finished.stderr
    script.wait_until_shipped()
    assert sorted(run.name for run in script.runs()) == ["inner", "outer", "second inner", "second outer"]


def log_in_spawned_process(run: cloister.Run, worker: int) -> None:
    run.log({f"worker {worker}": 1.0 * worker}, step=3)
    cloister.log({"all": 1.0 * worker})
    run.finish("failed")  # not its own


def test_a_run_passed_to_spawned_processes_records_there(
    home: Path, database_uri: str, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_COURIER", "thread")
    context = multiprocessing.get_context("spawn")
    with cloister.start_run(uri=database_uri, capture="none", hardware=False) as run:
        workers = [context.Process(target=log_in_spawned_process, args=(run, number)) for number in (1, 2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0, 0]
        with pytest.raises(RunCannotTravel, match="cannot be pickled"):
            pickle.dumps(run)
    assert run.wait_until_stored()

    stored = store.load_run(run.id)
    assert stored.status == "completed"
    assert store.load_points(run.id, "worker 2").values.tolist() == [2.0]
    assert sorted(store.load_points(run.id, "all").values.tolist()) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        pytest.param({}, (0, 1, 0), id="alone"),
        pytest.param({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, (3, 4, 1), id="torchrun"),
        pytest.param({"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "2"}, (5, 8, 2), id="slurm"),
        pytest.param(
            {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"},
            (2, 4, 2),
            id="mpirun in a batch script",
        ),
        pytest.param({"PMI_RANK": "1"}, (1, 2, 1), id="mpi without a size"),
        pytest.param({"RANK": "x", "WORLD_SIZE": "-1"}, (0, 1, 0), id="nonsense"),
    ],
)
def test_a_rank_is_found_as_launchers_tell_it(environ: dict[str, str], place: tuple[int, int, int]) -> None:
    found = find_place(environ=environ)
    assert (found.rank, found.world_size, found.local_rank) == place


@pytest.mark.parametrize("rank", [-1, 4, "1", 1.0])
def test_a_rank_that_cannot_be_is_refused(rank: object) -> None:
    with pytest.raises(BadRank, match="is not possible"):
        find_place(rank, 4)  # type: ignore[arg-type]


DISTRIBUTED = """
    import os
    import torch, torch.distributed as dist
    from cloister import experiment

    @experiment(project="ranks", hardware=False)
    def train(run, steps: int = 5):
        dist.init_process_group("gloo")
        for step in range(steps):
            value = torch.tensor([float(dist.get_rank() + 1)])
            dist.all_reduce(value)
            run.log({"sum": value, "own": dist.get_rank()}, step=step)
        dist.destroy_process_group()

    train()
"""


def test_torchrun_on_one_host_needs_nothing_said(script: RecordedScript) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    path = script.write(DISTRIBUTED)
    launched = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node=2",
            f"--master-port={free_port()}",
            str(path),
        ],
        cwd=script.folder,
        env={**os.environ, "CLOISTER_URI": script.uri, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr
    script.wait_until_shipped()
    run = script.only_run()
    assert (run.world_size, [state.status for state in run.ranks]) == (2, ["completed", "completed"])
    assert script.store.load_points(run.id, "rank/1/sum").values.tolist() == [3.0] * 5
    assert script.store.load_points(run.id, "sum").values.tolist() == [3.0] * 5
