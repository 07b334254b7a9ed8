"""The source tab: what git knew, what was changed, what the files held, said in words where there is nothing."""

from __future__ import annotations

import difflib
import html
import re
from pathlib import Path
from typing import Any

import pytest
from artifact_keeping import store_blob
from cloister.observer.blobs import digest_stream
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.diff_view import LINES_LIMIT, Change, DiffLine, Fold, Unchanged, diff_texts, parse_diff, unquoted
from cloister.viewer.source_view import SOURCE_LIMIT_BYTES, view_source
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from running_viewer import insert_run

Documents = Database[dict[str, Any]]

TRAIN = "import torch\n\n\ndef step(model, batch):\n    loss = dice(model(batch), mask)\n    loss.backward()\n"
COMMIT = "4f2c91a7d0c2aa41b5e0f6a3d1c2b3a4e5f60718"
DIFF = """diff --git a/train.py b/train.py
index 1111111..2222222 100644
--- a/train.py
+++ b/train.py
@@ -43,4 +43,6 @@ def step(model, batch, opt):
     image, mask = batch
-    loss = dice(logits, mask)
+    loss = dice(logits, mask) + focal(
+        logits, mask, gamma=cfg.focal_gamma
+    )
     loss.backward()
     opt.step()
"""


@pytest.fixture
def client(store: RunStore) -> FlaskClient:
    return create_app(store).test_client()


def keep_source(database: Documents, folder: Path, path: str, content: bytes, run_id: int = 1) -> Any:
    file = folder / "source"
    file.write_bytes(content)
    with file.open("rb") as stream:
        digests = digest_stream(stream)
    file_id = store_blob(database, file, digests, path, None)
    entry = {"path": path, "sha256": digests.sha256, "size": digests.size, "file_id": file_id}
    database["runs"].update_one({"_id": run_id}, {"$push": {"cloister.sources": entry}})
    return file_id


def insert_run_with_git(database: Documents, **git: Any) -> None:
    insert_run(database, 1)
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.git": git}})


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


class TestGit:
    @pytest.mark.parametrize(
        ("git", "words"),
        [
            pytest.param(
                {"state": "none", "reason": "/x is in no git repository."}, "Not in a git repository", id="none"
            ),
            pytest.param({"state": "bare", "commit": None}, "A bare repository", id="bare"),
            pytest.param({"state": "error", "reason": "GitTooSlow: stopped."}, "GitTooSlow: stopped.", id="error"),
            pytest.param({"state": "repository", "commit": None, "branch": "main"}, "No commits yet", id="no-commits"),
            pytest.param({}, "Git was not recorded", id="sacred"),
            pytest.param(
                {"state": "repository", "commit": COMMIT, "branch": None, "detached": True}, "detached", id="detached"
            ),
        ],
    )
    def test_every_state_of_git_is_said_in_words(
        self, client: FlaskClient, database: Documents, git: dict[str, Any], words: str
    ) -> None:
        insert_run_with_git(database, **git)
        response = client.get("/runs/1/source")
        assert response.status_code == 200
        assert words in text_of(response.text)

    def test_what_was_left_out_stands_there_with_its_reason(self, client: FlaskClient, database: Documents) -> None:
        left_out = [{"path": ".env", "reason": "may hold secrets", "size": 120}]
        insert_run_with_git(database, state="repository", commit=COMMIT, left_out=left_out, left_out_count=1, diff=DIFF)
        page = text_of(client.get("/runs/1/source").text)
        assert "1 file left out" in page
        assert ".env may hold secrets, 120 B" in page

    def test_a_clean_repository_says_that_nothing_is_uncommitted(
        self, client: FlaskClient, database: Documents
    ) -> None:
        insert_run_with_git(database, state="repository", commit=COMMIT, branch="main", dirty=False, diff="")
        assert "Nothing uncommitted" in client.get("/runs/1/source").text

    def test_changes_that_were_not_kept_are_told_without_a_commit_too(
        self, client: FlaskClient, database: Documents
    ) -> None:
        insert_run_with_git(database, state="repository", commit=None, branch="main", dirty=True)
        answer = client.get("/runs/1/source")
        assert answer.status_code == 200
        assert "changes that were not kept" in text_of(answer.text)


