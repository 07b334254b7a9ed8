"""The journal on disks that are full, gone, read-only or somebody else's: nothing is lost that any place takes."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo
import pytest
from cloister.observer import journal_memory, journal_places
from cloister.observer.courier import remove_left_folders
from cloister.observer.doctor_command import check_data_folder
from cloister.observer.journal import Journal
from cloister.observer.journal_allowance import JournalAllowance
from cloister.observer.journal_places import Place, UnsafeFolder, disk_kind, run_folders, writing_places
from cloister.observer.journal_records import JournalRecord, decode_records
from cloister.observer.journal_segments import segments_in
from cloister.observer.private_copies import CopyNotKept, PrivateCopies
from cloister.observer.recorder import Recorder
from cloister.observer.settings import load_settings
from conftest import free_port
from recorded_script import RecordedScript, wait_for

HEADER = {"uid": "01a1fd6d-8b44-7339-9421-c3edac2c77f5"}
NOTHING_LOST = {"points": 0, "lines": 0, "bytes": 0}
FILLER = "filler"


@contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A disk of its own of `size`, in memory."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def fill(disk: Path) -> Path:
    """Take all the space that `disk` has left."""
    filler = disk / FILLER
    with filler.open("ab", buffering=0) as file:
        for piece in (65536, 4096):
            try:
                while True:
                    file.write(b"x" * piece)
            except OSError:
                continue
    return filler


def place(folder: Path, bound_bytes: int | None = None) -> Place:
    return Place(folder / "run", folder, folder, bound_bytes)


def log(journal: Journal, *steps: int) -> None:
    for step in steps:
        journal.record("points", {"s": step, "v": {"loss": step / 2}})


def wait_a_second(journal: Journal) -> None:
    """As if the second had passed after which a place that failed is tried again."""
    journal._chain._retry_at = [0.0] * len(journal.places)


def records(*folders: Path) -> list[JournalRecord]:
    return [record for path in segments_in(*folders) for record in decode_records(path.read_bytes())]


def steps(*folders: Path) -> list[int]:
    return [record.fields["s"] for record in records(*folders) if record.kind == "points"]


def test_a_full_disk_sends_the_journal_to_the_next_place_and_space_brings_it_back(
    disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal([place(disk), place(tmp_path / "second")], HEADER)
    log(journal, 0)
    filler = fill(disk)
    log(journal, *range(1, 200))
    journal.tend()
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.messages[0]
    assert str(tmp_path / "second") in caplog.messages[0]

    filler.unlink()
    wait_a_second(journal)
    log(journal, *range(200, 300))
    journal.tend()
    journal.close()

    first, second = steps(disk / "run"), steps(tmp_path / "second" / "run")
    assert second[-1] == 199
    assert first[-100:] == list(range(200, 300))
    assert sorted(first + second) == list(range(300))
    assert steps(disk / "run", tmp_path / "second" / "run") == list(range(300))
    assert journal.lost == NOTHING_LOST
    assert caplog.messages[1:] == [f"The journal can be written to {disk / 'run'} again; the run goes on there."]


def test_what_no_folder_takes_waits_in_memory_and_is_written_when_one_does(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal([place(disk)], HEADER)
    log(journal, 0)
    filler = fill(disk)
    log(journal, *range(1, 500))
    journal.tend()
    assert journal.memory
    assert "held in memory" in caplog.text

    filler.unlink()
    wait_a_second(journal)
    journal.tend()  # without another record
    assert not journal.memory
    journal.close()

    assert steps(disk / "run") == list(range(500))
    assert journal.lost == NOTHING_LOST


def test_memory_is_written_also_after_the_end_of_the_run(disk: Path) -> None:
    journal = Journal([place(disk)], HEADER)
    filler = fill(disk)
    log(journal, *range(500))
    journal.record_end({"status": "COMPLETED"}, {"status": "COMPLETED"})
    assert journal.memory

    filler.unlink()
    wait_a_second(journal)
    journal.tend()
    assert not journal.memory
    assert steps(disk / "run") == list(range(500))
    assert records(disk / "run")[-1].kind == "end"


def test_what_memory_cannot_hold_is_counted_and_told_once_there_is_room(
    disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_memory, "MEMORY_LIMIT_BYTES", 2000)
    journal = Journal([place(disk)], HEADER)
    filler = fill(disk)
    log(journal, *range(500))
    journal.record("console", {"stream": "stdout", "text": "eins\nzwei\nvier ü"})
    kept = 500 - journal.lost["points"]
    assert 0 < kept < 500
    assert journal.lost == {"points": 500 - kept, "lines": 2, "bytes": 17}
    journal.tend()
    [loss] = [message for message in caplog.messages if "has lost" in message]
    assert f"{500 - kept} points, 2 lines and 17 bytes" in loss

    filler.unlink()
    wait_a_second(journal)
    log(journal, 500)
    journal.tend()
    journal.close()
    assert steps(disk / "run") == [*range(kept), 500]
    beats = [record.fields["lost"] for record in records(disk / "run") if record.kind == "beat"]
    assert beats == [journal.lost]


def test_a_forked_child_writes_what_it_held_in_memory_when_there_is_room(disk: Path) -> None:
    journal = Journal([place(disk)], HEADER)
    filler = fill(disk)
    log(journal, *range(200))
    assert journal.memory
    child = os.fork()
    if child == 0:
        log(journal, *range(1000, 1005))
        filler.unlink()
        wait_a_second(journal)
        journal.tend()
        os._exit(len(journal.memory.segments()))  # the parent's part is the parent's
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [step for step in steps(disk / "run") if step >= 1000] == list(range(1000, 1005))
    wait_a_second(journal)
    journal.tend()
    assert sorted(steps(disk / "run")) == [*range(200), *range(1000, 1005)]


def test_a_relative_data_folder_stays_where_it_was_when_the_script_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLOISTER_HOME", "records")
    assert writing_places(load_settings())[0].root == tmp_path / "records" / "journal"


def test_the_end_of_a_run_fits_on_a_full_disk(disk: Path) -> None:
    journal = Journal([place(disk)], HEADER)
    journal.tend()  # sets the space aside
    fill(disk)
    log(journal, *range(2000))
    end = {"status": "FAILED", "fail_trace": ["ZeroDivisionError\n"]}
    journal.record_end(end, {"status": "FAILED"})

    last = records(disk / "run")[-1]
    assert (last.kind, last.fields["status"], last.fields["fail_trace"]) == ("end", "FAILED", ["ZeroDivisionError\n"])
    journal.give_up_memory()
    last = records(disk / "run")[-1]
    assert last.kind == "beat"
    assert last.fields["lost"] == journal.lost
    assert journal.lost["points"] == 2000 - len(steps(disk / "run"))
    assert list((disk / "run").glob("*.reserve")) == []


def test_an_end_with_a_large_result_fits_shortened_on_a_full_disk(disk: Path) -> None:
    journal = Journal([place(disk)], HEADER)
    journal.tend()
    fill(disk)
    log(journal, *range(500))
    journal.record_end({"status": "COMPLETED", "result": "x" * 200_000}, {"status": "COMPLETED", "result": "short"})
    assert records(disk / "run")[-1].fields["result"] == "short"


def test_space_set_aside_is_given_back_at_the_end_of_the_run(disk: Path) -> None:
    journal = Journal([place(disk)], HEADER)
    free = os.statvfs(disk).f_bfree
    journal.tend()
    assert os.statvfs(disk).f_bfree < free
    journal.close()
    assert os.statvfs(disk).f_bfree == free


def test_a_removed_segment_is_written_again(tmp_path: Path) -> None:
    journal = Journal([place(tmp_path / "first")], HEADER)
    log(journal, *range(10))
    [path] = segments_in(tmp_path / "first" / "run")
    path.unlink()
    path.parent.rmdir()
    journal.tend()
    log(journal, 10)
    journal.close()

    assert segments_in(tmp_path / "first" / "run") == [path]
    assert steps(tmp_path / "first" / "run") == list(range(11))


def test_in_a_bounded_place_a_run_takes_no_more_than_its_share(tmp_path: Path) -> None:
    bounded, last = place(tmp_path / "bounded", 400_000), place(tmp_path / "last")
    journal = Journal([bounded, last], HEADER)
    for step in range(40):
        journal.record("console", {"stream": "stdout", "text": f"{step} {'x' * 20_000}"})
    journal.close()
    size = sum(path.stat().st_size for path in segments_in(bounded.folder))
    assert 300_000 < size < 450_000
    texts = [record.fields["text"] for record in records(bounded.folder, last.folder) if record.kind == "console"]
    assert [int(text.split()[0]) for text in texts] == list(range(40))


def test_the_file_size_limit_of_a_process_costs_nothing(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        journal = Journal([place(tmp_path / "first")], HEADER)
        for step in range(40):
            journal.record("console", {"stream": "stdout", "text": f"{step} {'x' * 8_000}"})
        os._exit(0)
    os.waitpid(child, 0)
    texts = [record.fields["text"] for record in records(tmp_path / "first" / "run") if record.kind == "console"]
    assert [int(text.split()[0]) for text in texts] == list(range(40))


# ---- the limit


def test_at_the_limit_hardware_is_done_without_first_and_then_everything_is_refused_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    allowance = JournalAllowance([tmp_path / "first"], 100_000)
    journal = Journal([place(tmp_path / "first")], HEADER, allowance=allowance)

    def use(size: int) -> None:
        (tmp_path / "first" / "others").write_bytes(b"x" * size)
        allowance._next_look = 0.0
        journal.tend()

    def sample(count: int) -> int:
        return sum(journal.record_hardware({"s": number, "v": {"system/cpu": 1.0}}, 0.0) for number in range(count))

    assert sample(20) == 20
    use(60_000)
    assert [message for message in caplog.messages if "of the 100 kB that they may" in message]
    assert sample(20) == 20
    use(82_000)
    assert sample(20) == 2
    use(91_000)
    assert sample(20) == 0
    log(journal, 0)
    assert journal.lost == {"points": 38, "lines": 0, "bytes": 0}
    use(101_000)
    log(journal, 1)
    assert journal.lost == {"points": 39, "lines": 0, "bytes": 0}
    assert journal.record("set", {"fields": {"cloister.notes": "still small"}})
    use(10_000)
    log(journal, 2)
    journal.record_end({"status": "COMPLETED"}, {"status": "COMPLETED"})
    found = [record for record in records(tmp_path / "first" / "run") if "loss" in record.fields.get("v", {})]
    assert [record.fields["s"] for record in found] == [0, 2]
    assert records(tmp_path / "first" / "run")[-1].fields["lost"] == {"points": 39, "lines": 0, "bytes": 0}
    assert sum("CLOISTER_JOURNAL_LIMIT" in message for message in caplog.messages) == 2


# ---- whose folders they are


@pytest.mark.parametrize("part", ["root", "run"])
def test_a_folder_that_others_could_write_is_refused_with_the_reason(
    tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "first" if part == "root" else tmp_path / "first" / "run"
    folder.mkdir(parents=True)
    (tmp_path / "first").chmod(0o700)
    folder.chmod(0o770)
    journal = Journal([place(tmp_path / "first"), place(tmp_path / "second")], HEADER)
    journal.say()
    assert journal.folder == tmp_path / "second" / "run"
    assert f"chmod 700 {folder}" in caplog.text


def test_a_folder_that_is_a_link_or_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFolder, match="is a symbolic link"):
        place(tmp_path / "link").claim()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UnsafeFolder, match="is not a folder"):
        place(tmp_path / "file").claim()
    if os.geteuid() == 0:
        (tmp_path / "foreign").mkdir(mode=0o700)
        os.chown(tmp_path / "foreign", 4711, 4711)
        with pytest.raises(UnsafeFolder, match=r"belongs to another user \(uid 4711\)"):
            place(tmp_path / "foreign").claim()


def test_folders_are_private_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_HOME", str(tmp_path / "home"))
    before = os.umask(0o002)
    try:
        first = writing_places(load_settings())[0].within(HEADER["uid"])
        Journal([first], HEADER)
    finally:
        os.umask(before)
    for folder in (first.folder, *first.folder.parents[:3]):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_run_has_all_its_folders_and_a_planted_one_is_none_of_them(tmp_path: Path) -> None:
    places = [tmp_path / "first", tmp_path / "second", tmp_path / "missing"]
    for folder in (places[0] / "b", places[1] / "b", places[1] / "a", places[0] / "empty"):
        folder.mkdir(parents=True)
    (places[1] / "b" / "1.journal").touch()
    (places[1] / "a" / "1.journal").touch()
    assert run_folders(places) == {"a": (places[1] / "a",), "b": (places[0] / "b", places[1] / "b")}
    if os.geteuid() == 0:
        os.chown(places[1] / "a", 4711, 4711)
        assert list(run_folders(places)) == ["b"]


def test_the_kind_of_a_disk_is_read_from_the_mounts(tmp_path: Path, disk: Path) -> None:
    assert disk_kind(disk / "not" / "made yet") == "memory"
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for kind, expected in (("ext4", "disk"), ("nfs4", "network"), ("fuse.sshfs", "network"), ("tmpfs", "memory")):
        line = f"36 35 {number} / /mnt rw,noatime master:1 - {kind} /dev/somewhere rw\n"
        assert disk_kind(tmp_path, line) == expected


def test_a_data_folder_that_nobody_chose_comes_second_where_it_is_in_memory(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(disk))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CLOISTER_HOME", raising=False)
    places = writing_places(load_settings())
    assert [place.root.is_relative_to(disk) for place in places] == [False, True, False]
    assert places[0].folder == tmp_path / f"cloister-{os.getuid()}" / "journal" / "embedded"
    monkeypatch.setenv("CLOISTER_HOME", str(disk))  # chosen
    assert writing_places(load_settings())[0].root == disk / "journal"
    [finding] = check_data_folder(load_settings(home=Path("/dev/shm/cloister-is-not-made-by-asking")))
    assert "in memory" in finding.found or finding.verdict == "problem"


def test_hosts_that_share_a_data_folder_over_the_network_have_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 {os.major(device)}:{os.minor(device)} / / rw - nfs4 server:/home rw\n")
    monkeypatch.setattr(journal_places, "MOUNTS", mounts)
    first = writing_places(load_settings(home=tmp_path))[0]
    assert first.folder == tmp_path / "journal" / f"embedded@{os.uname().nodename}"


# ---- files


def copies(*places: Place, limit: int = 10**9) -> PrivateCopies:
    return PrivateCopies(places, JournalAllowance([places[0].folder], limit))


def test_a_copy_goes_where_there_is_room_and_leaves_no_half_behind(disk: Path, tmp_path: Path) -> None:
    original = tmp_path / "weights"
    original.write_bytes(os.urandom(3_000_000))
    with original.open("rb") as stream:
        digests = copies(place(disk), place(tmp_path / "second")).keep(stream, original)
    assert list((disk / "run" / "blobs").iterdir()) == []
    assert (tmp_path / "second" / "run" / "blobs" / digests.sha256).read_bytes() == original.read_bytes()


def test_a_file_that_no_folder_takes_is_refused_by_its_name(disk: Path, tmp_path: Path) -> None:
    original = tmp_path / "weights"
    original.write_bytes(os.urandom(3_000_000))
    with (
        original.open("rb") as stream,
        pytest.raises(CopyNotKept, match=r"weights.*3,000,000 bytes.*no folder takes.*No space left"),
    ):
        copies(place(disk)).keep(stream, original)
    assert list((disk / "run" / "blobs").iterdir()) == []
    with original.open("rb") as stream, pytest.raises(CopyNotKept, match="CLOISTER_JOURNAL_LIMIT"):
        copies(place(tmp_path / "first"), limit=2_000_000).keep(stream, original)


@pytest.mark.parametrize("durability", ["second", "fsync"])
def test_a_file_is_on_the_disk_before_the_record_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    forced: list[str] = []

    def note(force: Callable[[int], None]) -> Callable[[int], None]:
        def noted(descriptor: int) -> None:
            forced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            force(descriptor)

        return noted

    monkeypatch.setattr(os, "fsync", note(os.fsync))
    monkeypatch.setattr(os, "fdatasync", note(os.fdatasync))
    recorder = Recorder(HEADER, load_settings(home=tmp_path / "home", durability=durability))
    original = tmp_path / "weights"
    original.write_bytes(b"bytes")
    recorder.record_artifact(original, "weights", None, None)
    if durability == "second":
        assert forced == []  # the training waits for no disk
        recorder._tend()
    [segment] = segments_in(*recorder._folders)
    [copy] = (segment.parent / "blobs").iterdir()
    file = copy.name if durability == "second" else next(name for name in forced if name.endswith(".unfinished"))
    assert forced.index(file) < forced.index("blobs") < forced.index(segment.name)
    assert recorder._folders[0].name in forced  # the segment's own name, too
    recorder.record_end("COMPLETED", exit_as={"code": 0})


def test_a_file_that_is_changed_afterwards_is_kept_as_it_was(tmp_path: Path) -> None:
    original = tmp_path / "weights"
    original.write_bytes(b"as it was")
    with original.open("rb") as stream:
        digests = copies(place(tmp_path / "first")).keep(stream, original)
    with original.open("r+b") as file:  # in place: a hard link would change with it
        file.write(b"CHANGED")
    assert (tmp_path / "first" / "run" / "blobs" / digests.sha256).read_bytes() == b"as it was"


# ---- whole trainings

STEPS = 400
TRAINING = f"""
    import os, threading, time
    import cloister
    from cloister.observer import journal_places

    if "SHARED" in os.environ:
        journal_places.SHARED_MEMORY = __import__("pathlib").Path(os.environ["SHARED"])
    run = cloister.start_run(project="disk", hardware=False)
    print("started", flush=True)
    for step in range({STEPS}):
        run.log({{"loss": step / 2}}, step=step)
        print("step", step, flush=True)
        if step == 10:
            [thread.join() for thread in threading.enumerate() if thread.name == "cloister-snapshot"]
            while not list(run._recorder._journal.folder.glob("*.reserve")):
                time.sleep(0.05)
            print("ready", flush=True)
            input()
        if step == {STEPS} - 10 and os.environ.get("WAIT"):
            input()
    run.finish()
    print("lost", run._recorder.lost)
