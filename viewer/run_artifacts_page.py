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
from .artifact_preview import (
    IMAGE_LIMIT_BYTES,
    PDF_LIMIT_BYTES,
    ImagePreview,
    NoPreview,
    Preview,
    preview_file,
    read_exactly,
)
from .blob_response import blob_response
from .file_tree import Folder, build_file_tree
from .media_head import HEAD_BYTES as MEDIA_HEAD_BYTES
from .media_head import read_media_head
from .store_access import current_store
from .user_files import render_stored_file

if TYPE_CHECKING:
    from ..observer.blobs import Blob
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
        tree=artifact_tree(rows, chosen),
        read_tree=artifact_tree(resources, chosen),
        chosen=chosen,
        preview=preview,
    )


@bp.get("/runs/<run:run_id>/artifacts/list")
def show_list(run_id: RunId) -> str:
    """The list alone, for the page that shows it live."""
    run = current_store().load_run(run_id)
    rows, resources = list_artifacts(run), list_resources(run)
    chosen = _chosen((*rows, *resources), request.args.get("show"))
    return render_template(
        "artifacts/list.html",
        run=run,
        rows=rows,
        resources=resources,
        tree=artifact_tree(rows, chosen),
        read_tree=artifact_tree(resources, chosen),
        chosen=chosen,
    )


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


@bp.get("/runs/<run:run_id>/artifacts/<key>/media")
def play_media(run_id: RunId, key: str) -> Response:
    """The artifact as a sound or a film, if its own first bytes say that it is one; in parts, as players ask for it."""
    run = current_store().load_run(run_id)
    return render_media(current_store(), run, _find(run, key).entry)


@bp.get("/runs/<run:run_id>/artifacts/<key>/pdf")
def send_pdf(run_id: RunId, key: str) -> Response:
    """The bytes of a PDF for the page that draws it; to a browser that opens the address they are a download."""
    run = current_store().load_run(run_id)
    return render_pdf(current_store(), run, _find(run, key).entry)


def render_media(store: RunStore, run: RunRecord, entry: ArtifactEntry) -> Response:
    blob, head = _open_head(store, run, entry)
    media = read_media_head(head)
    if media is None:
        abort(415, "This artifact cannot be played. Download it instead.")
    return blob_response(
        blob, name=entry.name, content_type=media.media_type, headers=request.headers, disposition="inline"
    )


def render_pdf(store: RunStore, run: RunRecord, entry: ArtifactEntry) -> Response:
    blob, head = _open_head(store, run, entry)
    if not head.startswith(b"%PDF-") or blob.size > PDF_LIMIT_BYTES:
        abort(415, "This artifact cannot be shown as a PDF. Download it instead.")
    return blob_response(blob, name=entry.name, content_type=None, headers=request.headers)


def _open_head(store: RunStore, run: RunRecord, entry: ArtifactEntry) -> tuple[Blob, bytes]:
    """The file and its first bytes, or why it cannot be read."""
    try:
        blob = store.open_blob(entry.file_id, run)
        return blob, read_exactly(blob, MEDIA_HEAD_BYTES)
    except BlobLocked as error:
        abort(423, str(error))
    except (BlobNotFound, UnreadableBlob) as error:
        abort(410, str(error))


def artifact_tree(rows: tuple[ListedArtifact, ...], chosen: ListedArtifact | None) -> Folder[ListedArtifact]:
    """The rows in their folders; those of the chosen one are open."""
    return build_file_tree(((row.title, row) for row in rows), chosen.title if chosen else None)


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
