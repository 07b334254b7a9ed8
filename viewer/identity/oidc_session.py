"""Authlib's session over requests, bounded. Imported only where OpenID Connect is configured."""

from __future__ import annotations

import time
from typing import Any

from authlib.integrations.requests_client import OAuth2Session
from requests import Response

ANSWER_LIMIT_BYTES = 1024 * 1024
WHOLE_ANSWER_SECONDS = 8


class AnswerTooLong(OSError):
    """The provider sends more, or for longer, than any answer needs."""

    def __init__(self) -> None:
        super().__init__(f"its answer is longer than {ANSWER_LIMIT_BYTES:,} bytes or {WHOLE_ANSWER_SECONDS} seconds")


class ProviderSession(OAuth2Session):  # type: ignore[misc]  # Authlib has no annotations
    """Follows no redirection, which could lead anywhere, and reads no more than an answer may have."""

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Response:
        deadline = time.monotonic() + WHOLE_ANSWER_SECONDS
        options.update(stream=True, allow_redirects=False)
        response: Response = super().request(method, url, *arguments, **options)
        body = bytearray()
        for piece in response.iter_content(65536):
            body += piece
            if len(body) > ANSWER_LIMIT_BYTES or time.monotonic() > deadline:
                response.close()
                raise AnswerTooLong
        response._content = bytes(body)  # where requests itself keeps a body that was read
        return response
