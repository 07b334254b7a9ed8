"""The files that a run made: their list and their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response, request, url_for

from ...observer.blobs import BlobNotFound
from ..blob_response import blob_response
from ..store_access import current_store
from .route import Route
from .run_json import ARTIFACT_SCHEMA, artifact_json, list_schema, object_schema
from .runs import NO_RUN

if TYPE_CHECKING:
    from ...observer.run_record import ArtifactEntry, RunId


def list_artifacts(run_id: RunId) -> dict[str, Any]:
    run = current_store().load_run(run_id)
    return {"artifacts": [artifact_json(artifact, _url(run_id, artifact)) for artifact in run.artifacts]}


def download_artifact(run_id: RunId, file_id: str) -> Response:
    store = current_store()
    run = store.load_run(run_id)
    for artifact in run.artifacts:  # only files that this run names: a file's id alone opens nothing
        if str(artifact.file_id) == file_id:
            blob = store.open_blob(artifact.file_id, run)
            return blob_response(blob, name=artifact.name, content_type=artifact.content_type, headers=request.headers)
    raise BlobNotFound(file_id)


def _url(run_id: RunId, artifact: ArtifactEntry) -> str:
    return url_for("api.download_artifact", run_id=run_id, file_id=str(artifact.file_id))


ROUTES = (
    Route(
        path="/runs/<run:run_id>/artifacts",
        name="list_artifacts",
        summary="The files that a run made",
        handler=list_artifacts,
        answer=object_schema(artifacts=list_schema(ARTIFACT_SCHEMA)),
        statuses=NO_RUN,
    ),
    Route(
        path="/runs/<run:run_id>/artifacts/<file_id>",
        name="download_artifact",
        summary="The bytes of one file, as an attachment; a Range header of one range is honoured",
        handler=download_artifact,
        answer={"type": "string", "contentEncoding": "binary"},
        content_type="application/octet-stream",
        statuses={
            206: "The range asked for.",
            304: "The file is the one that If-None-Match names.",
            404: "There is no such run, or it made no such file.",
            416: "The range lies outside the file, or there is more than one.",
        },
    ),
)
