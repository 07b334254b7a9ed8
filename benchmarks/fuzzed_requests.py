"""Requests that nobody means well with: addresses of the viewer with odd parts, parameters, headers and bodies."""

# ruff: noqa: E501  # lists of odd texts, which nobody reads one by one

from __future__ import annotations

import json
import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_from_bytes

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND")
PEOPLE = ("admin", "eva", "mallory", "")

TEXTS: tuple[bytes, ...] = tuple(
    text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    for text in (
        "", "0", "1", "7341", "-1", "00001", "1.0", "1e9", "NaN", "-0", "1_000", "\u0661", str(2**63), str(2**70), "x" * 3000,
        "../../etc/passwd", "..%2f", "%00", "%", "%zz", "%e2%28%a1", "\0", "\r\nX: y", "\u202e", "\ud800", "\U0001f600", "e\u0301",
        "<script>alert(1)</script>", "'\"`<>&", "{{7*7}}", "$where", "$ne", '{"$gt":""}', "[]", "null", "true", "__proto__",
        "id:x", "id:", "oid:zz", "oid:" + "0" * 24, "bson:", "bson:!!!!", "digits", "hidden", "loss", "a/b//c", ".", "..", "*", "(a+)+$",
        "2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-13-45", "step", "wall", "csv", "top",
        b"\xff\xfe", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", "train.py", "model", "-started", "-config.lr", "metrics.loss", "config.$x",
    )
)  # fmt: skip
NAMES = (
    "q", "search", "project", "run", "runs", "metric", "name", "page", "page_size", "sort", "status", "after", "before",
    "limit", "since", "pixels", "axis", "from", "to", "low", "high", "file", "show", "next", "columns", "actor", "action",
    "encoding", "kind", "key", "tab", "filter", "group", "person", "visibility", "token", "state", "code", "error",
)  # fmt: skip
HEADERS = (
    "Accept", "Accept-Encoding", "Authorization", "Content-Type", "Cookie", "Host", "If-Modified-Since", "If-None-Match",
    "If-Range", "Last-Event-ID", "Origin", "Range", "Referer", "Sec-Fetch-Site", "User-Agent", "X-CSRF-Token",
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-HTTP-Method-Override", "X-Remote-User", "Expect",
)  # fmt: skip
HEADER_VALUES = (
    "", "x", "*/*", "text/html;q=NaN", "application/json", "text/plain", "multipart/form-data", "gzip, br;q=9", "Bearer ",
    "Bearer clst_aaaaaaaa_" + "a" * 43 + "_aaaaaa", "Basic OnRlc3Q=", "bytes=0-", "bytes=-1", "bytes=9-1",
    "bytes=0-0," * 500, "Sun, 99 Foo 0000", '"x"', 'W/"x"', "null", "http://evil.example", "cross-site", "evil.example",
    "127.0.0.1", "x" * 2000, "\xff\xfe", "a=b; " * 200, "cloister_session=x", "DELETE", "100-continue", "2026-01-01T00:00:00Z",
)  # fmt: skip


@dataclass(frozen=True)
class FuzzedRequest:
    """One request. `target` is what stands in its first line; `who` asks, by a session, or nobody."""

    who: str
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def has_ending(self) -> bool:
        """Whether it is none for the live stream, which goes on for ever."""
        return "/live" not in self.target


