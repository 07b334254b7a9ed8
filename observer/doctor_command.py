"""`cloister doctor`: what this machine has and lacks for Cloister, and what to do about it. Starts nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .embedded.binary import WHEEL, Mongod, find_mongods
from .embedded.errors import NoMongod
from .embedded.status import embedded_status
from .errors import CloisterError
from .journal_places import Disk, disk_kind
from .mongo import BadMongoUri, DatabaseUnreachable, LoginRefused, check, client_for, database_name, redact_uri
from .sacred_install import sacred_problem, sacred_version
from .settings import Settings, find_settings_file, load_settings

Verdict = Literal["ok", "warning", "problem"]

OLDEST_PYTHON = (3, 10)
OLDEST_SERVER = (5, 0)
LITTLE_SPACE_BYTES = 2 * 1024**3  # a day of metrics and a few artifacts; below that a run may not find room for its end
NO_SPACE_BYTES = 200 * 1024**2
UNSHIPPED_WARNING_BYTES = 64 * 1024**2
CONNECT_TIMEOUT_MS = 3000

DISK_WORDS: dict[Disk, str] = {"memory": "in memory", "network": "over the network"}
DISK_ADVICE: dict[Disk, str] = {
    "memory": "What is not shipped yet is gone after a reboot. Set CLOISTER_HOME to a folder on a disk.",
    "network": "Journals there are slow, and locks may not hold between hosts: each host gets a folder of its own. Set "
    "CLOISTER_HOME to a local disk if there is one that outlives the job.",
}

MARKS: dict[Verdict, Text] = {
    "ok": Text("ok", "green"),
    "warning": Text("warning", "yellow"),
    "problem": Text("problem", "bold red"),
}

# Extra -> the distributions that it brings.
EXTRAS = {
    "viewer": ("flask", "bokeh", "tornado", "pygments"),
    "embedded": (WHEEL,),
    "motor": ("motor",),
    "sacred": ("sacred",),
    "encryption": ("cryptography", "pymongocrypt"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the answer."""

    subject: str
    verdict: Verdict
    found: str
    advice: str = ""


@click.command()
@click.option("--privacy", is_flag=True, help="Say nothing but what concerns privacy.")
def doctor(privacy: bool) -> None:
    """Check Python, settings, database, journals and GPUs; then say what is recorded, who can see it, where it goes and
    which rules hold. Exit code 1 when there is a problem."""
    console = Console(highlight=False)
    findings = [] if privacy else list(examine())
    if findings:
        console.print(_table(findings))
    if not any(finding.subject == "Settings" and finding.verdict == "problem" for finding in findings):
        for question, answers in examine_privacy().items():
            console.print(f"\n{question}", style="bold")
            console.print(_table(answers, with_head=False))
            findings += answers
    problems = sum(finding.verdict == "problem" for finding in findings)
    if problems:
        click.echo(f"{problems} {'problem' if problems == 1 else 'problems'} found.", err=True)
        raise SystemExit(1)


def examine() -> Iterator[Finding]:
    """Every finding, from what everything needs to what only some do."""
    yield check_python()
    yield check_cloister()
    yield from check_extras()
    try:
        settings = load_settings()
    except CloisterError as error:
        yield Finding("Settings", "problem", str(error), "Nothing below can be checked before this is mended.")
        return
    yield check_settings(settings)
    for examination in EXAMINATIONS:
        yield from examination(settings)


def examine_privacy() -> dict[str, list[Finding]]:
    """What is recorded, who can see it, where it goes, which rules hold: findings by question."""
    from .embedded.server import embedded_uri
    from .privacy_report import QUESTIONS, tell_privacy

    answers: dict[str, list[Finding]] = {question: [] for question in QUESTIONS}
    try:
        settings = load_settings()
        lines = tell_privacy(settings, settings.uri or embedded_uri(settings))
        for line in lines:
            finding = Finding(line.subject, line.state, line.found, line.advice)
            answers[line.question].append(finding)
    except CloisterError as error:
        advice = "Nothing can be said of privacy before this is mended."
        answers[QUESTIONS[-1]].append(Finding("Privacy", "problem", str(error), advice))
    return {question: found for question, found in answers.items() if found}


