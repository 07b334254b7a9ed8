"""The source tab: the commit a run came from, what was changed since, and the files that it ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, render_template, request

from ..observer.blobs import BlobLocked, BlobNotFound, UnreadableBlob
from .artifact_preview import read_exactly
from .diff_view import Diff, parse_diff
from .file_tree import build_file_tree
from .source_view import SOURCE_LIMIT_BYTES, SourceView, view_source
from .store_access import current_store
from .user_files import render_stored_file, render_user_file

if TYPE_CHECKING:
    from ..observer.run_record import RunId, RunRecord, SourceEntry
    from ..observer.runs import RunStore

bp = Blueprint("run_source_page", __name__)

DIFF_LIMIT_BYTES = 16 * 1024 * 1024  # a MongoDB document's own limit; the recorder stops earlier
LISTED_FILES = 2000

# What there is to say where git has no commit to show. The recorder's own reason follows where it gave one.
NO_COMMIT_WORDS = {
    "none": ("Not in a git repository", "The script lay in no git repository. The files it ran are kept all the same."),
    "bare": ("A bare repository", "It has no working tree, so there is nothing uncommitted to show."),
    "error": ("Git could not be read", "The files that the run used are kept all the same."),
    "unborn": ("No commits yet", "The repository had no commit when the run started. All its files count as new."),
    "": ("Git was not recorded", "Whoever recorded this run did not write down the state of its repository."),
}


@dataclass(frozen=True)
class OpenFile:
    """The file that the page shows; `problem` says why it cannot be shown, `locked` that it is encrypted."""

    entry: SourceEntry
    view: SourceView | None
    problem: str = ""
    locked: bool = False


@bp.get("/runs/<run:run_id>/source")
def show_source(run_id: RunId) -> str:
    """The uncommitted changes, or the file that `file` names, or the first file where nothing is uncommitted."""
    run = current_store().load_run(run_id)
    wanted = request.args.get("file")
    entry = _find_source(run, wanted) if wanted is not None else None
    diff_text = "" if entry else load_diff_text(current_store(), run)
    if entry is None and not diff_text and run.sources and "diff" not in request.args:
        entry = run.sources[0]
    return render_template(
        "run/source.html",
        run=run,
        active_tab="source",
        opened=_open_file(current_store(), run, entry) if entry else None,
        diff=parse_diff(diff_text) if diff_text else Diff(()),
        has_diff=_has_diff(run),
        git_words=describe_missing_commit(run.git),
        changes_not_kept=bool(run.git.get("dirty")) and not run.git.get("changed_count") and not _has_diff(run),
        listed_files=LISTED_FILES,
        files=build_file_tree(
            ((each.path, each) for each in sorted(run.sources[:LISTED_FILES], key=lambda each: each.path)),
            entry.path if entry else None,
        ),
    )


@bp.get("/runs/<run:run_id>/source/file")
def download_source(run_id: RunId) -> Response:
    """The file that `path` names, as it was."""
    run = current_store().load_run(run_id)
    entry = _find_source(run, request.args.get("path", ""))
    return render_stored_file(current_store(), entry.file_id, run=run, name=entry.path, content_type="text/plain")


@bp.get("/runs/<run:run_id>/source/diff.patch")
def download_diff(run_id: RunId) -> Response:
    """The uncommitted changes in the form that `git apply` takes."""
    run = current_store().load_run(run_id)
    if not _has_diff(run):
        abort(404)
    name = f"run-{run.id}-{str(run.git.get('commit') or 'changes')[:12]}.patch"
    return render_user_file(_iter_diff(current_store(), run), name=name, content_type="text/plain")


def load_diff_text(store: RunStore, run: RunRecord) -> str:
    """The recorded diff, empty where there is none, where the database has lost it, or without its key."""
    try:
        return b"".join(_iter_diff(store, run))[:DIFF_LIMIT_BYTES].decode("utf-8", "replace")
    except (BlobNotFound, UnreadableBlob):
        return ""


def _has_diff(run: RunRecord) -> bool:
    return bool(run.git.get("diff_file") or run.git.get("diff"))


def _iter_diff(store: RunStore, run: RunRecord) -> Iterator[bytes]:
    """The whole diff is a file; what the document holds of it may be cut, and stands in where the file is gone."""
    text = run.git.get("diff")
    file_id = run.git.get("diff_file")
    if file_id is not None and not (isinstance(text, str) and len(text) >= int(run.git.get("diff_bytes") or 0) > 0):
        yield from store.open_blob(file_id, run)
    elif isinstance(text, str):
        yield text.encode("utf-8", "replace")


def describe_missing_commit(git: dict[str, Any]) -> tuple[str, str] | None:
    """Title and sentence where git has no commit to show, else None."""
    if git.get("commit"):
        return None
    state = "unborn" if git.get("state") == "repository" else str(git.get("state") or "")
    title, sentence = NO_COMMIT_WORDS.get(state, NO_COMMIT_WORDS[""])
    reason = git.get("reason")
    return title, f"{reason} {sentence}" if isinstance(reason, str) and reason and state == "error" else sentence


def _find_source(run: RunRecord, path: str) -> SourceEntry:
    found = next((entry for entry in run.sources if entry.path == path), None)
    if found is None:
        abort(404)
    return found


def _open_file(store: RunStore, run: RunRecord, entry: SourceEntry) -> OpenFile:
    try:
        blob = store.open_blob(entry.file_id, run)
        head = read_exactly(blob, SOURCE_LIMIT_BYTES)
    except BlobLocked as error:
        return OpenFile(entry, None, error.reason, locked=True)
    except (BlobNotFound, UnreadableBlob) as error:
        return OpenFile(entry, None, str(error))
    return OpenFile(entry, view_source(head, path=entry.path, total_bytes=blob.size))
