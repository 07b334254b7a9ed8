"""Runs beside each other: what differs, measured from a baseline, in sources, models, consoles and media too."""

from __future__ import annotations

import html
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from artifact_keeping import PNG, keep_artifact, store_blob
from cloister.observer.blobs import digest_stream
from cloister.observer.encryption.opened import LockedText
from cloister.observer.run_comparison import ABSENT, compare_values, is_same
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.compare_address import VIEWS, CompareAddress, letter_of, parse_compare, settle_slots
from cloister.viewer.compare_media import split_step
from cloister.viewer.compare_tables import config_delta, number_delta
from cloister.viewer.diff_view import Change, DiffFile, DiffLine, DiffPiece, Unchanged
from cloister.viewer.text_difference import compare_texts
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database
from running_viewer import insert_run
from seeded_runs import add_run, text_of
from signing_in import emptied
from test_web_security_browser import HostileMarkup
from werkzeug.datastructures import MultiDict
from xss_payloads import PAYLOADS

Documents = Database[dict[str, Any]]

TRAIN = "import torch\n\n\ndef step(model, batch):\n    loss = dice(model(batch), mask)\n    loss.backward()\n"
CHANGED = TRAIN.replace("mask)", "mask) + focal(\n        batch)")
PATCH = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-lr: 1\n+lr: {1}\n"
TEN_LINES = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.fixture(scope="module")
def documents(one_database: Documents) -> Documents:
    """Four runs of two projects: different configs, sources, models, output and pictures."""
    database = emptied(one_database)
    configs: list[dict[str, Any]] = [
        {"lr": 1e-3, "batch": 16, "model": {"encoder": "resnet34"}, "elastic": False},
        {"lr": 3e-4, "batch": 16, "model": {"encoder": "resnet34"}, "elastic": False, "gamma": 2.0},
        {"lr": 3e-4, "batch": 12, "model": {"encoder": "<script>alert(1)</script>"}, "elastic": True},
        {"lr": 1e-3, "batch": 16, "model": {"encoder": "resnet34"}, "elastic": False},
    ]
    metrics = [{"val/dice": 0.8611, "val/loss": 0.26}, {"val/dice": 0.8742, "val/loss": 0.2296}, {}, {"val/dice": 0.8}]
    for place, (config, logged) in enumerate(zip(configs, metrics, strict=True), start=1):
        project = "other" if place == 4 else "digits"
        add_run(database, place, name=f"unet-{place}", project=project, config=config, metrics=logged)
    for place in (1, 2):
        git = {"state": "repository", "commit": "4f2c91a7d0c2", "diff": PATCH.format("settings.yaml", place)}
        environment = {"python": f"3.1{place}", "pid": place, "distributions": [f"numpy==2.{place}", "torch==2.6"]}
        database["runs"].update_one(
            {"_id": place},
            {
                "$set": {
                    "cloister.git": git,
                    "cloister.environment": environment,
                    "info.model": f"Net(\n  L{place}\n)",
                }
            },
        )
    return database


@pytest.fixture(scope="module")
def files(documents: Documents, tmp_path_factory: pytest.TempPathFactory) -> Documents:
    folder = tmp_path_factory.mktemp("files")
    for run_id, text in ((1, TRAIN), (2, CHANGED)):
        for path, content in (("train.py", text), ("same.py", "x = 1\n")):
            file = folder / "source"
            file.write_text(content)
            with file.open("rb") as stream:
                digests = digest_stream(stream)
            entry = {"path": path, "sha256": digests.sha256, "size": digests.size}
            entry["file_id"] = store_blob(documents, file, digests, path, None)
            documents["runs"].update_one({"_id": run_id}, {"$push": {"cloister.sources": entry}})
    for run_id, step in ((1, 10), (1, 20), (2, 10), (2, 20), (2, 30)):
        keep_artifact(documents, folder, f"val/predictions/{step:03d}.png", PNG, run_id=run_id)
    for run_id in (1, 2):
        documents["console"].insert_one(
            {
                "_id": f"piece-{run_id}",
                "run_id": run_id,
                "n": 1,
                "stream": "stderr",
                "text": f"\x1b[31mred {run_id}\x1b[0m\n",
            }
        )
    return documents


@pytest.fixture(scope="module")
def client(files: Documents) -> FlaskClient:
    return create_app(RunStore(files)).test_client()


def page(client: FlaskClient, query: str) -> str:
    answer = client.get(f"/compare?{query}")
    assert answer.status_code == 200
    return answer.text


def rows_of(text: str) -> dict[str, list[str]]:
    """What a person reads in each row of the tables, by the row's name."""
    rows = {}
    for row in re.findall(r"<tr data-key=.*?</tr>", text, re.DOTALL):
        name, *cells = re.findall(r"<t[hd][^>]*>.*?</t[hd]>", row, re.DOTALL)
        rows[text_of(name)] = [text_of(cell) for cell in cells]
    return rows


