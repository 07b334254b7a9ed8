"""The console tab: lines as a terminal would show them, whatever was printed, in answers of bounded size."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.console_lines import LINES_BUDGET
from cloister.viewer.run_console_page import iter_console_text
from console_writing import write_pieces
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run

Documents = Database[dict[str, Any]]


@pytest.fixture
def client(store: RunStore) -> FlaskClient:
    return create_app(store).test_client()


@dataclass(frozen=True)
class ShownLine:
    number: str
    text: str
    attributes: str


def shown_lines(page: str) -> list[ShownLine]:
    found = re.findall(r'<div class="console-line(?!s)([^>]*)>(.*?)</div>\n', page, re.DOTALL)
    return [
        ShownLine(
            number="".join(re.findall(r'data-number="(\d+)"', inner)),
            text=html.unescape(re.sub(r"<[^>]*>", "", inner.split('class="console-text">')[1])),
            attributes=attributes,
        )
        for attributes, inner in found
    ]


def texts(page: str) -> list[str]:
    return [line.text for line in shown_lines(page)]


def chunk_attribute(page: str, name: str) -> str:
    return re.search(rf'data-chunk[^>]*data-{name}="([^"]*)"', page)[1]  # type: ignore[index]


def read_console(client: FlaskClient, path: str = "/runs/1/console") -> str:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return response.text


class TestLines:
    def test_lines_are_numbered_and_pieces_of_one_line_are_joined(
        self, client: FlaskClient, database: Documents
    ) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", "epoch 1 "), ("stdout", "loss 0.5\nepoch 2"), ("stdout", " loss 0.4\n")])

        lines = shown_lines(read_console(client))

        assert [(line.number, line.text) for line in lines] == [("1", "epoch 1 loss 0.5"), ("2", "epoch 2 loss 0.4")]

    def test_a_progress_bar_is_one_line_however_often_it_was_drawn(
        self, client: FlaskClient, database: Documents
    ) -> None:
        insert_run(database, 1)
        states = [("stderr", f"\r{percent}%") for percent in range(100)]
        write_pieces(database, 1, [*states, ("stdout", "saved\n"), ("stderr", "\r100%\n")])

        assert texts(read_console(client)) == ["100%", "saved"]

    def test_stderr_and_tracebacks_are_marked(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nOSError: disk\nafter\n'
        write_pieces(database, 1, [("stdout", "before\n"), ("stderr", trace)])

        marks = [(line.text[:9], "is-failure" in line.attributes) for line in shown_lines(read_console(client))]

        assert marks == [
            ("before", False),
            ("Traceback", True),
            ("  File \"a", True),
            ("OSError: ", True),
            ("after", False),
        ]  # fmt: skip

    def test_a_traceback_goes_on_in_the_next_answer(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(
            database, 1, [("stderr", "Traceback (most recent call last):\n"), ("stderr", "  File x\nKeyError\n")]
        )

        page = read_console(client, "/runs/1/console/lines?after=0&traceback=stderr")

        assert all("is-failure" in line.attributes for line in shown_lines(page))

    def test_a_chained_traceback_is_one_failure(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        one = "Traceback (most recent call last):\n  File x\nKeyError: 1\n"
        between = "\nDuring handling of the above exception, another exception occurred:\n\n"
        write_pieces(database, 1, [("stderr", one + between + one)])

        shown = shown_lines(read_console(client))

        assert [line.text for line in shown if line.text and "is-failure" not in line.attributes] == []

    def test_colours_are_classes_and_everything_else_is_text(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", "\x1b[31mred\x1b[0m <b>not bold</b> & \x1b]52;c;ZXZpbA==\x07\x00done\n")])

        page = read_console(client)

        assert '<span class="ansi-red">red</span>' in page
        assert texts(page) == ["red <b>not bold</b> & done"]
        assert "<b>not bold" not in page
        assert "52;c" not in page

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("<script>alert(1)</script>\n", id="script"),
            pytest.param('"><img src=x onerror=alert(1)>\n', id="attribute"),
            pytest.param("{{ 7 * 7 }}{% raw %}\n", id="template"),
            pytest.param("\u202egnp.exe\n", id="right-to-left"),
            pytest.param("\x1b[999999999;31mx\x1b[38;2;1m\n", id="odd-colours"),
            pytest.param("\ufffe\U0010ffff\x85\u2028\n", id="odd-characters"),
        ],
    )
    def test_hostile_output_adds_no_markup(self, client: FlaskClient, database: Documents, text: str) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", text)])

        page = read_console(client)

        assert "<script>alert" not in page
        assert "<img" not in page
        assert "49" not in "".join(texts(page))
        assert len(shown_lines(page)) == 1

    def test_a_line_of_millions_of_characters_is_cut_and_says_so(
        self, client: FlaskClient, database: Documents
    ) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", "x" * 60_000)] * 30 + [("stdout", "\n")])

        page = read_console(client)

        assert len(page) < 60_000
        assert "1,796,000 more characters, whole in the download" in page

    def test_one_piece_of_a_hundred_thousand_lines_stays_within_the_budget(
        self, client: FlaskClient, database: Documents
    ) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", "\n" * 100_000 + "the end\n")])

        shown = texts(read_console(client))

        assert len(shown) == LINES_BUDGET
        assert shown[-1] == "the end"


class TestPaging:
    def test_a_long_console_opens_at_its_end_with_counted_lines(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, (("stdout", f"line {number}\n") for number in range(1, 5001)))

        lines = shown_lines(read_console(client))

        assert len(lines) == 1000
        assert (lines[0].number, lines[0].text) == ("4001", "line 4001")
        assert (lines[-1].number, lines[-1].text) == ("5000", "line 5000")

    def test_walking_up_from_the_end_meets_every_line_once(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, (("stdout", f"line {number}\n") for number in range(2500)))

        page = read_console(client, "/runs/1/console/lines")
        found = texts(page)
        while chunk_attribute(page, "earlier") == "yes":
            page = read_console(client, f"/runs/1/console/lines?before={chunk_attribute(page, 'first')}")
            found = texts(page) + found

        assert found == [f"line {number}" for number in range(2500)]

    def test_walking_down_meets_every_line_once(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, (("stdout", f"line {number}\n" * 10) for number in range(700)))

        found, last, later = [], "0", "yes"
        while later == "yes":
            page = read_console(client, f"/runs/1/console/lines?after={last}")
            found += texts(page)
            last, later = chunk_attribute(page, "last"), chunk_attribute(page, "later")

        assert found == [f"line {number}" for number in range(1, 700) for _ in range(10)]

    def test_the_answer_says_how_its_first_line_goes_on(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stderr", "\r10%"), ("stderr", "\r20%"), ("stdout", "a\n")])

        bar, other = shown_lines(read_console(client, "/runs/1/console/lines?after=0"))

        assert "data-continues" in bar.attributes
        assert "data-replaces" in bar.attributes
        assert "data-unended" in bar.attributes
        assert "data-replaces" not in other.attributes

    def test_an_empty_console_has_no_cursor_that_would_skip_its_first_piece(
        self, client: FlaskClient, database: Documents
    ) -> None:
        insert_run(database, 1)
        assert chunk_attribute(read_console(client, "/runs/1/console/lines"), "last") == ""

    @pytest.mark.parametrize("cursor", ["x", "-1", "9" * 30, "1.5", "\u0663", "%00", "$gt"])
    def test_a_forged_cursor_is_refused_with_its_value(
        self, client: FlaskClient, database: Documents, cursor: str
    ) -> None:
        insert_run(database, 1)
        response = client.get(f"/runs/1/console/lines?before={cursor}")
        assert response.status_code == 400
        assert "is not a place in this console" in response.text

    def test_lines_after_and_before_at_once_are_refused(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        assert client.get("/runs/1/console/lines?before=3&after=1").status_code == 400

    @pytest.mark.parametrize("path", ["console", "console/lines", "console/download"])
    def test_an_unknown_run_is_not_found(self, client: FlaskClient, path: str) -> None:
        assert client.get(f"/runs/77/{path}").status_code == 404


class TestWords:
    def test_a_run_that_printed_nothing_says_so(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1, status="COMPLETED")
        assert "This run printed nothing" in read_console(client)

    def test_a_run_that_has_not_printed_yet_says_that(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        assert "Nothing printed yet" in read_console(client)

    def test_a_failed_run_ends_with_its_traceback(self, client: FlaskClient, database: Documents) -> None:
        trace = [
            "Traceback (most recent call last):\n",
            '  File "train.py", line 3, in <module>\n',
            "OSError: <disk>\n",
        ]
        insert_run(database, 1, status="FAILED", fail_trace=trace)
        write_pieces(database, 1, [("stdout", "start\n")])

        assert texts(read_console(client))[-1] == "OSError: <disk>"
        write_pieces(database, 1, [("stderr", "".join(trace))])
        assert texts(read_console(client)).count("OSError: <disk>") == 1

    def test_lost_output_is_counted_on_the_page(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        lost = {"points": 0, "lines": 12, "bytes": 2048}
        database["runs"].update_one({"_id": 1}, {"$set": {"cloister.lost": lost}})
        assert "12 lines, 2.0 KiB lost before they were stored" in read_console(client)


class TestDownload:
    def test_the_download_is_what_was_printed_byte_for_byte(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        pieces = [("stdout", "first\n"), ("stderr", "\r\x1b[31m50%\x1b[0m"), ("stdout", "é\u202e<b>\n")]
        write_pieces(database, 1, pieces)

        response = client.get("/runs/1/console/download")

        assert response.data == "".join(text for _, text in pieces).encode()
        assert response.headers["Content-Disposition"].startswith('attachment; filename="run-1-console.txt"')
        assert response.mimetype == "text/plain"
        assert "sandbox" in response.headers["Content-Security-Policy"]

    def test_one_stream_can_be_had_alone(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, [("stdout", "out\n"), ("stderr", "err\n")])
        assert client.get("/runs/1/console/download?stream=stderr").data == b"err\n"

    def test_a_long_console_leaves_in_many_chunks(self, store: RunStore, database: Documents) -> None:
        insert_run(database, 1)
        write_pieces(database, 1, (("stdout", "x" * 1000 + "\n") for _ in range(3001)))

        sizes = [len(chunk) for chunk in iter_console_text(store, 1)]

        assert sum(sizes) == 3001 * 1001
        assert max(sizes) <= 500 * 1001

    def test_a_silent_run_downloads_as_an_empty_file(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        assert client.get("/runs/1/console/download").data == b""
