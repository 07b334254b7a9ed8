"""What is shown of a run's files beside images and tables: sounds, PDFs, notebooks, JSON, all of them in a tree."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from artifact_keeping import SCRIPT, keep_artifact
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.artifact_preview import JsonPreview, NotebookPreview, preview_file
from cloister.viewer.file_tree import build_file_tree
from cloister.viewer.media_head import read_media_head
from cloister.viewer.pdf_frame import FILES
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database
from running_viewer import insert_run
from seeded_runs import text_of
from signing_in import emptied

Documents = Database[dict[str, Any]]
_numbers = itertools.count(1)


class Held(io.BytesIO):
    """A file's bytes as a preview reads them."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.size = len(content)


@pytest.fixture(scope="module")
def client(one_database: Documents) -> FlaskClient:
    return create_app(RunStore(emptied(one_database))).test_client()


@pytest.fixture
def run(client: FlaskClient, one_database: Documents) -> int:
    """A run of its own for the test."""
    number = next(_numbers)
    insert_run(one_database, number)
    return number


def page_of(client: FlaskClient, run: int) -> str:
    answer = client.get(f"/runs/{run}/artifacts")
    assert answer.status_code == 200
    return answer.text


def keys_of(client: FlaskClient, run: int) -> list[str]:
    return re.findall(r'class="artifact-open" href="\?show=([0-9a-f]{16})"', page_of(client, run))


WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(200)
MP3 = b"\xff\xfb\x90\x00" + bytes(413) + b"\xff\xfb\x90\x00" + bytes(413)
FILM = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(600)


class TestMedia:
    @pytest.mark.parametrize(
        ("head", "media_type"),
        [
            pytest.param(WAV, "audio/wav", id="wav"),
            pytest.param(MP3, "audio/mpeg", id="mp3"),
            pytest.param(b"ID3\x04" + bytes(99), "audio/mpeg", id="mp3-tagged"),
            pytest.param(b"fLaC" + bytes(99), "audio/flac", id="flac"),
            pytest.param(b"OggS" + bytes(99), "audio/ogg", id="ogg"),
            pytest.param(b"OggS" + bytes(24) + b"\x80theora", "video/ogg", id="theora"),
            pytest.param(FILM, "video/mp4", id="mp4"),
            pytest.param(FILM.replace(b"isom", b"M4A ", 1), "audio/mp4", id="m4a"),
            pytest.param(b"\x1a\x45\xdf\xa3" + bytes(8) + b"webm", "video/webm", id="webm"),
            pytest.param(FILM.replace(b"isom", b"avif", 1), None, id="avif"),
            pytest.param(b"\xff\xfb\x90\x00" + bytes(900), None, id="one-mpeg-frame-by-chance"),
            pytest.param(b"RIFF\x24\x00\x00\x00WEBP", None, id="webp"),
            pytest.param(b"<html>", None, id="html"),
            pytest.param(b"", None, id="empty"),
        ],
    )
    def test_a_sound_or_a_film_is_known_by_its_first_bytes(self, head: bytes, media_type: str | None) -> None:
        found = read_media_head(head)
        assert (found.media_type if found else None) == media_type

    @given(st.binary(max_size=300))
    def test_any_first_bytes_are_read_without_an_error(self, head: bytes) -> None:
        read_media_head(head)

    def test_it_is_played_in_parts_and_never_as_a_page(
        self, client: FlaskClient, one_database: Documents, run: int, tmp_path: Path
    ) -> None:
        keep_artifact(one_database, tmp_path, "tone<b>.wav", WAV, content_type="text/html", run_id=run)
        [key] = keys_of(client, run)
        assert f'src="/runs/{run}/artifacts/{key}/media"' in page_of(client, run)

        part = client.get(f"/runs/{run}/artifacts/{key}/media", headers={"Range": "bytes=4-11"})

        assert (part.status_code, part.data) == (206, WAV[4:12])
        assert part.mimetype == "audio/wav"
        assert part.headers["Content-Disposition"].startswith("inline")
        assert "sandbox" in part.headers["Content-Security-Policy"]
        assert part.headers["X-Content-Type-Options"] == "nosniff"
        assert client.get(f"/runs/{run}/artifacts/{key}/download").mimetype == "application/octet-stream"

    def test_nothing_else_is_played_or_shown_as_a_pdf(
        self, client: FlaskClient, one_database: Documents, run: int, tmp_path: Path
    ) -> None:
        keep_artifact(one_database, tmp_path, "page.mp4", SCRIPT, content_type="video/mp4", run_id=run)
        for kind in ("media", "pdf", "image"):
            refused = client.get(f"/runs/{run}/artifacts/{keys_of(client, run)[0]}/{kind}")
            assert refused.status_code == 415
            assert SCRIPT not in refused.data


