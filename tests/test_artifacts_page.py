"""The artifacts tab: files that a run made are shown where that is safe, and always leave as harmless bytes."""

from __future__ import annotations

import html
import re
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from artifact_keeping import HOSTILE_ARTIFACTS, PNG, SCRIPT, keep_artifact, make_png
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.image_head import ImageHead, read_image_head
from cloister.viewer.user_files import NAME_LIMIT_BYTES, content_disposition, download_name
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from running_viewer import insert_run

Documents = Database[dict[str, Any]]


@pytest.fixture
def client(store: RunStore) -> FlaskClient:
    return create_app(store).test_client()


@pytest.fixture(autouse=True)
def _run(database: Documents) -> None:
    insert_run(database, 1)


def keys_on(client: FlaskClient) -> list[str]:
    return re.findall(r'class="artifact-open" href="\?show=([0-9a-f]{16})"', client.get("/runs/1/artifacts").text)


def only_key(client: FlaskClient) -> str:
    [key] = keys_on(client)
    return key


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


class TestList:
    def test_the_list_says_name_kind_size_and_digest(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        keep_artifact(database, tmp_path, "models/best.pt", b"\0" * 2048)
        page = text_of(client.get("/runs/1/artifacts").text)
        assert "models best.pt PyTorch 2.0 KiB just now" in page
        assert "e5a00aa999" in page

    def test_two_artifacts_of_one_name_or_of_the_same_bytes_are_two(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        for name, content in (("a.txt", b"1"), ("a.txt", b"2"), ("b.txt", b"1")):
            keep_artifact(database, tmp_path, name, content)
        contents = [client.get(f"/runs/1/artifacts/{key}/download").data for key in keys_on(client)]
        assert sorted(contents) == [b"1", b"1", b"2"]

    @pytest.mark.parametrize("address", ["/runs/1/artifacts", "/runs/1/artifacts/list"])
    def test_a_run_without_artifacts_says_how_to_keep_one(self, client: FlaskClient, address: str) -> None:
        assert "run.log_artifact" in client.get(address).text

    def test_an_unknown_artifact_has_no_address(self, client: FlaskClient) -> None:
        for path in ("artifacts/0123456789abcdef/download", "artifacts/..%2f..%2fetc/download", "artifacts/x/image"):
            assert client.get(f"/runs/1/{path}").status_code == 404
        assert client.get("/runs/1/artifacts?show=nothing").status_code == 200


class TestDownload:
    @pytest.mark.parametrize(("name", "content", "content_type"), HOSTILE_ARTIFACTS, ids=range(len(HOSTILE_ARTIFACTS)))
    def test_hostile_files_leave_whole_but_harmless(
        self,
        client: FlaskClient,
        database: Documents,
        tmp_path: Path,
        name: str,
        content: bytes,
        content_type: str | None,
    ) -> None:
        keep_artifact(database, tmp_path, name, content, content_type=content_type)

        response = client.get(f"/runs/1/artifacts/{only_key(client)}/download")

        assert response.data == content
        assert response.headers["Content-Disposition"].startswith("attachment; filename=")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert response.mimetype in ("application/octet-stream", "text/plain", "image/png")
        assert "Set-Cookie" not in response.headers
        assert "X-Own" not in response.headers
        assert response.content_length == len(content)

    @pytest.mark.parametrize(("name", "content", "content_type"), HOSTILE_ARTIFACTS, ids=range(len(HOSTILE_ARTIFACTS)))
    def test_hostile_files_add_no_markup_to_the_page(
        self,
        client: FlaskClient,
        database: Documents,
        tmp_path: Path,
        name: str,
        content: bytes,
        content_type: str | None,
    ) -> None:
        keep_artifact(database, tmp_path, name, content, content_type=content_type)
        page = client.get("/runs/1/artifacts").text
        assert "<script>document" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page

    @settings(deadline=None, max_examples=300)
    @given(st.text(max_size=600))
    def test_any_name_becomes_one_visible_short_file_name(self, name: str) -> None:
        safe = download_name(name)
        header = content_disposition(name)
        assert safe
        assert len(safe.encode()) <= NAME_LIMIT_BYTES
        assert not set('/\\<>:"|?*') & set(safe)
        assert safe not in (".", "..")
        assert header.isascii()
        assert header.isprintable()
        assert unquote(header.split("filename*=UTF-8''")[1]) == safe

    def test_the_ending_of_a_long_name_stays(self) -> None:
        assert download_name("é" * 400 + ".safetensors").endswith("é.safetensors")


class TestPreview:
    def preview(self, client: FlaskClient) -> str:
        return client.get("/runs/1/artifacts").text

    def test_an_image_is_shown_with_its_size_reserved(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        keep_artifact(database, tmp_path, "a.png", PNG)
        key = only_key(client)
        assert f'<img src="/runs/1/artifacts/{key}/image"' in self.preview(client)
        assert 'width="16" height="12"' in self.preview(client)
        response = client.get(f"/runs/1/artifacts/{key}/image")
        assert (response.mimetype, response.data) == ("image/png", PNG)
        assert "sandbox" in response.headers["Content-Security-Policy"]

    def test_a_polyglot_is_an_image_whatever_its_uploader_called_it(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        keep_artifact(database, tmp_path, "x.html", PNG + SCRIPT, content_type="text/html")
        assert client.get(f"/runs/1/artifacts/{only_key(client)}/image").mimetype == "image/png"

    @pytest.mark.parametrize("name", ["x.png", "x.svg", "x.html"])
    def test_what_is_no_image_inside_is_never_served_as_one(
        self, client: FlaskClient, database: Documents, tmp_path: Path, name: str
    ) -> None:
        keep_artifact(database, tmp_path, name, b"<svg>" + SCRIPT, content_type="image/png")
        assert client.get(f"/runs/1/artifacts/{only_key(client)}/image").status_code == 415

    def test_an_image_of_too_many_pixels_is_refused_with_its_numbers(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        keep_artifact(database, tmp_path, "huge.png", make_png(4, 4, claimed=(50_000, 50_000)))
        assert "50,000 by 50,000 pixels are 2,500 megapixels" in text_of(self.preview(client))
        assert client.get(f"/runs/1/artifacts/{only_key(client)}/image").status_code == 415

    def test_a_csv_is_a_table_of_at_most_200_rows(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        rows = "".join(f"case_{number},0.{number},=cmd|calc\n" for number in range(300))
        keep_artifact(database, tmp_path, "cases.csv", f"case,dice,note\n{rows}".encode())
        page = self.preview(client)
        assert page.count("<tr>") == 201
        assert "The first 200 rows and 3 columns are shown." in page

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"a,b\n",
            b'a,b\n"unclosed,1\n',
            b"a,b\n1\n1,2,3\n",
            b"\xff\xfe\x00",
            b"a,b\n" + b"x" * 300_000 + b",1\n",
        ],
        ids=["empty", "header-only", "unclosed-quote", "ragged", "utf16", "huge-cell"],
    )
    def test_an_odd_csv_never_breaks_the_page(
        self, client: FlaskClient, database: Documents, tmp_path: Path, content: bytes
    ) -> None:
        keep_artifact(database, tmp_path, "odd.csv", content)
        assert client.get("/runs/1/artifacts").status_code == 200

    def test_json_is_shown_highlighted_and_cut_at_256_kib(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        keep_artifact(database, tmp_path, "big.json", b'{"a": "a value of some length that fills the line"}\n' * 10_000)
        page = self.preview(client)
        assert '<span class="nt">' in page
        assert re.search(r"The first 25\d\.\d KiB of 507\.8 KiB are shown", text_of(page))

    def test_other_files_are_for_download_alone(self, client: FlaskClient, database: Documents, tmp_path: Path) -> None:
        keep_artifact(database, tmp_path, "model.pt", bytes(range(256)) * 100)
        assert "No preview" in self.preview(client)


class TestDamage:
    @pytest.mark.parametrize("name", ["a.txt", "a.png"])
    def test_a_file_with_a_missing_chunk_is_named_as_damaged_and_the_rest_works(
        self, client: FlaskClient, database: Documents, tmp_path: Path, name: str
    ) -> None:
        content = (PNG + b"x" * 600_000) if name.endswith("png") else b"x" * 600_000
        damaged = keep_artifact(database, tmp_path, name, content)
        keep_artifact(database, tmp_path, "whole.txt", b"whole\n")
        database["fs.chunks"].delete_many({"files_id": damaged, "n": {"$gt": 0 if name.endswith("png") else -1}})

        first, second = keys_on(client)

        assert "This file is damaged" in client.get(f"/runs/1/artifacts?show={first}").text
        assert client.get(f"/runs/1/artifacts/{first}/image").status_code == 415
        assert client.get(f"/runs/1/artifacts/{first}/download").status_code == 410
        assert client.get(f"/runs/1/artifacts/{second}/download").data == b"whole\n"

    def test_a_file_that_is_gone_is_said_to_be(self, client: FlaskClient, database: Documents, tmp_path: Path) -> None:
        gone = keep_artifact(database, tmp_path, "a.txt", b"text")
        database["fs.files"].delete_one({"_id": gone})
        key = only_key(client)
        assert "The database holds no file" in html.unescape(client.get("/runs/1/artifacts").text)
        assert client.get(f"/runs/1/artifacts/{key}/download").status_code == 410

    def test_entries_of_foreign_shape_are_listed_as_far_as_they_go(
        self, client: FlaskClient, database: Documents
    ) -> None:
        entries = [{"name": None}, {"file_id": 7}, "text", {"name": 5, "size": "big", "logged_at": "now"}]
        database["runs"].update_one({"_id": 1}, {"$set": {"artifacts": entries}})
        assert len(keys_on(client)) == 4


class TestImageHead:
    @pytest.mark.parametrize(
        ("head", "expected"),
        [
            pytest.param(PNG, ImageHead("image/png", 16, 12), id="png"),
            pytest.param(b"GIF89a" + struct.pack("<HH", 300, 200), ImageHead("image/gif", 300, 200), id="gif"),
            pytest.param(
                b"\xff\xd8\xff\xe1\x00\x08Exif\0\0\xff\xc2\x00\x11\x08" + struct.pack(">HH", 200, 300) + b"\0" * 8,
                ImageHead("image/jpeg", 300, 200),
                id="jpeg",
            ),
            pytest.param(
                b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + struct.pack("<I", 299)[:3] + struct.pack("<I", 199)[:3],
                ImageHead("image/webp", 300, 200),
                id="webp",
            ),
            pytest.param(b"<svg xmlns=", None, id="svg"),
            pytest.param(b"\x89PNG\r\n\x1a\n", None, id="png-cut"),
            pytest.param(b"GIF89a\0\0\0\0", None, id="gif-of-no-size"),
            pytest.param(b"\xff\xd8\xff" + b"\xff" * 1000, None, id="jpeg-of-fill-bytes"),
        ],
    )
    def test_kind_and_size_are_read_from_the_first_bytes(self, head: bytes, expected: ImageHead | None) -> None:
        assert read_image_head(head) == expected

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"RIFF0000WEBP", b""]), st.binary())
    def test_any_bytes_are_read_without_an_error(self, start: bytes, rest: bytes) -> None:
        read_image_head(start + rest)
