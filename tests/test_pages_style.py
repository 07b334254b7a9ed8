"""The rules of the visual language that a machine can hold: colours in one file, an icon for every name, own words."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cloister.viewer
import pytest

VIEWER = Path(cloister.viewer.__file__).parent
STATIC, TEMPLATES = VIEWER / "static", VIEWER / "templates"
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}\b(?!\s*\{)|\b(?:rgb|rgba|hsl|hsla|oklch)\(")
SPRITE = STATIC / "icons.svg"
WRITTEN_BY_US = [
    path
    for folder in (STATIC / "css", STATIC / "js", TEMPLATES)
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != "tokens.css"
]


def symbols() -> list[str]:
    root = ElementTree.parse(SPRITE).getroot()
    return [symbol.attrib["id"] for symbol in root.iter("{http://www.w3.org/2000/svg}symbol")]


@pytest.mark.parametrize("path", WRITTEN_BY_US, ids=lambda path: path.relative_to(VIEWER).as_posix())
def test_colours_stand_in_the_tokens_alone(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if COLOUR.search(line) and "#" + "{{" not in line] == []


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.relative_to(TEMPLATES).as_posix()
)
def test_pages_have_no_inline_script(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if (
        path != TEMPLATES / "reports" / "file.html"
    ):  # opens without a server: its policy names each script by its digest
        assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
    assert re.findall(r"\son[a-z]+=|javascript:|hx-on|hx-vals='js", text) == []
    assert re.findall(r"""(?:src|href|action)=["'](?:https?:)?//""", text) == []


def test_every_icon_that_a_page_names_is_drawn() -> None:
    used = {
        name
        for path in TEMPLATES.rglob("*.html")
        for name in re.findall(r"""\bicon\(["']([a-z-]+)["'][,)]""", path.read_text(encoding="utf-8"))
    }
    assert used - set(symbols()) == set()
    assert {f"status-{word}" for word in ("queued", "running", "completed", "failed", "interrupted", "lost")} <= set(
        symbols()
    )


def test_the_sprite_stays_small() -> None:
    assert len(symbols()) == len(set(symbols())) <= 60


def test_dark_is_the_same_whether_chosen_or_wished_for_by_the_system() -> None:
    text = (STATIC / "css" / "tokens.css").read_text(encoding="utf-8")
    chosen = re.search(r'data-theme="dark"\] \{(.*?)\n\}', text, re.DOTALL)
    wished = re.search(r'not\(\[data-theme="light"\]\) \{(.*?)\n  \}', text, re.DOTALL)
    assert chosen is not None
    assert wished is not None
    assert chosen[1].split() == wished[1].split()


def test_the_vendored_script_has_its_licence_beside_it() -> None:
    assert "Zero-Clause BSD" in (STATIC / "vendor" / "htmx.LICENSE").read_text(encoding="utf-8")
