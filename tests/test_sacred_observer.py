"""Real Sacred experiments under our observer: each runs as a script, and is looked for in a real database."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from cloister.observer.run_collections import Collections, with_collections
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from pymongo.database import Database
from recorded_script import RecordedScript, wait_for
from sacred_scripts import BEGINNING, experiment, need_sacred
from seeded_runs import text_of

Documents = Database[dict[str, Any]]


@pytest.fixture(autouse=True)
def _sacred() -> None:
    need_sacred()


def succeed(script: RecordedScript, source: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run a script that ends well; returns what it printed."""
    done = script.run(source, *arguments, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    script.wait_until_shipped()
    return done.stdout + done.stderr


def test_an_experiment_is_recorded_whole_without_an_argument(
    script: RecordedScript, database: Documents, store: RunStore
) -> None:
    (script.folder / "data.bin").write_bytes(b"read by the run")
    source = experiment(
        """
        @ex.config
        def config():
            lr = 0.1
            layers = [3, 2]

        @ex.automain
        def main(_run, lr):
            print("lr is", lr)
            for step in range(20):
                _run.log_scalar("loss", 1 / (step + 1))
            _run.info["note"] = {"nested": [1, 2]}
            with open("made.txt", "w") as file:
                file.write("made by the run")
            ex.add_artifact("made.txt", metadata={"kind": "text"})
            ex.add_artifact("made.txt")
            ex.open_resource("data.bin", "rb")
            ex.open_resource("data.bin", "rb")
            return 0.25
        """
    )
    succeed(script, source, "with", "lr=0.5")
    succeed(script, source)

    first, second = script.runs()
    assert (first.project, first.experiment, first.status, first.result) == ("ator", "ator", "completed", 0.25)
    assert first.config["lr"] == 0.5
    assert second.config["layers"] == [3, 2]
    assert store.load_points(first.id, "loss").values.tolist() == [1 / (step + 1) for step in range(20)]
    assert [(artifact.name, store.open_blob(artifact.file_id).read()) for artifact in first.artifacts] == [
        ("made.txt", b"made by the run")
    ] * 2
    document = database["runs"].find_one({"_id": first.id})
    assert document is not None
    [[path, digest]] = document["resources"]
    assert path == str(script.folder / "data.bin")
    [resource] = document["cloister"]["resources"]
    assert (resource["md5"], store.open_blob(resource["file_id"]).read()) == (digest, b"read by the run")
    assert document["info"]["note"] == {"nested": [1, 2]}
    assert "lr is 0.5" in document["captured_out"]
    assert "Completed after" in document["captured_out"]  # which Sacred loses by the descriptors' capture
    [metric] = database["metrics"].find({"run_id": first.id})
    assert document["info"]["metrics"] == [{"name": "loss", "id": str(metric["_id"])}]
    assert metric["steps"] == list(range(20))
    assert first.sources[0].file_id == second.sources[0].file_id
    assert database["fs.files"].count_documents({"filename": str(script.folder / "train.py")}) == 1


BAD_VALUES = experiment(
    """
    import pathlib
    import numpy as np

    ex.add_config(a=1, where="here", some=[])

    class Odd:
        def __getstate__(self):
            raise RuntimeError("not to be kept")

    @ex.main
    def main(_run):
        for value in (1.5, "text", None, 2**70, 3 + 4j, [1, 2], True, np.float32(0.5), float("nan"), np.arange(3)):
            _run.log_scalar("odd", value)
        _run.log_scalar("half steps", 1.0, 0.5)
        _run.log_scalar("half steps", 2.0, 1.5)
        _run.log_scalar("good", 1.0)
        _run.info.update({"path": pathlib.Path("/x"), "a.b": {"$c": 1}, "big": 2**70, "pair": (1, 2)})
        _run.info.update({"odd": Odd(), 7: 8})
        _run.info["array"] = np.arange(3)
        _run.info["again"] = _run.info["array"]
        ex.add_artifact("missing.txt")
        ex.add_resource("missing.bin")
        ex.add_artifact(__file__)
        return np.float64(3.0)

    ex.run(config_updates={"a": np.int64(3), "where": pathlib.Path("/data"), "some": {1, 2}}, info={"early": 1})
    """
)


def test_a_bad_value_costs_itself_alone(script: RecordedScript, database: Documents, store: RunStore) -> None:
    printed = succeed(script, BAD_VALUES)

    run = script.only_run()
    assert (run.status, run.result) == ("completed", 3.0)
    assert run.config["a"] == 3
    assert run.info["path"] == "/x"
    assert run.info["a.b"] == {"$c": 1}
    assert run.info["big"] == str(2**70)
    assert (run.info["pair"], run.info["array"], run.info["again"]) == ([1, 2], [0, 1, 2], [0, 1, 2])
    assert (run.info["7"], run.info["early"]) == (8, 1)
    documents = {metric["name"]: metric for metric in database["metrics"].find({"run_id": run.id})}
    values = documents["odd"]["values"]
    assert values[:4] == [1.5, "text", None, str(2**70)]
    assert values[5:8] == [[1, 2], True, 0.5]
    assert math.isnan(values[8])
    assert values[9] == [0, 1, 2]
    assert documents["odd"]["steps"] == list(range(10))
    assert documents["half steps"]["steps"] == [0.5, 1.5]
    assert documents["half steps"]["values"] == [1.0, 2.0]
    assert documents["good"]["values"] == [1.0]
    assert store.load_points(run.id, "odd").values.tolist()[::6] == [1.5, 1.0]
    assert [artifact.name for artifact in run.artifacts] == ["train.py"]
    notes = run.recording_notes
    assert [("missing.txt" in note, "missing.bin" in note) for note in notes] == [(True, False), (False, True)]
    assert all(note in printed for note in notes)
    page = text_of(create_app(store).test_client().get(f"/runs/{run.id}/overview/top").text)
    assert "Not all of this run could be recorded" in page
    assert all(note in page for note in notes)


def test_bytes_that_are_no_text_and_half_written_characters_fail_no_run(
    script: RecordedScript, database: Documents
) -> None:
    source = experiment(
        r"""
        def broken(text):
            raise ValueError("a filter of the user's")

        ex.captured_out_filter = broken

        @ex.main
        def main(_run):
            half = "ü".encode()
            for written in (b"before\377after\n", half[:1], half[1:] + b"\n"):
                os.write(1, written)
                beats = len(seen)
                while len(seen) < beats + 3:  # what the capture has by then was read by Sacred
                    time.sleep(0.01)
            return 1

        from sacred.observers import RunObserver
        seen = []

        class Beats(RunObserver):
            def heartbeat_event(self, **_):
                seen.append(1)

        ex.observers.append(Beats())
        os.dup2(os.open("shown", os.O_WRONLY | os.O_CREAT), 1)
        ex.run(options={"--beat-interval": 0.05, "--capture": "fd"})
        """
    )
    printed = succeed(script, source)

    run = script.only_run()
    document = database["runs"].find_one({"_id": run.id})
    assert document is not None
    assert (run.status, run.result) == ("completed", 1)
    assert "before\\xffafter\n" in document["captured_out"]
    assert "\nü\n" in document["captured_out"]
    assert "captured_out_filter failed" in printed


def test_an_output_of_16_mb_and_a_metric_beyond_sacreds_limit_are_stored(
    script: RecordedScript, database: Documents, store: RunStore
) -> None:
    source = experiment(
        """
        @ex.main
        def main(_run):
            line = "0123456789abcde\\n"
            for _ in range(1024):
                sys.stdout.write(line * 1024)
            for step in range(400_000):
                _run.log_scalar("loss", step / 4, step)
            return "done"

        ex.run(options={"--capture": "sys"})
        """
    )
    succeed(script, source)

    run = script.only_run()
    assert (run.status, run.result) == ("completed", "done")
    assert run.lost == {"points": 0, "lines": 0, "bytes": 0}
    assert run.console_bytes >= 16 * 1024 * 1024
    assert len(store.load_points(run.id, "loss")) == 400_000
    [metric] = database["metrics"].find({"run_id": run.id})
    assert len(metric["steps"]) == len(metric["values"]) == len(metric["timestamps"]) < 10_000
    pieces = "".join(piece["text"] for piece in database["console"].find({"run_id": run.id}).sort("n", 1))
    assert pieces.count("0123456789abcde\n") == 1024 * 1024


def test_ids_of_any_type_are_kept_and_numbers_go_on_beside_them(script: RecordedScript, database: Documents) -> None:
    database["runs"].insert_many([{"_id": "text"}, {"_id": ObjectId()}, {"_id": 41}, {"_id": float("inf")}])
    source = experiment(
        """
        @ex.main
        def main(_run):
            _run.log_scalar("loss", 1.0)
            print("has the id", repr(_run._id))

        for wanted in (None, "77", "77"):
            ex.run(options={"--id": wanted})
        """
    )
    printed = succeed(script, source)
    assert "has the id 42\nhas the id '77'\n" in printed
    assert printed.count("is another run's already") == 1

    ours = database["runs"].find({"experiment.name": "ator"})
    assert {run["_id"]: run["status"] for run in ours} == dict.fromkeys((42, "77", 43), "COMPLETED")
    assert {metric["run_id"] for metric in database["metrics"].find()} == {42, "77", 43}


def test_overwriting_a_run_leaves_nothing_of_it_but_what_others_wrote(
    script: RecordedScript, database: Documents, store: RunStore
) -> None:
    failing = experiment(
        """
        @ex.automain
        def main(_run, fail=True):
            for step in range(10):
                _run.log_scalar("loss", 1.0)
                _run.log_scalar("old", "text")
            print("of the first run")
            raise ValueError("the first fails")
        """
    )
    assert script.run(failing).returncode == 1
    database["runs"].update_one({"_id": 1}, {"$set": {"seml": {"env": "x"}, "omniboard": {"tags": ["mine"]}}})
    before = database["runs"].find_one({"_id": 1})
    assert before is not None
    assert (before["status"], before["fail_trace"][-1]) == ("FAILED", "ValueError: the first fails\n")
    again = experiment(
        """
        observer = cloister.MongoObserver(overwrite="1")
        assert observer.overwrite["status"] == "FAILED"
        ex.observers.append(observer)

        @ex.main
        def main(_run):
            _run.log_scalar("loss", 2.0)
            observer.run_entry["reschedule_config_update"] = {"a": 1}
            return "again"

        print("run", ex.run()._id)
        try:
            ex.run()
        except RuntimeError as error:
            print(error)
        """,
        BEGINNING,
    )
    printed = succeed(script, again)
    assert "run 1\n" in printed
    assert "Cannot overwrite more than once!" in printed

    script.wait_until_shipped()
    run = script.only_run()
    document = database["runs"].find_one({"_id": 1})
    assert document is not None
    assert (run.id, run.status, run.result, run.fail_trace) == (1, "completed", "again", ())
    assert (document["seml"], document["omniboard"]) == ({"env": "x"}, {"tags": ["mine"]})
    assert document["reschedule_config_update"] == {"a": 1}
    assert "fail_trace" not in document
    assert "of the first run" not in document["captured_out"]
    assert store.load_points(1, "loss").values.tolist() == [2.0]
    assert [metric["name"] for metric in database["metrics"].find({"run_id": 1})] == ["loss"]
    assert database["metric_values"].count_documents({}) == 0
    assert {chunk["_id"][:12] for chunk in database["metric_chunks"].find()} == {
        ObjectId(document["info"]["metrics"][0]["id"]).binary
    }


def test_overwriting_a_run_that_is_not_there_is_explained(script: RecordedScript) -> None:
    done = script.run(experiment("cloister.MongoObserver(overwrite=5)"))
    assert done.returncode == 1
    assert "RuntimeError" not in done.stdout
    assert "Couldn't find run to overwrite with _id='5'" in done.stderr


def test_a_queued_run_is_stored_whole(script: RecordedScript, database: Documents) -> None:
    source = experiment(
        """
        @ex.automain
        def main(_run):
            raise AssertionError("a queued run is not run")
        """
    )
    printed = succeed(script, source, "-q", "-P", "7", "-c", "for later")

    assert 'Queued-up run with ID "1"' in printed
    script.wait_until_shipped()
    document = database["runs"].find_one({"_id": 1})
    assert document is not None
    assert (document["status"], document["meta"]["priority"], document["meta"]["comment"]) == (
        "QUEUED",
        7.0,
        "for later",
    )
    assert {"format", "info", "captured_out", "resources", "artifacts", "heartbeat"} <= set(document)
    assert document["experiment"]["sources"][0][0] == "train.py"
    assert script.only_run().status == "queued"


@pytest.mark.parametrize("capture", ["fd", "sys"])
def test_what_forked_children_log_is_recorded(
    script: RecordedScript, database: Documents, store: RunStore, capture: str
) -> None:
    source = experiment(
        """
        import multiprocessing

        def work(number):
            run = ex.current_run
            for step in range(5):
                run.log_scalar(f"child/{number}", step)
            run.info[f"child {number}"] = {"list": []}
            run.info[f"child {number}"]["list"].append(number)
            print("printed by child", number, flush=True)

        @ex.main
        def main(_run):
            _run.info["parent"] = 1
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=work, args=(number,)) for number in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            child = os.fork()
            if child == 0:
                _run.info["plain fork"] = 1
                _run.log_scalar("plain", 1.0)
                os._exit(0)
            os.waitpid(child, 0)

        ex.run(options={"--capture": sys.argv[1]})
        """
    )
    succeed(script, source, capture)

    script.wait_until_shipped()
    run = script.only_run()
    assert run.status == "completed"
    for number in range(3):
        assert store.load_points(run.id, f"child/{number}").values.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert run.info[f"child {number}"] == {"list": [number]}
    assert store.load_points(run.id, "plain").values.tolist() == [1.0]
    assert (run.info["parent"], run.info["plain fork"]) == (1, 1)
    text = "".join(piece["text"] for piece in database["console"].find({"run_id": run.id}))
    assert sorted(line for line in text.splitlines() if line.startswith("printed by")) == [
        f"printed by child {number}" for number in range(3)
    ]


WAITING = experiment(
    """
    {handler}

    @ex.main
    def main(_run):
        _run.log_scalar("loss", 0.5)
        _run.info["last"] = "words"
        print("nothing is flushed")
        open("ready", "w").close()
        time.sleep(60)

    ex.run(options={{"--beat-interval": 30}})
    """.replace("{{", "{").replace("}}", "}")
)


def test_a_sigterm_interrupts_the_run_and_keeps_what_no_beat_had_sent(script: RecordedScript, store: RunStore) -> None:
    process = script.start(WAITING.replace("{handler}", ""))
    wait_for((script.folder / "ready").exists, "the experiment is at work")
    process.terminate()
    process.communicate(timeout=60)

    assert process.returncode == -signal.SIGTERM
    script.wait_until_shipped()
    run = script.only_run()
    assert (run.status, run.exit) == ("interrupted", {"signal": 15})
    assert run.info["last"] == "words"
    assert store.load_points(run.id, "loss").values.tolist() == [0.5]
    assert run.console_lines >= 3


def test_a_handler_of_the_users_decides_what_a_sigterm_does(script: RecordedScript) -> None:
    handler = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"
    process = script.start(WAITING.replace("{handler}", handler))
    wait_for((script.folder / "ready").exists, "the experiment is at work")
    process.terminate()
    process.communicate(timeout=60)

    assert process.returncode == 3
    script.wait_until_shipped()
    assert script.only_run().status == "failed"  # what Sacred makes of SystemExit


def test_an_interruption_keeps_the_status_that_it_has(script: RecordedScript, database: Documents) -> None:
    source = experiment(
        """
        from sacred.utils import SacredInterrupt, TimeoutInterrupt

        class Preempted(SacredInterrupt):
            STATUS = "PREEMPTED"

        @ex.main
        def main(kind):
            raise {"own": Preempted, "time": TimeoutInterrupt, "key": KeyboardInterrupt}[kind]

        for kind in ("own", "time", "key"):
            try:
                ex.run(config_updates={"kind": kind})
            except BaseException as error:
                print(type(error).__name__)
        """
    )
    succeed(script, source)
    assert [run["status"] for run in database["runs"].find().sort("_id", 1)] == ["PREEMPTED", "TIMEOUT", "INTERRUPTED"]


def test_observers_beside_each_other_do_not_mix(script: RecordedScript, database: Documents) -> None:
    source = experiment(
        """
        from pymongo import MongoClient
        from sacred.observers import MongoObserver

        client = MongoClient(os.environ["CLOISTER_URI"])
        name = client.get_default_database().name
        ex.observers.append(MongoObserver(client=client, db_name=name, collection_prefix="theirs"))
        ex.observers.append(cloister.MongoObserver(client=client, db_name=name, collection_prefix="lab"))
        ex.observers.append(cloister.MongoObserver())

        @ex.main
        def main(_run):
            _run.log_scalar("loss", 1.0)

        ex.run()
        """
    )
    succeed(script, source)
    script.wait_until_shipped()

    assert [run["_id"] for run in database["runs"].find().sort("_id", 1)] == [1, 2]
    for prefix in ("theirs_", "lab_"):
        [run] = database[f"{prefix}runs"].find()
        [metric] = database[f"{prefix}metrics"].find()
        assert (run["_id"], metric["run_id"], metric["values"]) == (1, 1, [1.0])
        assert run["status"] == "COMPLETED"
    for run in [*database["runs"].find(), *database["lab_runs"].find()]:
        assert len(run["info"]["metrics"]) == 1
    lab = RunStore(with_collections(database, Collections(prefix="lab")))
    assert lab.load_points(1, "loss").values.tolist() == [1.0]


def test_documents_are_those_of_sacreds_own_observer(script: RecordedScript, database: Documents) -> None:
    source = experiment(
        """
        from pymongo import MongoClient
        from sacred.observers import MongoObserver

        client = MongoClient(os.environ["CLOISTER_URI"])
        name = client.get_default_database().name
        ex.observers.append(MongoObserver(client=client, db_name=name, collection_prefix="theirs"))
        ex.observers.append(cloister.MongoObserver())

        @ex.config
        def config():
            lr = 0.1
            model = {"layers": [1, 2], "name": "mlp"}
            nothing = None

        @ex.command
        def other(_run, fail=False):
            for step in range(5):
                _run.log_scalar("loss", 1 / (step + 1), step)
                _run.log_scalar("words", "text")
            _run.info["note"] = {"nested": [1, {"a": None}]}
            ex.add_artifact(__file__, name="script", content_type="text/x-python")
            ex.add_resource(__file__)
            print("printed")
            if fail:
                raise ValueError("as asked for")
            return {"accuracy": 0.5}

        ex.run("other", config_updates={"lr": 0.5}, meta_info={"comment": "why"}, options={"--capture": "sys"})
        try:
            ex.run("other", config_updates={"fail": True})
        except ValueError:
            pass
        """,
        BEGINNING,
    )
    succeed(script, source)

    for number in (1, 2):
        theirs, ours = (database[name].find_one({"_id": number}) for name in ("theirs_runs", "runs"))
        assert theirs is not None
        assert ours is not None
        assert set(ours) - set(theirs) == {"cloister"}
        same = set(theirs) - {"heartbeat", "captured_out", "info", "artifacts", "experiment"}
        assert {name: ours.get(name) for name in same} == {name: theirs[name] for name in same}
        assert {name: type(value) for name, value in ours.items() if name in theirs} == {
            name: type(value) for name, value in theirs.items()
        }
        assert ours["captured_out"].startswith(theirs["captured_out"])
        assert ours["info"]["note"] == theirs["info"]["note"]
        assert [metric["name"] for metric in ours["info"]["metrics"]] == ["loss", "words"]
        assert [artifact["name"] for artifact in ours["artifacts"]] == ["script"]
        for part in ("name", "base_dir", "mainfile", "dependencies", "repositories"):
            assert ours["experiment"][part] == theirs["experiment"][part]
        assert [name for name, _ in ours["experiment"]["sources"]] == ["train.py"]
        for name in ("loss", "words"):
            asked = {"run_id": number, "name": name}
            mine, sacreds = database["metrics"].find_one(asked), database["theirs_metrics"].find_one(asked)
            assert mine is not None
            assert sacreds is not None
            assert set(mine) - set(sacreds) == {"cloister"}
            assert {key: mine[key] for key in ("steps", "values", "timestamps")} == {
                key: sacreds[key] for key in ("steps", "values", "timestamps")
            }


def test_a_client_with_a_collection_of_its_own_may_be_lent_by_a_subclass(
    script: RecordedScript, database: Documents
) -> None:
    source = experiment(
        """
        from pymongo import MongoClient

        class MongoObserver(cloister.MongoObserver):
            def set_reschedule_config_update(self, update):
                self.run_entry["reschedule_config_update"] = update

        client = MongoClient(os.environ["CLOISTER_URI"])
        database = client.get_default_database()
        observer = MongoObserver(client=client, db_name=database.name, collection="mine")
        ex.observers.append(observer)
        runs, metrics = database["own_runs"], database["own_metrics"]
        opened = cloister.MongoObserver.create_from(runs, None, metrics_collection=metrics)
        ex.observers.append(opened)

        @ex.main
        def main(_run):
            _run.log_scalar("loss", 1.0)
            observer.set_reschedule_config_update({"epochs": 3})
            print("stored as", observer.runs.find_one()["_id"], observer.run_entry["_id"], opened.runs.name)

        ex.run(options={"--beat-interval": 0.1})
        """,
        BEGINNING,
    )
    assert "stored as 1 1 own_runs" in succeed(script, source)
    script.wait_until_shipped()

    [mine], [own] = database["mine"].find(), database["own_runs"].find()
    assert mine["reschedule_config_update"] == {"epochs": 3}
    assert (mine["status"], own["status"]) == ("COMPLETED", "COMPLETED")
    assert [metric["values"] for metric in database["metrics"].find()] == [[1.0]]
    assert [metric["values"] for metric in database["own_metrics"].find()] == [[1.0]]
    assert database["mine_metric_chunks"].count_documents({}) == 1


def test_the_interpreter_ends_although_the_experiment_was_left_in_a_thread(
    script: RecordedScript, database: Documents
) -> None:
    source = experiment(
        """
        import threading

        @ex.main
        def main(_run):
            _run.log_scalar("loss", 1.0)
            open("ready", "w").close()
            time.sleep(60)

        threading.Thread(target=lambda: ex.run(options={"--beat-interval": 0, "--capture": "no"}), daemon=True).start()
        while not os.path.exists("ready"):
            time.sleep(0.01)
        """
    )
    succeed(script, source)
    script.wait_until_shipped()
    assert script.only_run().status == "interrupted"


def test_experiments_on_a_machine_without_pkg_resources_are_told_what_to_install(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['pkg_resources'] = None\n"
        "from cloister import MongoObserver\n"
        "from cloister.observer.doctor_command import check_sacred\n"
        "print(*check_sacred(None))\n"
        "MongoObserver('localhost')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    for said in (done.stdout, done.stderr):
        assert "it needs pkg_resources" in said
        assert "pip install 'setuptools<81'" in said


def test_two_experiments_may_run_at_once_under_one_observer(script: RecordedScript, store: RunStore) -> None:
    source = experiment(
        """
        import threading

        both = threading.Barrier(2)
        observer = cloister.MongoObserver()

        def run(number):
            ex = Experiment(f"number {number}", save_git_info=False)
            ex.observers.append(observer)

            @ex.main
            def main(_run):
                both.wait()
                for step in range(5):
                    _run.log_scalar("loss", 10 * number + step)
                _run.info["number"] = number
                both.wait()
                return number

            ex.run(options={"--capture": "no", "--beat-interval": 0.05})

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """,
        BEGINNING,
    )
    succeed(script, source)

    runs = sorted(script.runs(), key=lambda run: run.experiment)
    assert [(run.experiment, run.result, run.info["number"], run.status) for run in runs] == [
        ("number 0", 0, 0, "completed"),
        ("number 1", 1, 1, "completed"),
    ]
    for number, run in enumerate(runs):
        assert store.load_points(run.id, "loss").values.tolist() == [10 * number + step for step in range(5)]
