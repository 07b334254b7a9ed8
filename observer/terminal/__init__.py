"""Runs in a terminal: `cloister ls`, `show`, `diff`, `tail` and `top`, for sites that are reached by ssh alone."""
