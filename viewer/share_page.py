"""What a share link opens: a run's own pages, or a page of one chart or one artifact alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, redirect, render_template

from .artifact_preview import ImagePreview
from .audit_notes import note
from .run_artifacts_page import (
    ListedArtifact,
    list_artifacts,
    list_resources,
    load_preview,
    render_media,
    render_pdf,
)
from .run_keys import path_segment, shown_id
from .share_scope import START_PATH, current_share
from .store_access import current_store, root
from .user_files import render_stored_file

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from .share_links import Share

bp = Blueprint("share_page", __name__, url_prefix=START_PATH)


@bp.get("")
def show_shared() -> str | Response:
    share, run = _shared()
    if share.kind == "run":
        return redirect(f"{root()}/runs/{path_segment(run.id)}", 303)  # type: ignore[return-value]
    if share.kind == "chart":
        return render_template("shared/chart.html", run=run, metric=share.what)
    row = _artifact(share, run)
    return render_template(
        "shared/artifact.html", run=run, chosen=row, preview=load_preview(current_store(), run, row.entry)
    )


@bp.get("/download")
def download_shared() -> Response:
    share, run = _shared()
    entry = _artifact(share, run).entry
    note("artifact-downloaded", target=f"run {shown_id(run.id)}", project=run.project, what="artifact", file=entry.name)
    return render_stored_file(current_store(), entry.file_id, run=run, name=entry.name, content_type=entry.content_type)


@bp.get("/image")
def show_shared_image() -> Response:
    share, run = _shared()
    entry = _artifact(share, run).entry
    preview = load_preview(current_store(), run, entry)
    if not isinstance(preview, ImagePreview):
        abort(415, "This artifact cannot be shown as an image. Download it instead.")
    image = preview.image.media_type
    store = current_store()
    return render_stored_file(store, entry.file_id, run=run, name=entry.name, content_type=image, disposition="inline")


@bp.get("/media")
def play_shared_media() -> Response:
    share, run = _shared()
    return render_media(current_store(), run, _artifact(share, run).entry)


@bp.get("/pdf")
def send_shared_pdf() -> Response:
    share, run = _shared()
    return render_pdf(current_store(), run, _artifact(share, run).entry)


def find_artifact(run: RunRecord, key: str) -> ListedArtifact | None:
    """The artifact or resource of this key, if its bytes are kept."""
    rows = (*list_artifacts(run), *list_resources(run))
    return next((row for row in rows if row.key == key and row.stored), None)


def _shared() -> tuple[Share, RunRecord]:
    share = current_share()
    if share is None:  # nobody came by a link
        abort(404)
    return share, current_store().load_run(share.run_id)


def _artifact(share: Share, run: RunRecord) -> ListedArtifact:
    row = find_artifact(run, share.what) if share.kind == "artifact" else None
    if row is None:
        abort(404)
    return row