class TestTables:
    def test_only_what_differs_is_listed_and_numbers_say_by_how_much(self, client: FlaskClient) -> None:
        rows = rows_of(page(client, "runs=1,2,3"))

        assert rows["lr"] == ["1e-3", "3e-4 \u00d70.3", "3e-4 \u00d70.3"]
        assert rows["batch"] == ["16", "16", "12 \u22124"]
        assert rows["gamma"] == ["\u2013", "2.0", "\u2013"]
        assert rows["elastic"] == ["false", "false", "true"]
        assert "model.encoder" in rows
        assert "batch" not in rows_of(page(client, "runs=1,2"))
        assert "batch" in rows_of(page(client, "runs=1,2&keys=all"))

    def test_the_summary_is_measured_from_the_baseline_and_names_the_best(self, client: FlaskClient) -> None:
        from_first, from_second = rows_of(page(client, "runs=1,2,3")), rows_of(page(client, "runs=1,2,3&baseline=2"))

        assert from_first["val/dice, best"] == ["0.861", "0.874 ▲ best +0.013", "\u2013"]
        assert from_second["val/dice, best"] == ["0.861 \u22120.013", "0.874 ▲ best", "\u2013"]
        assert from_first["val/loss, lowest"] == ["0.260", "0.230 ▲ best \u22120.030", "\u2013"]
        assert "baseline" in text_of(page(client, "runs=1,2&baseline=2")).partition("B unet-2")[2][:20]

    def test_environments_and_packages_differ_by_row(self, client: FlaskClient) -> None:
        rows = rows_of(client.get("/compare/part/environment?runs=1,2").text)
        assert rows["python"] == ["3.11", "3.12"]
        assert rows["numpy"] == ["2.1", "2.2"]
        assert "torch" not in rows
        assert "pid" not in rows  # it differs for each process there is

    def test_what_users_wrote_stays_text(self, client: FlaskClient) -> None:
        assert "<script>alert" not in page(client, "runs=1,3")

    @pytest.mark.parametrize(
        ("value", "base", "words"),
        [
            (12, 16, "\u22124"),
            (1e-4, 1e-3, "\u00d70.1"),
            (-1.0, 1.0, "\u22122"),
            (True, 1, ""),
            ("a", 1, ""),
            (math.nan, 1.0, ""),
            (1e300, 1e-300, ""),
        ],
    )
    def test_numbers_of_a_config_differ_in_words(self, value: Any, base: Any, words: str) -> None:
        assert config_delta(value, base) == words

    @pytest.mark.parametrize(
        ("value", "base", "text", "words"),
        [
            (0.8742, 0.8611, "0.8742", "+0.0131"),
            (0.2296, 0.2604, "0.2296", "\u22120.0308"),
            (5.0, 5.0, "5", "±0"),
            (0.12999, 0.13, "0.130", "\u22121e-5"),
            (1234.0, 1.0, "1,234", "+1,233"),
            (None, 1.0, "\u2013", ""),
            (math.inf, 1.0, "Infinity", ""),
        ],
    )
    def test_metrics_differ_in_the_precision_of_their_row(
        self, value: float | None, base: float, text: str, words: str
    ) -> None:
        assert number_delta(value, base, text) == words

    def test_values_are_the_same_only_if_they_mean_the_same(self) -> None:
        nan = math.nan
        same = [(1, 1.0), (nan, nan), ([1, {"a": nan}], [1, {"a": nan}]), ("a", "a"), (None, None), (ABSENT, ABSENT)]
        same += [(LockedText("no key"), "secret"), (1, LockedText("no key"))]
        other = [(1, True), (0, False), ("1", 1), (None, ABSENT), ([1], [1, 2]), ({"a": 1}, {"b": 1})]
        assert all(is_same(one, two) for one, two in same)
        assert not any(is_same(one, two) for one, two in other)
        [row] = compare_values([{("a",): 1}, {}])
        assert row.values == (1, ABSENT)
        assert row.differing == (False, True)


