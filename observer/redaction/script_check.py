"""A dry run for a script: what recording it would take out, line by line, without running it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..policy import Policy
from .file_redaction import kind_of_file, redact_notebook
from .key_blocks import KEY_BEGIN
from .known_values import is_distinctive
from .own_rules import OwnRules
from .recording_profiles import rules_under
from .secret_names import secret_in_name
from .secret_values import is_secret_value
from .text_redaction import TextRules
from .value_redaction import ValueRules


@dataclass(frozen=True)
class Finding:
    """One thing that would be redacted, or left out."""

    where: str
    rule: str


def check_script(script: Path, words: Sequence[str], policy: Policy) -> Iterator[Finding]:
    """What recording `script`, started with `words`, would take out: of its code and that which it imports, of the
    uncommitted changes, of the git remotes, the command line and the environment."""
    own = rules_under(policy)
    texts = TextRules(own)
    yield from _check_words(words, own, texts)
    yield from _check_environment(os.environ, own)
    yield from _check_code(script, texts)
    yield from _check_git(script.parent, texts)


def check_lines(texts: TextRules, name: str, text: str) -> Iterator[Finding]:
    """What a file of text holds, by line."""
    kind = kind_of_file(name) or "text"
    if name.endswith(".ipynb"):
        found: list[str] = []
        redact_notebook(texts, text, found.append)
        yield from (Finding(name, rule) for rule in found)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        rules: list[str] = ["private-key"] if KEY_BEGIN.search(line) is not None else []
        if not rules:
            texts.redact(line, rules.append, kind)
        yield from (Finding(f"{name}:{number}", rule) for rule in rules)


def _check_words(words: Sequence[str], own: OwnRules, texts: TextRules) -> list[Finding]:
    found: list[Finding] = []
    ValueRules(own, texts, lambda where, rule: found.append(Finding(where, rule))).words(words, "command line")
    return found


def _check_environment(environment: Mapping[str, str], own: OwnRules) -> Iterator[Finding]:
    for name, value in sorted(environment.items()):
        chosen = any(fnmatchcase(name, glob) for glob in own.environment)
        rule = "environment" if chosen else secret_in_name(name)
        if rule is not None and is_distinctive(value) and (chosen or is_secret_value(value, rule)):
            yield Finding(f"value of ${name}, wherever it is printed", rule)


def _check_code(script: Path, texts: TextRules) -> Iterator[Finding]:
    from ..snapshot import SourceFile, find_project_root
    from ..snapshot.git_folder import find_repository
    from ..snapshot.import_closure import complete_sources
    from ..snapshot.plain_files import read_plain_file
    from ..snapshot.sources import search_folders

    script = script.resolve()
    repository = find_repository(script.parent)
    root = find_project_root(script, repository.top if repository is not None else None) or script.parent
    name = script.relative_to(root).as_posix() if script.is_relative_to(root) else script.name
    main = SourceFile(name, script, is_main=True)
    folders = list(dict.fromkeys([script.parent, *search_folders(script, root)]))
    for source in complete_sources([main], root, folders):
        content = read_plain_file(source.absolute).content
        if content is not None:
            yield from check_lines(texts, source.path, content.decode("utf-8", "replace"))


def _check_git(folder: Path, texts: TextRules) -> Iterator[Finding]:
    from ..snapshot import read_git_state

    git = read_git_state(folder)
    for remote in git.remotes:
        rules: list[str] = []
        texts.redact(str(remote.url), rules.append)
        yield from (Finding(f"git remote {remote.name}", rule) for rule in rules)
    if git.changes is not None:
        for file, reason in ((left.path, left.reason) for left in git.changes.left_out):
            if "secret" in reason:
                yield Finding(f"uncommitted {file}: left out", "secret-file")
        for piece in git.changes.diff_pieces:
            yield from _check_diff(texts, piece)


def _check_diff(texts: TextRules, piece: str) -> Iterator[Finding]:
    name = "uncommitted changes"
    for line in piece.splitlines():
        if line.startswith("diff --git "):
            name = line.rpartition(" b/")[2].strip('"')
        elif line.startswith(("+", "-")):
            for finding in check_lines(texts, name, line[1:]):
                yield Finding(f"uncommitted {finding.where.rpartition(':')[0] or name}", finding.rule)
