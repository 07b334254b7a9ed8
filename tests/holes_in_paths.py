"""Published holes about paths, names and addresses: each function tries one on a site with accounts."""

from __future__ import annotations

import hashlib
import re
import sys
from itertools import product
from typing import Any

import pytest
from artifact_keeping import keep_artifact
from cloister.viewer.accounts.users import add_user, find_user
from cloister.viewer.user_files import content_disposition, download_name
from guarded_site import (
    DIGITS_RUN,
    MISSING_RUN,
    Site,
    filled,
)
from holes_in_code import PACKAGE
from running_viewer import insert_run

OPENED: list[str] | None = None  # while it is a list, every file that is opened is noted

_hooked = False


def watch_opening(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and OPENED is not None and isinstance(arguments[0], (str, bytes)):
        OPENED.append(str(arguments[0]))


PATHS = (
    "../../{}",
    "..\\..\\{}",
    "{}",
    "%2e%2e%2f%2e%2e%2f{}",
    "%252e%252e%252f{}",
    "..%2f..%2f{}",
    "..%00/{}",
    "C:\\{}",
)
PATHS += ("//localhost/{}", "....//....//{}", ".%2e/.%2e/{}", "{}. ", "file://{}")

WRAPPED = {
    2: ("x#{}", "#{}", "x%23{}"),
    3: ("x;{}", "x;a={}", "x?{}", "x%3f{}", "x%3b{}"),
    4: ("file:{}", "FILE:{}", "x:{}", ":{}", "ﬁle:{}"),
}


def no_path_leads_out(site: Site, wrap: tuple[str, ...] = ("{}",)) -> None:
    """Nothing outside is opened or answered, whatever stands in whichever part of whichever address."""
    global OPENED, _hooked
    canary = site.folder / "canary" / "etc" / "passwd"
    canary.parent.mkdir(parents=True, exist_ok=True)
    canary.write_text("root:canary")
    if not _hooked:
        sys.addaudithook(watch_opening)  # for the life of the process; it notes only while somebody looks
        _hooked = True
    tried = 0
    OPENED = []
    try:
        for _, rule, names in site.routes():
            for name, path, around in product(
                sorted(names - {"run_id"}), PATHS if wrap == ("{}",) else PATHS[:1], wrap
            ):
                address = filled(rule, {name: around.format(path.format(str(canary)))})
                answer = site.get(address)
                assert answer.status_code < 500, address
                assert b"root:canary" not in answer.data, address
                tried += 1
        assert not [path for path in OPENED if "canary" in path]
        for path, around in product(PATHS, wrap):  # one page of a run: which ids there are is decided for all alike
            assert site.get(f"/runs/{around.format(path.format(canary))}").status_code in (308, 404)
        assert tried > 40
    finally:
        OPENED = None
        canary.unlink()


def deleting_a_twice_encoded_name_deletes_nothing(site: Site) -> None:
    before = site.state()
    for _, rule, names in [*site.routes("DELETE"), *site.routes("POST"), *site.routes("PUT")]:
        for name, path in product(sorted(names), ("%252e%252e%252fdigits", "..%2fdigits", "%2564igits")):
            address = filled(rule, {"run_id": str(MISSING_RUN), "project": "nowhere", name: path})
            method = "DELETE" if "groups" in rule else "POST"
            answer = site.client("admin").open(address, method=method, headers={"Origin": "http://localhost"})
            assert answer.status_code in (303, 308, 400, 403, 404, 405, 415), (address, answer.status_code)
    assert site.state() == before


def names_of_files_are_labels(site: Site) -> None:
    hostile = [
        "../../x",
        "/etc/cron.d/x",
        "..\\x",
        "C:\\x",
        "a/../../b",
        ".",
        "..",
        "",
        "x\0y",
        "~/.ssh/authorized_keys",
    ]
    for name in hostile:
        assert not set(download_name(name)) & set('/\\\0:"<>|?*'), name
        assert download_name(name).strip(". "), name


def no_flag_lowers_a_check(site: Site) -> None:
    flags = ["is_prompt", "mlflow.prompt.is_prompt", "trusted", "safe", "cloister.trusted"]
    plain = site.get(only_artifact(site))
    site.database["runs"].update_one(
        {"_id": DIGITS_RUN}, {"$set": {"cloister.tags": flags, "info": dict.fromkeys(flags, True)}}
    )
    flagged = site.get(only_artifact(site))
    for name in ("Content-Disposition", "Content-Security-Policy", "Content-Type", "X-Content-Type-Options"):
        assert plain.headers[name] == flagged.headers[name]
    for flag in ("inline=1", "raw=true", "trusted=1", "is_prompt=true", "disposition=inline", "content_type=text/html"):
        assert (
            site.get(f"{only_artifact(site)}?{flag}")
            .headers.get("Content-Disposition", "attachment")
            .startswith("attachment")
        )


def only_artifact(site: Site) -> str:
    entry = site.database["runs"].find_one({"_id": DIGITS_RUN})["artifacts"][0]
    return f"/api/v1/runs/{DIGITS_RUN}/artifacts/{entry['file_id']}"


def ids_are_no_patterns(site: Site) -> None:
    before = site.state()
    for text in ("*", "?", "[0-9]", "1*", "{1,2}", "**", "id:*", "%2a", "1,2", "-", "~"):
        assert site.get(f"/runs/{text}").status_code == 404, text
        assert site.get(f"/api/v1/runs/{text}").status_code == 404, text
        assert site.client("admin").delete(f"/api/v1/runs/{text}").status_code in (403, 404, 405)
    assert site.state() == before


def names_equal_after_decoding_are_one(site: Site) -> None:
    add_user(site.database, "zoë")
    for spelled in ("ZOË", "zoe\u0308", "Zoe\u0308"):
        assert find_user(site.database, spelled) is not None
        with pytest.raises(ValueError, match="There is an account"):
            add_user(site.database, spelled)
    insert_run(site.database, 29, project="a%64b")
    assert site.get("/p/a%2564b").status_code == 200  # decoded once: the project that is called so
    assert site.get("/p/a%64b").status_code == 404  # and not the one called "adb"


def names_for_other_systems_are_harmless(site: Site) -> None:
    reserved = ("CON", "aux.txt", "NUL", "com1", "LPT9.tar.gz", "PRN.", "nul ", "CONIN$", "COM\u00b9")
    for name in reserved:
        stem = download_name(name).split(".")[0].rstrip(" .").upper()
        assert stem not in {"CON", "AUX", "NUL", "COM1", "LPT9", "PRN", "CONIN$", "COM\u00b9"}, name
    for path in ("CON", "AUX.txt", "NUL ", "//srv/x", "\\\\srv\\x", "js/CON", "js/theme.js:$DATA", "js/theme.js."):
        assert site.get(f"/static/{path}").status_code in (404, 308), path


def headers_take_no_name_over(site: Site) -> None:
    for name in ('a"; filename=x.html', "a\r\nSet-Cookie: x=1", "../../x", "a;b", "é\u2028", "\x00", "=?utf-8?q?x?="):
        value = content_disposition(name)
        assert value.isascii()
        assert not set(value) & set("\r\n\0")
        assert value.count('"') == 2
        assert re.fullmatch(r"attachment; filename=\"[^\"/\\]+\"; filename\*=UTF-8''[\w.%~!*()'-]+", value), value
        keep_artifact(site.database, site.folder, name, b"x", run_id=DIGITS_RUN)
    for entry in site.database["runs"].find_one({"_id": DIGITS_RUN})["artifacts"]:
        answer = site.get(
            f"/api/v1/runs/{DIGITS_RUN}/artifacts/{entry['file_id']}", headers={"Content-Disposition": "x"}
        )
        assert "Set-Cookie" not in answer.headers


def no_secret_lies_where_files_are_served(site: Site) -> None:
    for path in (PACKAGE / "viewer" / "static").rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or path.suffix in (
            ".js",
            ".mjs",
            ".css",
            ".svg",
            ".woff2",
            ".txt",
            ".md",
            "",
            ".LICENSE",
            ".html",
        ), path
    for name in (
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/templates/base.html",
        "js/../../app.py",
        ".git/config",
        "js/",
        ".",
    ):
        assert site.get(f"/static/{name}").status_code in (404, 308), name


LONG = "x" * 15_000


def giant_names_are_refused_at_the_door(site: Site) -> None:
    for path in (
        f"/p/{LONG}",
        f"/runs/id:{LONG}",
        f"/api/v1/projects/{LONG}",
        f"/api/v1/curves?run=1&metric={LONG}",
        f"/?q={LONG}",
        f"/p/digits?q={LONG}",
        "/api/v1/projects/digits/runs?page_size=1000000000",
    ):
        assert site.get(path).status_code in (200, 400, 404, 414), path
    assert site.get("/api/v1/curves?" + "&".join(f"runs={number}" for number in range(5000))).status_code == 400


def downloads_are_whole(site: Site) -> None:
    chunk = 255 * 1024
    insert_run(site.database, 46)
    for size in (0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk + 7):
        content = hashlib.shake_128(str(size).encode()).digest(size)
        file_id = keep_artifact(site.database, site.folder, f"{size}.bin", content, run_id=46)
        path = f"/api/v1/runs/46/artifacts/{file_id}"
        assert site.get(path).data == content
        if size > 1:
            part = site.get(path, headers={"Range": f"bytes={size // 2}-"})
            assert (part.status_code, part.data) == (206, content[size // 2 :])
