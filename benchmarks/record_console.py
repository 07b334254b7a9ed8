"""A run that prints much: python record_console.py NAME LINES BYTES prints LINES lines of BYTES bytes to nowhere."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import cloister


def main() -> None:
    name, lines, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    padding = "." * (size - 9)
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        cloister.start_run(project="benchmark", name=name, capture="sys", hardware=False),
    ):
        for number in range(lines):
            print(f"{number:08d}{padding}")


if __name__ == "__main__":
    main()
