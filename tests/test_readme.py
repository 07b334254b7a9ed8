"""What README and docs promise: the script runs as printed, the commands exist, every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_script import RecordedScript

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    folders = ("docs", "examples", "benchmarks")
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    return found + [page for folder in folders for page in sorted((ROOT / folder).glob("**/*.md"))]


def script_of_the_readme() -> str:
    [script] = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(script)


def test_the_readmes_script_runs_as_printed(script: RecordedScript) -> None:
    result = script.run(script_of_the_readme(), "lr=0.01", "epochs=5")

    assert result.returncode == 0, result.stderr
    run = script.only_run()
    assert (run.project, run.status, run.tags) == ("digits", "completed", ("baseline",))
    assert run.config == {"lr": 0.01, "hidden": 64, "epochs": 5}
    assert run.result == pytest.approx(run.summary["val/accuracy"].last)
    assert run.result > 0.8
    assert run.summary["train/loss"].count == 5
    assert [artifact.name for artifact in run.artifacts] == ["model.joblib"]


def test_the_readmes_script_is_ten_lines_of_training() -> None:
    body = script_of_the_readme().partition("def train")[2].partition("return accuracy")[0]
    assert len(body.strip().splitlines()) <= 10


def test_the_readme_begins_with_what_cloister_is_for_a_picture_and_the_two_commands() -> None:
    title, what, picture, *rest = README.split("\n\n")
    assert title == "# Cloister"
    assert len(re.findall(r"\.(?:\s|$)", what)) == 3
    assert picture.startswith("![")
    assert "    make demo" in rest[2]
    assert "    make test" in rest[2]


def test_the_make_targets_of_the_pages_exist() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    targets = set(re.findall(r"(?:^    |`)make ([a-z]+)", text, re.MULTILINE))
    assert targets >= {"demo", "test", "lint"}
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_extras_of_the_pages_exist() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    named = {
        extra
        for group in re.findall(r"pip install (?:-e )?'(?:\.|cloister)\[([a-z,]+)\]'", text)
        for extra in group.split(",")
    }
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {"demo", "dev", "viewer", "embedded"} <= named <= declared.keys()


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()])
def test_every_link_leads_to_a_file_and_heading_that_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not leads_somewhere(page, link)]
    assert broken == []


def leads_somewhere(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True  # the web; a test asks nobody outside
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or ROOT not in (target, *target.parents):
        return False
    return not heading or heading in headings(target)


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as Git hosts make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_of_the_docs_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    missing = [
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "index.md" and f"({page.name})" not in index
    ]
    assert missing == []
