"""Markdown that people write, in notes and reports, as HTML that can only be text.

Twice over: the parser knows no HTML, so that every `<` of the text is escaped; and what it made goes through an allow
list of elements and attributes once more. Images are links: a page fetches nothing because somebody wrote a note.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LIMIT_CHARS = 200_000  # a book's chapter; longer text is shown as it was written
MOST_NESTED = 20  # lists in quotes in lists: what is deeper is left as text
LAST_HEADING = 6
SCHEMES = frozenset({"http", "https", "mailto"})
LINK_REL = "noopener noreferrer nofollow"
_ALIGNED = {"text-align:right": "align-right", "text-align:center": "align-center"}
_INLINE_TAGS = frozenset({"a", "br", "code", "del", "em", "strong"})
_TABLE_TAGS = frozenset({"table", "tbody", "td", "th", "thead", "tr"})
_BLOCK_TAGS = frozenset({"blockquote", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"})
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_CLASSES = {"td": set(_ALIGNED.values()), "th": set(_ALIGNED.values()), "div": {"markdown", "markdown-table"}}
_NOTHING = Markup('<div class="markdown"></div>')
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*:")
_UNSEEN = re.compile(r"[\x00-\x20\x7f\\]")


def render_markdown(text: str, *, first_heading: int = 2) -> Markup:
    """`text` as HTML in a `<div class="markdown">`, which css/markdown.css lays out.

    CommonMark with tables and strike-through. Raw HTML is shown as text; links go to http, https, mailto and addresses
    without a scheme, and images are links to them.

    Args:
        first_heading: the level that `#` becomes, so that a page keeps the order of its headings.
    """
    if len(text) > LIMIT_CHARS:
        return Markup('<div class="markdown"><pre>{}</pre></div>').format(text)
    environment: dict[str, Any] = {}
    tokens = _parser().parse(text.replace("\x00", "\ufffd"), environment)
    _settle(tokens, first_heading - 1)
    return _rendered(tokens, environment)


@dataclass(frozen=True)
class Fence:
    """A block of fenced code of a kind that its caller knows.

    Attributes:
        line: where it begins in the text, counted from 1.
    """

    kind: str
    text: str
    line: int


def split_markdown(text: str, kinds: Container[str], *, first_heading: int = 2) -> list[Markup | Fence]:
    """`text` as `render_markdown` gives it, cut where fenced code of one of `kinds` stands by itself."""
    if len(text) > LIMIT_CHARS:
        return [render_markdown(text)]
    environment: dict[str, Any] = {}
    tokens = _parser().parse(text.replace("\x00", "\ufffd"), environment)
    _settle(tokens, first_heading - 1)
    pieces: list[Markup | Fence] = []
    start = 0
    for place, token in enumerate(tokens):
        kind = token.info.strip().lower()
        if token.type != "fence" or token.level or kind not in kinds:
            continue
        pieces.append(_rendered(tokens[start:place], environment))
        pieces.append(Fence(kind, token.content, (token.map or [0])[0] + 1))
        start = place + 1
    pieces.append(_rendered(tokens[start:], environment))
    return [piece for piece in pieces if isinstance(piece, Fence) or piece != _NOTHING]


def _rendered(tokens: Sequence[Token], environment: dict[str, Any]) -> Markup:
    parser = _parser()
    html = parser.renderer.render(tokens, parser.options, environment)
    return Markup('<div class="markdown">{}</div>').format(Markup(_cleaned(html)))  # noqa: S704  # cleaned by nh3


def may_link(address: str) -> bool:
    """Whether a link that somebody wrote may lead to `address`: a scheme that runs nothing, or a place of this site."""
    if _UNSEEN.search(address) or address.startswith("//"):  # browsers drop tabs, and take a backslash for a slash
        return False
    scheme = _SCHEME.match(address)
    return scheme is None or scheme[0][:-1].lower() in SCHEMES


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # spares pages without any text of people's own

    class OurMarkdown(MarkdownIt):
        def validateLink(self, url: str) -> bool:  # noqa: N802  # the parser's name
            return may_link(url)

    parser = OurMarkdown("commonmark", {"html": False, "maxNesting": MOST_NESTED}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _render_image)
    parser.add_render_rule("s_open", lambda *_: "<del>")
    parser.add_render_rule("s_close", lambda *_: "</del>")
    parser.add_render_rule("table_open", lambda *_: '<div class="markdown-table"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    return parser


def _render_image(_renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    token = tokens[index]
    address = str(token.attrs.get("src", ""))
    return f'<a href="{escape(address)}">{escape(token.content or address)}</a>'


def _settle(tokens: Sequence[Token], headings_down: int) -> None:
    """Headings below those of the page around; alignment of cells as a class."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + headings_down, LAST_HEADING)}"
        aligned = _ALIGNED.get(str(token.attrs.pop("style", "")))
        if aligned:
            token.attrs["class"] = aligned


def _cleaned(html: str) -> str:
    import nh3  # as above

    return nh3.clean(
        html,
        tags={*_INLINE_TAGS, *_BLOCK_TAGS, *_TABLE_TAGS},
        attributes=_ATTRIBUTES,
        allowed_classes=_CLASSES,
        url_schemes=set(SCHEMES),
        link_rel=LINK_REL,
    )
