"""Pictures of what a digits model gets right and wrong, drawn with Pillow."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER, INK = (255, 255, 255), (24, 28, 36)
RIGHT, WRONG = np.array([47, 107, 214]), np.array([204, 72, 52])  # colours of the matrix's diagonal and of the rest
CELL = 44  # pixels
COLUMNS, ROWS = 8, 3  # mistakes that are shown at most


def draw_confusion(labels: np.ndarray, guesses: np.ndarray) -> Image.Image:
    """How often each digit (rows) was read as each digit (columns)."""
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, guesses), 1)
    picture = Image.new("RGB", (CELL * 11, CELL * 11), PAPER)
    pen = ImageDraw.Draw(picture)
    for digit in range(10):
        _write(pen, digit + 1, 0, str(digit))
        _write(pen, 0, digit + 1, str(digit))
    for row, column in np.ndindex(10, 10):
        if count := counts[row, column]:
            colour = RIGHT if row == column else WRONG
            strength = 0.3 + 0.7 * count / counts[row].sum()
            shade = tuple(int(part) for part in 255 - (255 - colour) * strength)
            left, top = CELL * (column + 1), CELL * (row + 1)
            pen.rectangle((left + 1, top + 1, left + CELL - 2, top + CELL - 2), fill=shade)
            _write(pen, column + 1, row + 1, str(count), PAPER if strength > 0.5 else INK)
    return picture


def draw_mistakes(images: np.ndarray, labels: np.ndarray, guesses: np.ndarray) -> Image.Image:
    """The first digits that were read wrongly, each with what it is and what it was read as."""
    wrong = np.flatnonzero(labels != guesses)[: COLUMNS * ROWS]
    tile, caption = 96, 20
    rows = max(1, -(-len(wrong) // COLUMNS))
    picture = Image.new("RGB", (COLUMNS * tile, rows * (tile + caption)), PAPER)
    pen = ImageDraw.Draw(picture)
    for place, index in enumerate(wrong):
        left, top = (place % COLUMNS) * tile, (place // COLUMNS) * (tile + caption)
        pixels = (255 - images[index].reshape(8, 8) * 255).astype(np.uint8)
        digit = Image.fromarray(pixels).resize((tile - 8, tile - 8), Image.Resampling.NEAREST)
        picture.paste(digit, (left + 4, top + 4))
        pen.text(
            (left + tile // 2, top + tile + caption // 2 - 4),
            f"{labels[index]} read as {guesses[index]}",
            fill=INK,
            font=ImageFont.load_default(12),
            anchor="mm",
        )
    return picture


def _write(pen: ImageDraw.ImageDraw, column: int, row: int, text: str, colour: tuple[int, int, int] = INK) -> None:
    middle = (column * CELL + CELL // 2, row * CELL + CELL // 2)
    pen.text(middle, text, fill=colour, font=ImageFont.load_default(16), anchor="mm")
