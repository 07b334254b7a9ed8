"""docs/from-sacred.md: each row of its table is run with the real Sacred and with Cloister, and gives one answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sacred", reason="needs sacred")

ROOT = Path(__file__).parent.parent
SIDES = Path(__file__).parent / "migration"
ROW = re.compile(r"^@row\ndef (\w+)", re.MULTILINE)
ROWS = ROW.findall((SIDES / "sacred_side.py").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def answers(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("migration")
    environment = {
        **os.environ,
        "CLOISTER_URI": mongod.replace("/?", "/migration?"),
        "CLOISTER_HOME": str(folder / "home"),
        "CLOISTER_COURIER": "thread",
        "TMPDIR": str(folder),
    }
    found = {}
    for side in ("sacred", "cloister"):
        result = folder / f"{side}.json"
        script = shutil.copy(SIDES / f"{side}_side.py", folder)  # out of this repository, which may be clean or not
        command = [sys.executable, script, str(result)]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found[side] = json.loads(result.read_text(encoding="utf-8"))
    return found


def test_the_table_has_the_rows_that_are_run() -> None:
    guide = (ROOT / "docs" / "from-sacred.md").read_text(encoding="utf-8")
    table = guide.partition("## Row by row")[2].partition("\n## ")[0]
    titles = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][2:]
    assert titles == [name.replace("_", " ") for name in ROWS]
    assert ROW.findall((SIDES / "cloister_side.py").read_text(encoding="utf-8")) == ROWS


@pytest.mark.parametrize("name", ROWS)
def test_a_row_gives_the_same_answer_on_both_sides(name: str, answers: dict[str, dict[str, Any]]) -> None:
    assert answers["cloister"][name] == answers["sacred"][name]
