"""Asking git about a repository that may be hostile, so that nothing the repository names is ever executed.

A repository's config names programs: fsmonitor, external diffs, textconv, clean filters, hooks, ssh commands, a
promisor remote's upload pack. Each new git may add one, so they are not switched off one by one. Instead git gets a
git directory of our own, for a moment, in a private folder: our config with a few checked words of theirs, their HEAD
and refs, a copy of their index, their objects. The repository's own config is only ever listed as a file. Attributes in
the work tree may still name filters and drivers; those are then names without a program, which git passes over.
Nothing is written in the repository, not even a lock.

GitPython starts git. Its other half, `git.Repo`, is not used: it runs `git cat-file` under the repository's config.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import CloisterError
from .deadline import Deadline
from .git_folder import RepositoryFolder
from .git_process import OUTPUT_LIMIT_BYTES, GitFailed, GitOutput, run_git
from .plain_files import FILE_LIMIT_BYTES, read_plain_file

CONFIG_LIMIT_BYTES = 1_000_000
INDEX_LIMIT_BYTES = 512_000_000  # about 100 bytes a file: five million files

EMPTY_TREES = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}

# Words of the repository's config that change what "modified" means, and name no program and no path.
_WORDS_TAKEN_OVER = (
    "core.autocrlf",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.symlinks",
    "core.precomposeunicode",
    "core.checkstat",
    "core.trustctime",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
)
_FORMAT_WORDS = ("extensions.objectformat", "extensions.refstorage")
_WORD = re.compile(r"[a-z0-9]{1,20}")
_FILES_COPIED = ("info/exclude", "info/attributes", "info/sparse-checkout", "shallow")


class GitTooSlow(CloisterError, TimeoutError):
    """git did not answer in the time that reading a repository may take."""

    def __init__(self, command: str) -> None:
        super().__init__(f"git {command} was stopped: reading the repository took too long.")


class GitReader:
    """Runs git's reading commands on one repository. Made by `open_git_reader`; used by one thread."""

    def __init__(self, repository: RepositoryFolder, private: Path, config: dict[str, list[str]], deadline: Deadline):
        self.repository = repository
        self.config = config
        self.deadline = deadline
        self._private = private

    @property
    def empty_tree(self) -> str:
        return EMPTY_TREES.get(self.config.get("extensions.objectformat", ["sha1"])[-1], EMPTY_TREES["sha1"])

    def ask(self, *arguments: str, limit_bytes: int = OUTPUT_LIMIT_BYTES, lines: list[str] | None = None) -> GitOutput:
        """Run one git command and return its output, cut where it exceeds the limit or the deadline.

        `lines` become its standard input.

        Raises:
            GitFailed: git said no.
        """
        environment = _environment(self._private, self.repository)
        top = self.repository.top
        if lines is None:
            return run_git(arguments, top, environment, limit_bytes, self.deadline)
        with tempfile.TemporaryFile(dir=self._private) as file:
            file.write("".join(f"{line}\n" for line in lines).encode("ascii"))
            file.seek(0)
            return run_git(arguments, top, environment, limit_bytes, self.deadline, file)

    def answer(self, *arguments: str) -> str | None:
        """The one line that git answers, or None when it has none."""
        try:
            output = self.ask(*arguments)
        except GitFailed:
            return None
        if output.cut_by:
            raise GitTooSlow(arguments[0])
        return output.data.decode("utf-8", "replace").strip() or None