class RequestFuzzer:
    """The same requests for the same seed and addresses."""

    def __init__(self, rules: Mapping[str, Collection[str]], seed: int) -> None:
        """`rules` are Flask's, /runs/<run:run_id>, with the methods that they answer."""
        self._rules = {rule: sorted(methods) for rule, methods in sorted(rules.items())}
        self._random = random.Random(seed)

    def next(self) -> FuzzedRequest:
        while True:
            rule = self._random.choice(list(self._rules))
            method = self._random.choice(METHODS if self._random.random() < 0.1 else self._rules[rule])
            body, kind = self._body() if method in ("POST", "PUT", "PATCH", "DELETE") else (None, None)
            headers = {name: self._random.choice(HEADER_VALUES) for name in self._some(HEADERS, 3)}
            if kind is not None:
                headers["Content-Type"] = kind
            request = FuzzedRequest(self._random.choice(PEOPLE), method, self._target(rule), headers, body)
            if request.has_ending:
                return request

    def _target(self, rule: str) -> str:
        path = re.sub(r"<[^<>]*>", lambda _: self._part(), rule)
        if self._random.random() < 0.1:  # a place in the middle of it
            place = self._random.randrange(len(path) + 1)
            path = path[:place] + self._part() + path[place:]
        query = "&".join(f"{self._name()}={self._part()}" for _ in range(self._random.choice((0, 0, 1, 1, 2, 3, 8))))
        return "/" + path.lstrip("/") + (f"?{query}" if query else "")

    def _part(self) -> str:
        text = self._text()
        # Already encoded, encoded once, or encoded twice.
        return quote_from_bytes(text, safe="%" if self._random.random() < 0.5 else "/:") if text else ""

    def _name(self) -> str:
        name = self._random.choice(NAMES)
        return self._random.choice((name, name, name, f"{name}[$ne]", f"{name}[]", quote_from_bytes(self._text())))

    def _text(self) -> bytes:
        text = self._random.choice(TEXTS)
        if text and self._random.random() < 0.1:
            place = self._random.randrange(len(text))
            text = text[:place] + bytes([self._random.randrange(256)]) + text[place + 1 :]
        return text

    def _body(self) -> tuple[bytes, str]:
        made = self._random.choice((self._json_body, self._form_body, self._multipart_body, self._noise))
        return made()

    def _json_body(self) -> tuple[bytes, str]:
        text = json.dumps(self._value(0))
        return self._torn(text.encode()), "application/json"

    def _form_body(self) -> tuple[bytes, str]:
        fields = (f"{self._name()}={self._part()}" for _ in range(self._random.randrange(6)))
        return self._torn("&".join(fields).encode()), "application/x-www-form-urlencoded"

    def _multipart_body(self) -> tuple[bytes, str]:
        parts = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
            % (self._text()[:50].replace(b"\n", b""), self._text()[:50].replace(b"\n", b""), self._text())
            for _ in range(self._random.randrange(5))
        )
        return self._torn(parts + b"--x--\r\n"), "multipart/form-data; boundary=x"

    def _noise(self) -> tuple[bytes, str]:
        return self._random.randbytes(self._random.choice((0, 1, 100, 70_000))), self._random.choice(HEADER_VALUES[:7])

    def _value(self, depth: int) -> object:
        kind = self._random.randrange(9 if depth < 4 else 6)
        if kind < 2:
            return self._text().decode("utf-8", "replace")
        if kind < 6:
            return self._random.choice((None, True, -1, 10**30, 1e308, 0.1, "digits", "viewer", "private", "ana", []))
        if kind == 6:
            return [self._value(depth + 1) for _ in range(self._random.randrange(4))]
        keys = (
            "visibility",
            "members",
            "people",
            "groups",
            "shared_with",
            "name",
            "kind",
            "role",
            "_id",
            "$where",
            "owner",
        )
        return {self._random.choice(keys): self._value(depth + 1) for _ in range(self._random.randrange(4))}

    def _torn(self, body: bytes) -> bytes:
        return body[: self._random.randrange(len(body) + 1)] if self._random.random() < 0.15 else body

    def _some(self, choices: Sequence[str], most: int) -> list[str]:
        return self._random.sample(choices, self._random.randrange(most + 1))


def rules_of(app: Any) -> dict[str, set[str]]:
    """The addresses of a Flask app and what each answers; one address may have several views."""
    found: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        found.setdefault(rule.rule, set()).update(rule.methods - {"HEAD", "OPTIONS"})
    return found
