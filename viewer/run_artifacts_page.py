"""The artifacts tab: the files that a run made, with a look into the one that is chosen.

An artifact's address is made of a digest of its name and file: a name may be empty, 4 kB long or hold `../`, and two
artifacts may share a name or their bytes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, render_template, request

from ..observer.blobs import BlobLocked, BlobNotFound, UnreadableBlob
from ..observer.run_files import ArtifactEntry
from .artifact_kinds import register_artifact_kinds
from .artifact_preview import IMAGE_LIMIT_BYTES, ImagePreview, NoPreview, Preview, preview_file
from .store_access import current_store
from .user_files import render_stored_file

if TYPE_CHECKING:
    from ..observer.run_record import RunId, RunRecord
    from ..observer.runs import RunStore

bp = Blueprint("run_artifacts_page", __name__)
bp.record_once(lambda state: register_artifact_kinds(state.app))  # type: ignore[arg-type]  # as in projects_page

LISTED_ARTIFACTS = 1000
NAME_LIMIT_CHARS, TITLE_LIMIT_CHARS = 300, 1000  # longer names are cut on the page, and whole nowhere but in the API
# Characters that change what the others look like: controls, and the direction marks that turn exe.gpj into a .jpg.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class ListedArtifact:
    """A row of the list, with every character of its name visible.

    Attributes:
        folder, name: what stands before and after the last slash.
        title: both, longer than a row has room for.
        stored: whether there are bytes to look into; of what a run read, its observer may have kept only the name.
    """

    key: str
    entry: ArtifactEntry
    folder: str
    name: str
    title: str
    stored: bool = True
    digest: str = ""


@bp.get("/runs/<run:run_id>/artifacts")
def show_artifacts(run_id: RunId) -> str:
    """The list, and a preview of the artifact that `show` names or of the first one."""
    run = current_store().load_run(run_id)
    rows, resources = list_artifacts(run), list_resources(run)
    chosen = _chosen((*rows, *resources), request.args.get("show"))
    preview = load_preview(current_store(), run, chosen.entry) if chosen and chosen.stored else None
    return render_template(
        "run/artifacts.html",
        run=run,
        active_tab="artifacts",
        rows=rows,
        resources=resources,
        chosen=chosen,
        preview=preview,
    )


@bp.get("/runs/<run:run_id>/artifacts/list")
def show_list(run_id: RunId) -> str:
    """The list alone, for the page that shows it live."""
    run = current_store().load_run(run_id)
    rows, resources = list_artifacts(run), list_resources(run)
    chosen = _chosen((*rows, *resources), request.args.get("show"))
    return render_template("artifacts/list.html", run=run, rows=rows, resources=resources, chosen=chosen)


@bp.get("/runs/<run:run_id>/artifacts/<key>/download")
def download_artifact(run_id: RunId, key: str) -> Response:
    run = current_store().load_run(run_id)
    entry = _find(run, key).entry
    return render_stored_file(current_store(), entry.file_id, run=run, name=entry.name, content_type=entry.content_type)


@bp.get("/runs/<run:run_id>/artifacts/<key>/image")
def show_image(run_id: RunId, key: str) -> Response:
    """The artifact as an image, if its own first bytes say that it is one and it is not too large to be shown."""
    run = current_store().load_run(run_id)
    entry = _find(run, key).entry
    preview = load_preview(current_store(), run, entry)
    if not isinstance(preview, ImagePreview):
        abort(415, "This artifact cannot be shown as an image. Download it instead.")
    return render_stored_file(
        current_store(),
        entry.file_id,
        run=run,
        name=entry.name,
        content_type=preview.image.media_type,
        disposition="inline",
    )


def list_artifacts(run: RunRecord) -> tuple[ListedArtifact, ...]:
    """The run's artifacts in the order of their names, folders first."""
    rows = [_row(entry) for entry in run.artifacts[:LISTED_ARTIFACTS]]
    return tuple(sorted(rows, key=lambda row: (not row.folder, row.folder, row.name)))


def list_resources(run: RunRecord) -> tuple[ListedArtifact, ...]:
    """The files that the run read, in the order of their names."""
    rows = []
    for resource in run.resources[:LISTED_ARTIFACTS]:
        entry = ArtifactEntry(resource.path, resource.file_id, None, resource.size, None, None)
        row = replace(_row(entry), stored=resource.file_id is not None, digest=resource.md5 or "")
        rows.append(replace(row, key=f"r{row.key}"))
    return tuple(sorted(rows, key=lambda row: (row.folder, row.name)))


def _row(entry: ArtifactEntry) -> ListedArtifact:
    visible = UNSEEN.sub("\ufffd", entry.name)
    folder, _, name = visible.rpartition("/")
    return ListedArtifact(
        artifact_key(entry), entry, folder[:NAME_LIMIT_CHARS], name[:NAME_LIMIT_CHARS], visible[:TITLE_LIMIT_CHARS]
    )


def artifact_key(entry: ArtifactEntry) -> str:
    """What stands for the artifact in an address."""
    identity = f"{entry.name}\0{entry.file_id}\0{entry.logged_at}"
    return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16]


def load_preview(store: RunStore, run: RunRecord, entry: ArtifactEntry) -> Preview:
    """What to show of an artifact; where its bytes are gone or damaged, that."""
    try:
        blob = store.open_blob(entry.file_id, run)
        preview = preview_file(blob, entry.name)
        if isinstance(preview, ImagePreview) and blob.size <= IMAGE_LIMIT_BYTES:
            for _ in blob:  # a picture with a hole in it would break off in the browser without a word
                pass
        return preview
    except BlobLocked as error:
        return NoPreview(error.reason, locked=True)
    except (BlobNotFound, UnreadableBlob) as error:
        return NoPreview(str(error), damaged=True)


def _chosen(rows: tuple[ListedArtifact, ...], key: str | None) -> ListedArtifact | None:
    if key is None:
        return next((row for row in rows if row.stored), None)
    return next((row for row in rows if row.key == key), None)


def _find(run: RunRecord, key: str) -> ListedArtifact:
    found = next((row for row in (*list_artifacts(run), *list_resources(run)) if row.key == key and row.stored), None)
    if found is None:
        abort(404)
    return found