@contextmanager
def open_git_reader(repository: RepositoryFolder, deadline: Deadline) -> Iterator[GitReader]:
    """A reader of `repository`, in a private folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cloister-git-", ignore_cleanup_errors=True) as name:
        private = Path(name)
        config = _list_config(repository.common_directory / "config", private, deadline)
        _fill_private_directory(private, repository, config, deadline)
        yield GitReader(repository, private, config, deadline)


def _list_config(path: Path, private: Path, deadline: Deadline) -> dict[str, list[str]]:
    """The repository's config as {name: values}, names in git's lower case; files that it includes are not opened."""
    # A copy, checked: git itself would wait for ever on a FIFO and read /dev/zero to the end.
    content = read_plain_file(path, limit_bytes=CONFIG_LIMIT_BYTES, follow_links=True).content
    if content is None:
        return {}
    copy = private / "their-config"
    copy.write_bytes(content)
    environment = _environment(private, None)
    listing = run_git(
        ["config", "--file", str(copy), "--no-includes", "--list", "-z"],
        private,
        environment,
        OUTPUT_LIMIT_BYTES,
        deadline,
    )
    return _parse_config(listing)


def _list_user_config(private: Path, deadline: Deadline) -> dict[str, list[str]]:
    """The user's own ~/.gitconfig, for what it says on line ends and on files to ignore."""
    own = {name: os.environ[name] for name in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL") if name in os.environ}
    environment = {**_environment(private, None), "GIT_CONFIG_GLOBAL": "", **own}
    if "GIT_CONFIG_GLOBAL" not in own:
        del environment["GIT_CONFIG_GLOBAL"]  # an empty value would hide ~/.gitconfig
    try:
        return _parse_config(
            run_git(["config", "--global", "--list", "-z"], private, environment, OUTPUT_LIMIT_BYTES, deadline)
        )
    except GitFailed:
        return {}  # there is none


def _parse_config(listing: GitOutput) -> dict[str, list[str]]:
    config: dict[str, list[str]] = {}
    for record in listing.records():
        name, _, value = record.partition("\n")
        config.setdefault(name, []).append(value)
    return config


def _fill_private_directory(
    private: Path, repository: RepositoryFolder, config: dict[str, list[str]], deadline: Deadline
) -> None:
    user_config = _list_user_config(private, deadline)
    (private / "config").write_text(_safe_config(config, user_config), "utf-8", "surrogateescape")
    head = repository.git_directory / "HEAD"
    content = read_plain_file(head, limit_bytes=CONFIG_LIMIT_BYTES, follow_links=True).content
    if head.is_symlink():  # as git before 1.5 made it
        content = b"ref: " + os.fsencode(head.readlink())
    (private / "HEAD").write_bytes(content or b"")
    for name in ("refs", "packed-refs", "reftable"):
        if (repository.common_directory / name).exists():
            (private / name).symlink_to(repository.common_directory / name)
    (private / "info").mkdir()
    for name in _FILES_COPIED:
        folder = repository.git_directory if name == "info/sparse-checkout" else repository.common_directory
        content = read_plain_file(folder / name, limit_bytes=CONFIG_LIMIT_BYTES, follow_links=True).content
        if content is not None:
            (private / name).write_bytes(content)
    for index in [repository.git_directory / "index", *repository.git_directory.glob("sharedindex.*")]:
        _copy_index(index, private / index.name)


def _copy_index(source: Path, target: Path) -> None:
    content = read_plain_file(source, limit_bytes=INDEX_LIMIT_BYTES, follow_links=True).content
    if content is None:
        return
    target.write_bytes(content)
    # git compares a file's time with the index' own to know which files it may trust without reading them.
    status = source.stat()
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _safe_config(theirs: dict[str, list[str]], users: dict[str, list[str]]) -> str:
    """Our config file: fixed words, and of theirs only single words from a list."""
    words = {
        "core.bare": "false",
        "core.fsmonitor": "false",
        "core.untrackedcache": "false",
        "core.hookspath": "/dev/null",
        "core.quotepath": "false",
        "core.bigfilethreshold": str(FILE_LIMIT_BYTES),
        "core.excludesfile": _ignore_file(users),
        "diff.autorefreshindex": "true",
    }
    for name in _WORDS_TAKEN_OVER:
        value = (theirs.get(name) or users.get(name) or [""])[-1].lower()
        if _WORD.fullmatch(value):
            words[name] = value
    extensions = {name: theirs[name][-1].lower() for name in _FORMAT_WORDS if name in theirs}
    words |= {name: value for name, value in extensions.items() if _WORD.fullmatch(value)}
    words["core.repositoryformatversion"] = "1" if extensions else "0"
    return "".join(_config_line(name, value) for name, value in words.items())


def _config_line(name: str, value: str) -> str:
    section, _, key = name.partition(".")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'[{section}]\n\t{key} = "{escaped}"\n'


def _ignore_file(users: dict[str, list[str]]) -> str:
    if chosen := users.get("core.excludesfile"):
        return os.path.expanduser(chosen[-1])  # noqa: PTH111 - "~name" of an unknown user stays as it is, without raising
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - as above
    return f"{folder}/git/ignore"


def _environment(private: Path, repository: RepositoryFolder | None) -> dict[str, str]:
    """What git's process gets over ours. GitPython cannot unset a GIT_* of the user's, so it is made empty."""
    environment = {name: "" for name in os.environ if name.startswith("GIT_") and not name.startswith("GIT_PYTHON_")}
    environment |= {name: "0" for name in environment if name.startswith("GIT_TRACE")}
    if "GIT_ATTR_SOURCE" in environment:
        environment["GIT_ATTR_SOURCE"] = EMPTY_TREES["sha1"]  # empty would be an error
    environment |= {
        "HOME": str(private),
        "XDG_CONFIG_HOME": str(private),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "0",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_DIR": str(private),
        "GIT_COMMON_DIR": str(private),
        "GIT_INDEX_FILE": str(private / "index"),
        "GIT_WORK_TREE": str(private),
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "none",  # a missing object of a partial clone is missing; nothing is fetched
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_REPLACE_REF_BASE": "refs/replace/",
        "GIT_PAGER": "cat",
    }
    if repository is not None:
        environment["GIT_OBJECT_DIRECTORY"] = str(repository.common_directory / "objects")
        if repository.checkout != "bare":
            environment["GIT_WORK_TREE"] = str(repository.top)
    return environment
