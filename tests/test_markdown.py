"""Markdown of people's own becomes text and never more than that."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from cloister.viewer.markdown_text import LIMIT_CHARS, may_link, render_markdown

ALLOWED = {"a", "blockquote", "br", "code", "del", "div", "em", "hr", "li", "ol", "p", "pre", "strong", "ul"} | {
    *("h2", "h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr")
}
ATTRIBUTES = {"href", "title", "rel", "class", "start"}

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "[x](//evil.example/x)",
    "[x](\\\\evil.example)",
    "![x](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    '[x](https://a.example/" onmouseover="alert(1))',
    '[x](https://a.example "t\\" onmouseover=\\"alert(1)")',
    "<javascript:alert(1)>",
    "`<b onclick=alert(1)>`",
    '```"><script>alert(1)</script>\ncode\n```',
    "[x]: javascript:alert(1)\n\n[x]",
    "| a |\n|--:|\n| <style>*{}</style> |",
    "# <iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href='x' style='position:fixed'>x</a>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!-- --><form action=/logout><input name=x>",
]


class Seen(HTMLParser):
    """The elements and attributes that a browser would make of some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_whatever_is_written_becomes_elements_of_text_alone() -> None:
    for text in [*HOSTILE, "\n\n".join(HOSTILE), "> - " + HOSTILE[0]]:
        seen = Seen(render_markdown(text))
        assert set(seen.elements) <= ALLOWED, text
        assert {name for name, _ in seen.attributes} <= ATTRIBUTES, text
        for name, value in seen.attributes:
            if name == "href":
                assert may_link(value), text
                assert not re.match(r"(?i)\s*(javascript|data|vbscript|//)", value), text


def test_what_markdown_can_say_is_shown() -> None:
    html = render_markdown(
        "# Title\n\n## Part\n\nA **bold** *word*, ~~gone~~ and `code`.\n\n- one\n- two\n\n3. three\n\n> said\n\n"
        "| lr | acc |\n|---|--:|\n| 0.1 | 0.9 |\n\n```python\nx < 1\n```\n\n"
        "[run 7](/runs/7) <https://a.example/> ![loss](figures/loss.png)"
    )
    assert "<h2>Title</h2>" in html
    assert "<h3>Part</h3>" in html
    for part in ("<strong>bold</strong>", "<del>gone</del>", "<code>code</code>", '<ol start="3">', "<blockquote>"):
        assert part in html
    assert '<td class="align-right">0.9</td>' in html
    assert "x &lt; 1" in html
    assert 'href="/runs/7"' in html
    assert 'href="https://a.example/"' in html
    assert "<img" not in html
    assert ">loss</a>" in html
    assert html.count('rel="noopener noreferrer nofollow"') == 3


def test_headings_begin_where_the_page_says_and_end_at_the_sixth() -> None:
    assert "<h4>a</h4>" in render_markdown("# a", first_heading=4)
    assert "<h6>a</h6>" in render_markdown("###### a", first_heading=4)


@pytest.mark.parametrize("piece", ["[", "*a ", "![](", "> ", "- ", "`", "<", "&#", "|a", "a\n===\n", "[a](b", "__a_"])
def test_text_made_to_be_slow_is_read_to_its_end(piece: str) -> None:
    assert render_markdown(piece * (20_000 // len(piece))).startswith('<div class="markdown">')


def test_a_text_that_is_too_long_is_shown_as_written() -> None:
    html = render_markdown("<b>" * (LIMIT_CHARS // 3 + 1))
    assert html.startswith('<div class="markdown"><pre>&lt;b&gt;')
    assert set(Seen(html).elements) == {"div", "pre"}
