"""The style page, for those who change pages: every component as it is, every colour with its measured contrast.

Only there when the viewer was started with `--styleguide`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, render_template

TOKENS = Path(__file__).parent / "static" / "css" / "tokens.css"
RUN_SLOTS = tuple(range(1, 13))
STATES = ("completed", "running", "failed", "interrupted", "lost", "queued")
GROUNDS = ("bg", "surface", "raised", "sunken", "hover", "code", "accent-soft")
# What is written or drawn in a colour, on which grounds it may stand, and the least contrast there (WCAG 2.2 AA).
PAIRS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("text", GROUNDS, 4.5),
    ("text-2", GROUNDS, 4.5),
    ("text-3", GROUNDS, 4.5),
    ("accent", GROUNDS, 4.5),
    ("on-accent", ("accent",), 4.5),
    ("on-failed", ("failed",), 4.5),
    ("border-strong", GROUNDS[:-1], 3.0),
    ("focus", GROUNDS, 3.0),
    ("add-text", ("add-bg",), 4.5),
    ("del-text", ("del-bg",), 4.5),
    ("text", ("match", "add-mark", "del-mark"), 4.5),
    *((state, (f"{state}-soft", *GROUNDS[:-1]), 4.5) for state in STATES),
    *((f"run-{slot}", ("surface",), 3.0) for slot in RUN_SLOTS),
)
_TOKEN = re.compile(r"--([\w-]+):\s*(#[0-9a-f]{6})\b", re.IGNORECASE)
_SYMBOL = re.compile(r'<symbol id="([\w-]+)"')

bp = Blueprint("styleguide", __name__)


@dataclass(frozen=True)
class Contrast:
    """A colour on the ground of all its grounds on which it stands out least."""

    name: str
    ground: str
    ratio: float
    least: float

    @property
    def is_enough(self) -> bool:
        return self.ratio >= self.least


@bp.get("/styleguide")
def show_styleguide() -> str:
    return render_template(
        "styleguide.html",
        contrasts={theme: measure_contrasts(colours) for theme, colours in read_themes().items()},
        states=STATES,
        slots=RUN_SLOTS,
        icons=_icon_names(),
    )


@lru_cache(maxsize=1)
def read_themes() -> dict[str, dict[str, str]]:
    """The colours of tokens.css by name, for `light` and `dark`."""
    light, _, rest = TOKENS.read_text(encoding="utf-8").partition('[data-theme="dark"]')
    first = dict(_TOKEN.findall(light))
    return {"light": first, "dark": {**first, **dict(_TOKEN.findall(rest.partition("@media")[0]))}}


def measure_contrasts(colours: dict[str, str]) -> list[Contrast]:
    """Each colour that is written or drawn in, where it has the least contrast."""
    measured = []
    for name, grounds, least in PAIRS:
        ratio, ground = min((contrast(colours[name], colours[each]), each) for each in grounds)
        measured.append(Contrast(name, ground, ratio, least))
    return measured


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2.2 defines it, 1 to 21."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@lru_cache(maxsize=1)
def _icon_names() -> tuple[str, ...]:
    sprite = TOKENS.parent.parent / "icons.svg"
    return tuple(_SYMBOL.findall(sprite.read_text(encoding="utf-8")))
