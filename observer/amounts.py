"""Counts and sizes as commands print them."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """`1 run`, `1,234 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size_of(size_bytes: float) -> str:
    """`812 B`, `1.2 MB`; decimal units, as disks are sold."""
    if size_bytes < 1000:
        return f"{size_bytes:,.0f} B"
    for unit in ("kB", "MB"):
        size_bytes /= 1000
        if size_bytes < 1000:
            return f"{size_bytes:,.1f} {unit}"
    return f"{size_bytes / 1000:,.1f} GB"
