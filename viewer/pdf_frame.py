"""The frame that PDFs are drawn in: a page without an origin, which may run two scripts of ours and reach nothing.

Browsers show no PDF of their own in a sandboxed frame. So pdf.js draws it; a PDF that finds a hole in it has got into a
page that has no cookies, can ask no server and sees nothing of the page around it.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, abort, current_app, render_template, send_from_directory

bp = Blueprint("pdf_frame", __name__)

FRAME_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # pdf.js sets sizes
        "img-src data: blob:",
        "font-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
        "sandbox allow-scripts",
    )
)
# Name in addresses, where it lies below static/, what it is.
FILES = {
    "frame.css": ("css/pdf_frame.css", "text/css"),
    "frame.mjs": ("js/pdf_frame.js", "text/javascript"),
    "pdf.min.mjs": ("vendor/pdf.min.mjs", "text/javascript"),
    "pdf.worker.min.mjs": ("vendor/pdf.worker.min.mjs", "text/javascript"),
}


@bp.get("/pdf-frame")
def show_frame() -> Response:
    response = Response(render_template("pdf_frame.html"))
    response.headers["Content-Security-Policy"] = FRAME_POLICY
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


@bp.get("/pdf-frame/<name>")
def send_frame_file(name: str) -> Response:
    """A script or style of the frame. They are asked for on behalf of an origin, and the frame has none: so anybody may
    read them, as anybody may in our repository."""
    if name not in FILES:
        abort(404)
    path, media_type = FILES[name]
    response = send_from_directory(Path(current_app.static_folder or ""), path, mimetype=media_type)
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Cache-Control"] = "no-cache"  # kept, and asked for again: cheap through the ETag
    return response
