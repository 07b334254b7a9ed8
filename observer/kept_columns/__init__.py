"""Fields of all runs as columns in this process: what lists of 100,000 runs are filtered, sorted and grouped by.

MongoDB answers a question about one indexed field as fast, but runs are asked for by any of hundreds of config entries
and metrics, in any combination, and 100,000 documents are not read for each of them. The columns follow the database by
its change stream: before each answer all that was written until then is taken in. Where there is no change stream,
where Sacred's own runs are among them, or where the runs are few, MongoDB answers alone; the two agree, as tests say.
"""

from __future__ import annotations

from .answers import KeptColumns, kept_columns_of

__all__ = ["KeptColumns", "kept_columns_of"]