class TestPdf:
    def test_its_bytes_are_a_download_and_its_frame_reaches_nothing(
        self, client: FlaskClient, one_database: Documents, run: int, tmp_path: Path
    ) -> None:
        keep_artifact(one_database, tmp_path, "paper.pdf", b"%PDF-1.4\n", content_type="application/pdf", run_id=run)
        [key] = keys_of(client, run)
        assert f'data-pdf="/runs/{run}/artifacts/{key}/pdf"' in page_of(client, run)
        file = client.get(f"/runs/{run}/artifacts/{key}/pdf")
        assert file.mimetype == "application/octet-stream"
        assert file.headers["Content-Disposition"].startswith("attachment")

        frame = client.get("/pdf-frame")
        policy = {words.split()[0]: words.split()[1:] for words in frame.headers["Content-Security-Policy"].split("; ")}
        assert policy["default-src"] == ["'none'"]
        assert policy["script-src"] == ["'self'"]
        assert policy["sandbox"] == ["allow-scripts"]
        assert "connect-src" not in policy
        assert frame.headers["X-Frame-Options"] == "SAMEORIGIN"
        for name, (_, media_type) in FILES.items():
            with client.get(f"/pdf-frame/{name}") as sent:  # a file stays open until its answer is closed
                assert sent.mimetype == media_type
        assert client.get("/pdf-frame/../app.py").status_code == 404


class TestNotebooksAndJson:
    def test_a_notebook_is_shown_as_source_without_its_outputs(
        self, client: FlaskClient, one_database: Documents, run: int, tmp_path: Path
    ) -> None:
        cells = [
            {"cell_type": "markdown", "source": "# Why <b>"},
            {
                "cell_type": "code",
                "execution_count": 7,
                "source": ["x = 1\n", "x"],
                "outputs": [{"data": SCRIPT.decode()}],
            },
            "no cell",
        ]
        notebook = json.dumps({"cells": cells, "metadata": 3}).encode()
        keep_artifact(one_database, tmp_path, "look.ipynb", notebook, run_id=run)
        page = page_of(client, run)
        assert "# Why <b>" in text_of(page)
        assert "[7]" in page
        assert "1 output, in the download" in text_of(page)
        assert "PWNED" not in page

    @pytest.mark.parametrize(
        "content", [b"", b"[]", b"{", b'{"cells": 3}', b"[" * 9000, b'{"cells": [{"source": [1]}]}']
    )
    def test_what_only_is_called_a_notebook_is_shown_as_far_as_it_goes(self, content: bytes) -> None:
        preview = preview_file(Held(content), "odd.ipynb")
        assert isinstance(preview, NotebookPreview) == content.endswith(b"]}")

    @pytest.mark.parametrize(
        ("content", "is_tree"),
        [
            pytest.param(b'{"a": {"b": [{"c": 1}]}}', True, id="nested"),
            pytest.param(b'[{"a": 1}, {"a": 2}]', True, id="list"),
            pytest.param(b"[]", False, id="empty"),
            pytest.param(b"3", False, id="number"),
            pytest.param(b"[" * 9000 + b"]" * 9000, False, id="deep"),
            pytest.param(b"[" * 500 + b"1" + b"]" * 500, False, id="deeper-than-a-tree"),
            pytest.param(b"[" + b"1," * 5000 + b"1]", False, id="many"),
            pytest.param(b'{"a": ' + b"9" * 6000 + b"}", False, id="long-number"),
            pytest.param(b'{"\xff": 1}', False, id="no-utf-8"),
        ],
    )
    def test_json_is_a_tree_where_that_can_be_read(self, content: bytes, is_tree: bool) -> None:
        assert isinstance(preview_file(Held(content), "values.json"), JsonPreview) is is_tree


class TestTree:
    def test_folders_that_hold_one_folder_stand_in_one_line(self) -> None:
        tree = build_file_tree((path, path) for path in ("a/b/c/1", "a/b/c/2", "x/1", "x/y/2", "top"))
        assert [(folder.name, folder.count) for folder in tree.folders] == [("a/b/c", 2), ("x", 2)]
        assert tree.files == ["top"]
        assert [folder.name for folder in tree.folders[1].folders] == ["y"]

    def test_large_trees_are_folded_but_for_the_file_that_is_shown(self) -> None:
        tree = build_file_tree(((f"{n % 10}/{n}", n) for n in range(200)), "3/3")
        assert [folder.name for folder in tree.folders if folder.is_open] == ["3"]

    def test_names_of_a_thousand_folders_break_nothing(
        self, client: FlaskClient, one_database: Documents, run: int, tmp_path: Path
    ) -> None:
        for name in ("a/" * 1500 + "deep.txt", "//", "/", "../../up.txt", "a//b.txt"):
            keep_artifact(one_database, tmp_path, name, name.encode(), run_id=run)
        assert len(keys_of(client, run)) == 5