def check_python() -> Finding:
    version = f"Python {platform.python_version()} in {sys.prefix}"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", "problem", version, "Cloister needs Python 3.10 or newer.")
    return Finding("Python", "ok", version)


def check_cloister() -> Finding:
    from .. import __version__

    return Finding("Cloister", "ok", f"{__version__} in {Path(__file__).resolve().parent.parent}")


def check_extras() -> Iterator[Finding]:
    for extra, distributions in EXTRAS.items():
        versions = {name: _version_of(name) for name in distributions}
        missing = [name for name, version in versions.items() if version is None]
        if missing:
            found = f"not installed ({', '.join(missing)})"
            yield Finding(f"Extra {extra!r}", "ok", found, f"If wanted: pip install 'cloister[{extra}]'")
        else:
            yield Finding(
                f"Extra {extra!r}", "ok", ", ".join(f"{name} {version}" for name, version in versions.items())
            )


def check_sacred(_settings: Settings) -> Iterator[Finding]:
    """Whether experiments under Sacred can run; nothing where it is not installed."""
    problem = sacred_problem()
    if sacred_version() is not None and problem is not None:
        found, _, advice = problem.partition(" Run: ")
        yield Finding("Sacred", "warning", found, f"Run: {advice}")


def check_settings(settings: Settings) -> Finding:
    path = find_settings_file()
    chosen = []
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if value != field.default:
            chosen.append(f"{field.name} = {redact_uri(value) if field.name == 'uri' else value}")
    found = (
        f"{path if path else 'no cloister.toml'}; {', '.join(chosen) if chosen else 'all settings are the defaults'}"
    )
    return Finding("Settings", "ok", found)


def check_data_folder(settings: Settings) -> Iterator[Finding]:
    """Whether journals can be written, without writing: the nearest existing folder decides."""
    folder = settings.data_folder
    try:
        existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(existing).free
    except OSError as error:
        yield Finding("Data folder", "problem", f"{folder}: {error.strerror or error}", "Set CLOISTER_HOME to another.")
        return
    found = f"{folder}, {free / 1e9:,.1f} GB free" + ("" if existing == folder else " (made when first used)")
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        advice = "Set CLOISTER_HOME to a folder that you may write."
        yield Finding("Data folder", "problem", f"{folder} cannot be written", advice)
    elif free < NO_SPACE_BYTES:
        yield Finding("Data folder", "problem", found, "Make room, or set CLOISTER_HOME to a larger disk.")
    elif free < LITTLE_SPACE_BYTES:
        yield Finding("Data folder", "warning", found, "Make room, or set CLOISTER_HOME to a larger disk.")
    elif (kind := disk_kind(folder)) != "disk":
        yield Finding("Data folder", "warning", f"{found}, {DISK_WORDS[kind]}", DISK_ADVICE[kind])
    else:
        yield Finding("Data folder", "ok", found)


def check_mongod(settings: Settings) -> Iterator[Finding]:
    """The binary for the embedded database; without one only a configured URI helps."""
    try:
        mongod = find_mongods(settings)[0]
    except NoMongod as error:
        needed = settings.uri is None
        advice = "" if needed else "Not needed: the setting 'uri' names a database."
        yield Finding("mongod", "problem" if needed else "ok", str(error) if needed else "none", advice)
        return
    yield Finding("mongod", *_judge_mongod(mongod))


def _judge_mongod(mongod: Mongod) -> tuple[Verdict, str, str]:
    found = f"MongoDB {mongod.version_text}, {mongod.path}"
    if not mongod.has_zlib_leak:
        return "ok", found, ""
    return (
        "ok",
        found,
        "Has CVE-2025-14847, a leak through zlib compression, which Cloister never lets it use. For a server of your "
        "own prefer a newer MongoDB.",
    )


def check_database(settings: Settings) -> Iterator[Finding]:
    if settings.uri is None:
        yield from _check_embedded(settings)
    else:
        yield _check_server(settings.uri, settings)