"""


class OnASmallDisk:
    """A training whose data folder, and every other place of its journal that the test does not name, is on `disk`."""

    def __init__(self, script: RecordedScript, disk: Path, **environment: str) -> None:
        places = {"CLOISTER_HOME": str(disk / "home"), "TMPDIR": str(disk / "tmp"), "SHARED": str(disk / "shm")}
        script.write(TRAINING)
        self._process = subprocess.Popen(
            [sys.executable, "train.py"],
            cwd=script.folder,
            env={**os.environ, "CLOISTER_URI": script.uri, **places, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.wait_for("ready")

    def wait_for(self, line: str) -> None:
        assert self._process.stdout is not None
        for said in self._process.stdout:
            if said.strip() == line:
                return
        raise AssertionError(f"the training never said {line!r}: {self._process.communicate()[1]}")

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def finish(self) -> tuple[str, str]:
        """Its output and its warnings, once it has ended as it would have without us."""
        out, err = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, err
        return out, err


def assert_complete(script: RecordedScript) -> None:
    run = script.only_run()
    assert run.status == "completed"
    assert run.lost == NOTHING_LOST
    assert script.store.load_points(run.id, "loss").steps.tolist() == list(range(STEPS))
    assert script.store.load_points(run.id, "loss").values.tolist() == [step / 2 for step in range(STEPS)]
    pieces = script.store.load_console(run.id, limit=5000).pieces
    text = "".join(piece.text for piece in pieces if piece.stream == "stdout")
    assert text.replace("ready\n", "") == "started\n" + "".join(f"step {step}\n" for step in range(STEPS))


def test_on_a_full_disk_a_run_goes_straight_to_the_database(script: RecordedScript, disk: Path) -> None:
    training = OnASmallDisk(script, disk)
    fill(disk)
    training.go_on()
    out, err = training.finish()
    assert f"lost {NOTHING_LOST}" in out
    assert err.count("held in memory") == 1
    assert_complete(script)
    script.wait_until_shipped()
    wait_for(lambda: not list(disk.glob("**/????????-????-*")), "no folder of the run is left")


def test_a_killed_training_leaves_no_folder_behind_that_held_only_its_reserve(disk: Path) -> None:
    child = os.fork()
    if child == 0:
        journal = Journal([place(disk / "home")], HEADER)
        journal.tend()
        segments_in(disk / "home" / "run")[0].unlink()  # shipped
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert list((disk / "home" / "run").iterdir())
    remove_left_folders([disk / "home", disk / "tmp"])
    assert list((disk / "home").iterdir()) == []


def test_a_run_comes_back_from_memory_when_a_full_disk_has_room_again(script: RecordedScript, disk: Path) -> None:
    with pymongo.MongoClient(script.uri) as client:
        training = OnASmallDisk(script, disk, WAIT="1")
        client.admin.command("fsync", lock=True)  # the database takes nothing
        try:
            filler = fill(disk)
            training.go_on()
            training.wait_for(f"step {STEPS - 10}")
            time.sleep(1.5)
            filler.unlink()
            time.sleep(1.5)
            training.go_on()
            training.wait_for(f"step {STEPS - 1}")
        finally:
            client.admin.command("fsyncUnlock")
    _, err = training.finish()
    assert err.count("held in memory") == 1
    assert err.count("can be written to") == 1
    assert_complete(script)


def test_on_a_read_only_disk_a_run_is_kept_in_the_second_place(
    script: RecordedScript, disk: Path, tmp_path: Path
) -> None:
    (disk / "home").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    training = OnASmallDisk(script, disk, TMPDIR=str(tmp_path / "second"))
    training.go_on()
    _, err = training.finish()
    assert "Read-only file system" in err
    assert str(tmp_path / "second") in err
    assert_complete(script)


def test_what_only_the_memory_of_an_ended_training_held_is_counted_in_the_run(
    script: RecordedScript, disk: Path, database_uri: str
) -> None:
    nowhere = f"mongodb://127.0.0.1:{free_port()}/nowhere?directConnection=true"
    away = RecordedScript(script.folder, nowhere, script.store)
    training = OnASmallDisk(away, disk, CLOISTER_EXIT_WAIT="1", CLOISTER_COURIER_IDLE="0.1")
    filler = fill(disk)
    training.go_on()
    _, err = training.finish()
    assert "has lost" in err

    filler.unlink()
    synced = subprocess.run(
        [sys.executable, "-m", "cloister", "sync", "--uri", database_uri, str(disk / "home" / "journal")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert synced.returncode == 0, synced.stderr
    run = script.only_run()
    assert run.status == "completed"
    kept = len(script.store.load_points(run.id, "loss"))
    assert 10 < kept < STEPS
    assert run.lost["points"] == STEPS - kept
    assert run.lost["lines"] > 0


@pytest.mark.parametrize("courier", ["process", "thread"])
def test_a_run_without_any_folder_is_in_the_database(script: RecordedScript, disk: Path, courier: str) -> None:
    blocked = disk / "a file, not a folder"
    blocked.touch()
    finished = script.run(
        f"""
        import os, pathlib
        import cloister
        from cloister.observer import journal_places

        journal_places.SHARED_MEMORY = pathlib.Path({str(blocked)!r})
        pathlib.Path("weights.bin").write_bytes(b"x" * 1000)
        run = cloister.start_run(project="disk", hardware=False)
        for step in range({STEPS}):
            run.log({{"loss": step / 2}})
        run.log_artifact("weights.bin")
        print(run.id)
        """,
        env={"CLOISTER_HOME": str(blocked), "TMPDIR": str(blocked), "CLOISTER_COURIER": courier},
    )
    assert finished.returncode == 0
    assert "held in memory" in finished.stderr
    assert "File 'weights.bin' (1,000 bytes) is not recorded" in finished.stderr
    assert "Traceback" not in finished.stderr
    run = script.only_run()
    assert finished.stdout == f"{run.id}\n"
    assert run.status == "completed"
    assert script.store.load_points(run.id, "loss").steps.tolist() == list(range(STEPS))
    assert run.lost["points"] == run.lost["lines"] == 0
    assert run.lost["bytes"] >= 1000  # and the script itself, if nothing took its copy either
