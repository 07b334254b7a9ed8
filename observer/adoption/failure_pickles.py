"""Pickles that Sacred's MongoObserver leaves in its failure_dir: the last state of a run that it could not store."""

from __future__ import annotations

import re

_NAME = re.compile(r"sacred_mongo_fail_.*\.pickle", re.DOTALL)


def is_failure_pickle(name: str) -> bool:
    return _NAME.fullmatch(name) is not None
