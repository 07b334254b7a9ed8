"""The palettes for data, VISUAL section 3, in the light theme; static/css/tokens.css has them in both."""

from __future__ import annotations

RUNS = (
    "#2238b8", "#a14206", "#107460", "#da3aa4", "#9078ee", "#967600",
    "#1d85b0", "#900e26", "#50a729", "#aa8676", "#464e58", "#783b82",
)  # fmt: skip
SEQUENTIAL = ("#e9f7f6", "#bce2e4", "#8fccd9", "#67b4ce", "#489ac3", "#2f7fb7", "#2363aa", "#244698", "#272a7c")
PALE = 2  # so many of them, the first ones, are too pale for lines on the ground
DIVERGING = ("#743100", "#a24e10", "#c9783d", "#e2b38d", "#f2f0ec", "#9ec2e7", "#5c91d7", "#3065be", "#183d9c")