def _check_embedded(settings: Settings) -> Iterator[Finding]:
    from .embedded.server import embedded_uri

    try:
        status, uri = embedded_status(settings), embedded_uri(settings)
    except CloisterError as error:
        yield Finding("Database", "problem", str(error))
        return
    size = f"{status.size_bytes / 1e6:,.0f} MB in {status.folder}"
    if uri is None:
        state = "not running" if status.size_bytes else "not made yet"
        yield Finding("Database", "ok", f"embedded, {state}, {size}", "It starts when it is needed.")
        return
    answer = _check_server(uri, settings)
    yield Finding("Database", answer.verdict, f"embedded, {size}; {answer.found}", answer.advice)


def _check_server(uri: str, settings: Settings) -> Finding:
    try:
        with client_for(uri, timeout_ms=CONNECT_TIMEOUT_MS) as client:
            check(client)
            version = client.server_info()["version"]
            replicated = "setName" in client.admin.command("hello")
    except (BadMongoUri, DatabaseUnreachable, LoginRefused) as error:
        return Finding("Database", "problem", str(error), "Trainings go on; their journals are kept until it answers.")
    found = f"MongoDB {version} at {redact_uri(uri)}, database {database_name(uri, settings)!r}"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
        return Finding("Database", "problem", found, "Cloister needs MongoDB 5.0 or newer.")
    if not replicated:
        advice = "Not a replica set, so pages ask for changes once a second. A replica set of one member is enough."
        return Finding("Database", "warning", found, advice)
    return Finding("Database", "ok", found)


def check_journals(settings: Settings) -> Iterator[Finding]:
    """What runs have logged and the database does not have yet."""
    folder = settings.data_folder / "journal"
    sizes = []
    try:
        for path in folder.rglob("*.journal"):
            sizes.append(path.stat().st_size)
    except OSError as error:
        yield Finding("Journals", "problem", f"{folder}: {error.strerror or error}", "Make it readable for yourself.")
        return
    if not sizes:
        yield Finding("Journals", "ok", "nothing waits to be shipped")
        return
    found = f"{len(sizes)} journal segments, {sum(sizes) / 1e6:,.1f} MB in {folder}"
    verdict: Verdict = "warning" if sum(sizes) > UNSHIPPED_WARNING_BYTES else "ok"
    yield Finding("Journals", verdict, found, "Running trainings have some; 'cloister sync' ships the rest.")


def check_encryption(settings: Settings) -> Iterator[Finding]:
    """What is encrypted of the runs that are recorded here, and whether its keys can be used."""
    from .encryption.encryption_check import check_encryption as look
    from .policy import recording_policy

    for state in look(settings, recording_policy().encrypt):
        verdict: Verdict = "problem" if state.is_good is False else "ok"
        yield Finding("Encryption", verdict, state.found, state.advice)


def check_gpus(settings: Settings) -> Iterator[Finding]:
    try:
        import pynvml
    except ImportError:
        yield Finding("GPUs", "warning", "nvidia-ml-py is not installed", "pip install nvidia-ml-py")
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        yield Finding("GPUs", "ok", f"none ({error})")
        return
    try:
        count = pynvml.nvmlDeviceGetCount()
        names = [pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
        driver = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError as error:
        yield Finding("GPUs", "warning", f"the driver answers with an error: {error}", "Look at nvidia-smi.")
    else:
        yield Finding("GPUs", "ok", f"{', '.join(map(_text, names)) or 'none'}; driver {_text(driver)}")
    finally:
        pynvml.nvmlShutdown()


EXAMINATIONS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    check_data_folder,
    check_mongod,
    check_database,
    check_journals,
    check_sacred,
    check_encryption,
    check_gpus,
)


def _table(findings: list[Finding], *, with_head: bool = True) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, show_header=with_head)
    table.add_column("Check", no_wrap=True, min_width=16)
    table.add_column("", no_wrap=True)
    table.add_column("Found and what to do", overflow="fold")
    for finding in findings:
        text = Text(finding.found)
        if finding.advice:
            text.append(f"\n{finding.advice}", "dim" if finding.verdict == "ok" else "bold")
        table.add_row(Text(finding.subject), MARKS[finding.verdict], text)
    return table


def _version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value  # bytes from older pynvml