class TestFiles:
    def test_a_file_is_shown_highlighted_with_line_anchors(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        insert_run(database, 1)
        keep_source(database, tmp_path, "organ/train.py", TRAIN.encode())

        page = client.get("/runs/1/source?file=organ/train.py").text

        assert 'id="L5"' in page
        assert '<span class="k">def</span>' in page
        assert "loss.backward()" in text_of(page)

    def test_hostile_source_is_text(self, client: FlaskClient, database: Documents, tmp_path: Path) -> None:
        insert_run(database, 1)
        path = '"><script>alert(1)</script>.py'
        keep_source(database, tmp_path, path, b"x = '<script>alert(2)</script>'\n")
        assert "<script>alert" not in client.get("/runs/1/source", query_string={"file": path}).text

    def test_a_file_is_downloaded_under_its_last_name(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        insert_run(database, 1)
        keep_source(database, tmp_path, "../../etc/train.py", TRAIN.encode())
        response = client.get("/runs/1/source/file", query_string={"path": "../../etc/train.py"})
        assert response.data == TRAIN.encode()
        assert response.headers["Content-Disposition"].startswith('attachment; filename="train.py"')

    def test_only_recorded_files_have_an_address(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        assert client.get("/runs/1/source?file=/etc/passwd").status_code == 404
        assert client.get("/runs/1/source/file?path=/etc/passwd").status_code == 404
        assert client.get("/runs/1/source/diff.patch").status_code == 404

    def test_a_file_whose_bytes_are_gone_leaves_the_page_working(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        insert_run(database, 1)
        file_id = keep_source(database, tmp_path, "train.py", TRAIN.encode())
        database["fs.chunks"].delete_many({"files_id": file_id})

        assert "This file cannot be read" in client.get("/runs/1/source?file=train.py").text
        assert client.get("/runs/1/source/file?path=train.py").status_code == 410


class TestSourceView:
    @settings(deadline=None, max_examples=60)
    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=300))
    def test_the_words_of_all_lines_are_the_text(self, text: str) -> None:
        for path in ("a.py", "a.json", "a.unknown"):
            view = view_source(text.encode(), path=path, total_bytes=len(text.encode()))
            shown = "\n".join("".join(word.text for word in line.words) for line in view.lines)
            assert shown == text.removesuffix("\n")

    def test_a_large_file_is_cut_at_a_line_and_says_how_much_is_shown(self) -> None:
        line = b"x = 1  # comment\n"
        content = line * 40_000
        view = view_source(content, path="a.py", total_bytes=len(content))
        assert view.cut
        assert view.shown_bytes <= SOURCE_LIMIT_BYTES
        assert view.shown_bytes == len(line) * len(view.lines)

    def test_a_line_of_a_megabyte_is_cut(self) -> None:
        view = view_source(b"x" * 500_000, path="a.js", total_bytes=500_000)
        assert view.lines[0].cut_chars == 498_000

    def test_binary_files_have_no_lines(self) -> None:
        assert view_source(b"\x7fELF\0\0", path="a.py", total_bytes=6).binary


class TestDiff:
    def test_changed_words_are_marked_and_unchanged_lines_are_folded(self) -> None:
        [file] = parse_diff(DIFF).files

        fold, _, change, _ = file.blocks

        assert (file.path, file.added, file.removed) == ("train.py", 3, 1)
        assert fold == Fold(42, "def step(model, batch, opt):")
        assert isinstance(change, Change)
        assert [piece.text for piece in change.added[0].pieces if piece.marked] == [" + focal("]
        assert [line.new for line in change.added] == [44, 45, 46]

    def test_the_page_shows_files_counts_and_folds(self, client: FlaskClient, database: Documents) -> None:
        insert_run_with_git(database, state="repository", commit=COMMIT, branch="main", diff=DIFF, changed_count=1)
        page = text_of(client.get("/runs/1/source").text)
        assert "42 unchanged lines" in page
        assert "+3 \u22121" in page

    def test_the_patch_is_downloaded_as_it_was_recorded(self, client: FlaskClient, database: Documents) -> None:
        insert_run_with_git(database, state="repository", commit=COMMIT, diff=DIFF)
        response = client.get("/runs/1/source/diff.patch")
        assert response.data == DIFF.encode()
        assert f"run-1-{COMMIT[:12]}.patch" in response.headers["Content-Disposition"]

    def test_a_diff_kept_as_a_file_is_shown_too(self, client: FlaskClient, database: Documents, tmp_path: Path) -> None:
        insert_run_with_git(database, state="repository", commit=COMMIT, diff=DIFF[:60], diff_bytes=len(DIFF))
        file_id = keep_source(database, tmp_path, "git.diff", DIFF.encode())
        database["runs"].update_one({"_id": 1}, {"$set": {"cloister.git.diff_file": file_id}})
        assert "42 unchanged lines" in text_of(client.get("/runs/1/source").text)
        assert client.get("/runs/1/source/diff.patch").data == DIFF.encode()

    @settings(deadline=None, max_examples=80)
    @given(st.lists(st.sampled_from("abcdef"), max_size=30), st.lists(st.sampled_from("abcdef"), max_size=30))
    def test_old_and_new_text_can_be_read_out_of_a_whole_diff(self, old: list[str], new: list[str]) -> None:
        diff = diff_texts("\n".join(old), "\n".join(new), path="x", context=100)
        if old == new:
            assert diff.files == ()
            return
        [file] = diff.files
        assert read_side(file.blocks, "old") == old
        assert read_side(file.blocks, "new") == new
        assert file.added - file.removed == len(new) - len(old)

    @settings(deadline=None, max_examples=80)
    @given(st.lists(st.integers(0, 60), max_size=6, unique=True))
    def test_folds_and_lines_account_for_every_line_number(self, changed: list[int]) -> None:
        old = [f"line {number}" for number in range(61)]
        new = [f"{line} changed" if number in changed else line for number, line in enumerate(old)]
        for file in diff_texts("\n".join(old), "\n".join(new), path="x").files:
            expected = 1
            for block in file.blocks:
                if isinstance(block, Fold):
                    expected += block.count
                    continue
                lines = block.lines if isinstance(block, Unchanged) else block.added
                assert [line.new for line in lines] == list(range(expected, expected + len(lines)))
                expected += len(lines)

    def test_new_deleted_renamed_and_binary_files_are_told_apart(self) -> None:
        text = (
            "diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x\n"
            "diff --git a/old.py b/old.py\ndeleted file mode 100644\n--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
            "diff --git a/a b.py b/c d.py\nsimilarity index 100%\nrename from a b.py\nrename to c d.py\n"
            "diff --git a/x.png b/x.png\nBinary files a/x.png and b/x.png differ\n"
        )
        files = parse_diff(text).files
        assert [(file.path, file.kind) for file in files] == [
            ("new.py", "added"), ("old.py", "removed"), ("c d.py", "renamed"), ("x.png", "changed"),
        ]  # fmt: skip
        assert files[3].notes == ("Binary file, not shown",)

    def test_a_line_that_looks_like_a_header_stays_a_line(self) -> None:
        lines = "--- a/y\n-diff --git a/z b/z\n+++ b/y\n+@@ -1 +1 @@\n"
        text = f"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n{lines}"
        [file] = parse_diff(text).files
        assert (file.path, file.added, file.removed) == ("x", 2, 2)

    def test_names_in_git_quotes_are_read(self) -> None:
        assert unquoted('"caf\\303\\251 \\"x\\"\\n.py"') == 'café "x"\n.py'

    def test_a_diff_that_fills_the_page_says_what_is_hidden(self) -> None:
        lines = "".join(f"+line {number}\n" for number in range(LINES_LIMIT + 500))
        text = f"diff --git a/x b/x\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,{LINES_LIMIT + 500} @@\n{lines}"
        [file] = parse_diff(text).files
        assert file.hidden == 500
        assert file.added == LINES_LIMIT + 500

    @settings(deadline=None, max_examples=150)
    @given(st.text(alphabet='diff -git@+,019ab/\n\\"\t', max_size=200))
    def test_any_text_at_all_is_read_without_an_error(self, text: str) -> None:
        parse_diff(text)
        parse_diff(f"diff --git a/x b/x\n@@ -1,3 +1,3 @@\n{text}")


def read_side(blocks: tuple[Any, ...], side: str) -> list[str]:
    found: list[str] = []
    for block in blocks:
        lines: tuple[DiffLine, ...] = ()
        if isinstance(block, Unchanged):
            lines = block.lines
        elif isinstance(block, Change):
            lines = block.removed if side == "old" else block.added
        found += ["".join(piece.text for piece in line.pieces) for line in lines]
    return found


def test_our_reading_agrees_with_difflib_on_counts() -> None:
    old, new = TRAIN, TRAIN.replace("dice", "focal").replace("import torch\n", "")
    raw = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm=""))[2:]
    diff = diff_texts(old, new, path="train.py")
    assert (diff.added, diff.removed) == (sum(x[0] == "+" for x in raw), sum(x[0] == "-" for x in raw))


def test_sources_that_were_left_out_are_named_with_the_reason(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    notes = ["The source big.py is not recorded: it is larger than 1 MB.", "<b>odd</b>"]
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.source_notes": notes}})
    page = text_of(client.get("/runs/1/source").text)
    assert "2 notes on what was left out" in page
    assert all(note in page for note in notes)