class TestAddress:
    def test_an_address_comes_back_as_it_was(self) -> None:
        address = CompareAddress(
            runs=(3, 1, "id:my%20run"), slots=((3, 2), (1, 14)), baseline=1, view="source", against=3, every_key=True
        )
        query = address.url().partition("?")[2]
        parsed = parse_compare(MultiDict(_pairs(query)))
        assert (parsed.runs, parsed.slots, parsed.baseline) == (address.runs, address.slots, 1)
        assert (parsed.view, parsed.against, parsed.every_key) == ("source", 3, True)

    @given(
        st.lists(st.tuples(st.sampled_from(["runs", "colours", "baseline", "show", "with", "step", "at"]), st.text()))
    )
    def test_no_address_is_refused(self, pairs: list[tuple[str, str]]) -> None:
        assert len(parse_compare(MultiDict(pairs)).runs) <= 50

    def test_runs_keep_the_colours_of_the_address_then_those_of_the_table(self) -> None:
        assert settle_slots((1, 2, 3), {1: 5}, {2: 1, 1: 2}) == {1: 5, 2: 1, 3: 2}
        assert settle_slots((1, 2), {1: 4}, {2: 4}) == {1: 4, 2: 1}
        of_fifty = list(settle_slots(tuple(range(50)), {}, {}).values())
        assert of_fifty == [*range(1, 37), *[0] * 14]

    def test_letters_go_on_after_z(self) -> None:
        assert [letter_of(place) for place in (0, 25, 26, 49)] == ["A", "Z", "AA", "AX"]

    def test_the_page_asks_for_runs_and_says_which_are_not_there(self, client: FlaskClient) -> None:
        alone = text_of(page(client, "runs=2,9,id:none&project=digits"))
        assert "2 runs of this address do not exist, or are not shared with you." in alone
        assert "unet-1" in alone
        assert "unet-4" not in alone  # of another project
        assert "No run matches" in page(client, "q=nothing-like-it")
        assert "unet-4" in text_of(client.get("/compare/choices?runs=1&q=unet-4").text)

    def test_fifty_runs_are_compared_and_the_others_counted(self, client: FlaskClient) -> None:
        parsed = parse_compare(MultiDict({"runs": ",".join(map(str, range(1, 61)))}))
        assert (len(parsed.runs), parsed.left_out) == (50, 10)
        shown = text_of(page(client, "runs=1,2&show=config") + page(client, "runs=" + ",".join(map(str, range(1, 61)))))
        assert "10 further ones of this address are left out" in shown

    def test_taking_runs_out_keeps_the_colours_of_the_others(self) -> None:
        address = CompareAddress(runs=(1, 2, 3), slots=((1, 1), (2, 2), (3, 3)), baseline=1)
        assert "colours=2,3" in address.removing(1)
        assert "baseline" not in address.removing(1)


