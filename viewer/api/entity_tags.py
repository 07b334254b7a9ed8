"""ETags: what an answer is now, in a word; who has that already is sent nothing."""

from __future__ import annotations

import hashlib

from flask import Response, request


def tag_answer(response: Response) -> Response:
    """`response` with its ETag, or 304 without a body where If-None-Match names it."""
    if response.status_code != 200 or response.is_streamed or response.direct_passthrough:
        return response
    digest = hashlib.sha256(response.get_data()).hexdigest()[:32]
    # Who may see what is part of each answer: another reader's tag never fits by accident, being of other bytes.
    response.set_etag(digest)
    response.make_conditional(request)
    return response
