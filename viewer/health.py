"""Is the viewer alive, and does its database answer?"""

from __future__ import annotations

import pymongo
from flask import Blueprint, Response, jsonify, request
from pymongo.errors import PyMongoError

from .store_access import current_database

READY_SECONDS = 2  # whoever asks, asks often, and gives up soon

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def show_liveness() -> Response:
    """200 as long as the process answers; `?deep=1` asks the database too."""
    return show_readiness() if request.args.get("deep") == "1" else jsonify(status="ok")


@bp.get("/readyz")
def show_readiness() -> Response:
    """200 when the database answers, 503 otherwise."""
    try:
        with pymongo.timeout(READY_SECONDS):
            current_database().access.get().database.command("ping")
    except PyMongoError:
        response = jsonify(status="unavailable", database="does not answer")
        response.status_code = 503
        return response
    return jsonify(status="ok", database="ok")