def _pairs(query: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(query)


class TestFiles:
    def test_sources_are_compared_as_they_ran(self, client: FlaskClient) -> None:
        shown = text_of(page(client, "runs=1,2&show=source"))
        assert "Both from commit 4f2c91a7d0" in shown
        assert "train.py +2 \u22121" in shown
        assert "focal(" in shown
        assert "1 file is the same." in shown
        assert "settings.yaml changed in both, differently" in shown

    def test_a_run_without_files_says_so(self, client: FlaskClient) -> None:
        assert "Neither run kept its files." in text_of(page(client, "runs=3,4&show=source"))

    def test_models_are_compared_where_both_recorded_one(self, client: FlaskClient) -> None:
        both = text_of(page(client, "runs=1,2&show=model"))
        assert "L1" in both
        assert "L2" in both
        assert "C recorded no architecture" in text_of(page(client, "runs=1,2,3&show=model&with=3"))
        assert 'run.info["model"] = str(model)' in html.unescape(page(client, "runs=3,4&show=model"))

    def test_consoles_stand_side_by_side(self, client: FlaskClient) -> None:
        assert page(client, "runs=1,2&show=console").count('class="compare-column"') == 2
        column = client.get("/compare/console/1").text
        assert 'class="compare-line is-stderr"><span class="ansi-red">red 1</span>' in column
        assert client.get("/compare/console/1?before=x").status_code == 400

    def test_media_stand_side_by_side_at_the_same_step(self, client: FlaskClient) -> None:
        last = page(client, "runs=1,2,3&show=media")
        assert "step 20" in text_of(last)  # the last that all who have any have
        assert re.findall(r"/runs/(\d)/artifacts/[0-9a-f]{16}/image", last) == ["1", "2"]
        beyond = page(client, "runs=1,2,3&show=media&step=30")
        assert "Nothing at step 30. Nearest: 20" in text_of(beyond)
        by_slider = client.get("/compare/part/media?runs=1,2&at=0").text
        assert "step 10" in text_of(by_slider)
        for source in re.findall(r'src="([^"]*/image)"', last):
            assert client.get(source).mimetype == "image/png"

    @pytest.mark.parametrize(
        ("name", "series", "step"),
        [
            ("val/predictions/034.png", "val/predictions/{step}.png", 34),
            ("epoch_12_sample_3.png", "epoch_{step}_sample_3.png", 12),
            ("resnet50/step-7/mask.png", "resnet50/step-{step}/mask.png", 7),
            ("resnet50/mask.png", "resnet50/mask.png", None),
            ("12/mask.png", "{step}/mask.png", 12),
            ("confusion.png", "confusion.png", None),
            ("9" * 40 + ".png", "9" * 25 + "{step}.png", 999999999999999),
        ],
    )
    def test_a_step_is_read_from_a_name(self, name: str, series: str, step: int | None) -> None:
        assert split_step(name) == (series, step)


def sides(file: DiffFile, before: list[str]) -> tuple[list[str], list[str]]:
    """Both texts again, out of their difference; what it folds is in `before`."""
    old: list[DiffLine] = []
    new: list[DiffLine] = []
    for block in file.blocks:
        if isinstance(block, Change):
            old += block.removed
            new += block.added
        elif isinstance(block, Unchanged):
            old += block.lines
            new += block.lines
        else:
            folded = [DiffLine(None, None, (DiffPiece(text),)) for text in before[len(old) : len(old) + block.count]]
            old += folded
            new += folded
    assert all(line.old in (None, number) for number, line in enumerate(old, start=1))
    assert all(line.new in (None, number) for number, line in enumerate(new, start=1))
    return tuple(["".join(piece.text for piece in line.pieces) for line in lines] for lines in (old, new))  # type: ignore[return-value]


class TestDifference:
    LINES = st.lists(st.sampled_from("abcde"), max_size=20)

    @given(LINES, LINES)
    def test_both_texts_can_be_read_from_it(self, old: list[str], new: list[str]) -> None:
        file = compare_texts("\n".join([*old, ""]), "\n".join([*new, ""]), path="x")
        assert sides(file, old) == (old, new)

    def test_one_changed_line_is_one_change(self) -> None:
        file = compare_texts(TEN_LINES, TEN_LINES.replace("line 5", "line five"), path="x")
        [change] = [block for block in file.blocks if isinstance(block, Change)]
        assert (len(change.removed), len(change.added)) == (1, 1)
        assert (file.added, file.removed) == (1, 1)

    def test_long_texts_of_repeated_and_moved_lines_are_compared_at_all(self) -> None:
        chance = random.Random(1)  # compared line by line, the first two would take hours
        repeated = ["".join(chance.choice("ab") + "\n" for _ in range(60_000)) for _ in range(2)]
        moved = [str(number) for number in range(60_000)]
        shuffled = chance.sample(moved, len(moved))
        files = [compare_texts(*repeated, path="x"), compare_texts("\n".join(moved), "\n".join(shuffled), path="x")]
        assert all(file.hidden for file in files)


class TestApi:
    def test_the_same_comes_as_json(self, client: FlaskClient) -> None:
        answer = client.get("/api/v1/compare?runs=1,2,99&baseline=2").json
        assert answer is not None
        assert [run["id"] for run in answer["runs"]] == [1, 2]
        assert (answer["missing"], answer["baseline"]) == (1, 2)
        rows = {".".join(row["key"]): row["values"] for row in answer["config"]}
        assert rows["gamma"][0] == {"recorded": False, "value": None, "differs": True}
        [dice] = [row for row in answer["metrics"] if row["metric"] == "val/dice"]
        assert dice["values"][0]["last_difference"] == pytest.approx(0.8611 - 0.8742)
        for runs in ("", "a", ",".join(map(str, range(60)))):
            assert client.get("/api/v1/compare", query_string={"runs": runs}).status_code == 400


def test_hostile_texts_stay_texts_in_every_part(client: FlaskClient, files: Documents, tmp_path: Path) -> None:
    text = "\n".join(PAYLOADS)
    for run_id in (71, 72):
        insert_run(files, run_id, config={text[:500].replace(".", " ").replace("$", " "): text, "n": run_id})
        ours = {
            "name": text,
            "environment": {"cpu": text, "host": f"{run_id}", "distributions": [f"{text}=={run_id}"]},
            "argv": [text, str(run_id)],
            "git": {"state": "repository", "commit": text, "diff": PATCH.format("a", run_id) + text},
            "summary": {
                "val/" + "%3C" + "img": {"last": 1.0 * run_id, "min": 1.0, "max": 2.0, "last_step": 1, "count": 2}
            },
        }
        info = {"model": f"{text}\n{run_id}"}
        found = {**{f"cloister.{key}": value for key, value in ours.items()}, "info": info}
        files["runs"].update_one({"_id": run_id}, {"$set": found})
        keep_artifact(files, tmp_path, f"{text[:600]}/{run_id}.png", PNG, run_id=run_id)
        files["console"].insert_one({"_id": f"hostile-{run_id}", "run_id": run_id, "n": 1, "text": f"{text}\n"})
    shown = [f"/compare?runs=71,72&keys=all&show={view}" for view in VIEWS]
    shown += ["/compare/part/tables?runs=71,72", "/compare/console/71", "/compare/choices?q=71", "/compare?runs=71"]
    for path in (*shown, "/runs/71/artifacts"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert HostileMarkup.found_in(answer.text) == [], path
