"""How near runs come to a query that none of them meets: "The highest is 0.989." """

from __future__ import annotations

from typing import TYPE_CHECKING

from ..observer.query.conditions import Condition
from ..observer.run_query import RunQuery, parsed_query
from .column_keys import find_column, find_value
from .wording import format_number

if TYPE_CHECKING:
    from ..observer.runs import RunStore
    from .runs_address import RunsAddress

_ENDS = {">": ("-", "highest"), ">=": ("-", "highest"), "<": ("", "lowest"), "<=": ("", "lowest")}


def find_nearest(store: RunStore, asked: RunsAddress) -> str:
    """A sentence with the value that comes nearest to a query of one comparison; "" for any other."""
    where = asked.search().where
    node = parsed_query(where).node if where else None
    if not isinstance(node, Condition) or node.operator not in _ENDS or node.field.kind not in ("number", "any"):
        return ""
    sign, word = _ENDS[node.operator]
    found = store.list_runs(
        RunQuery(asked.project, sort=f"{sign}{node.field.key}", page_size=1, archived=asked.archived)
    ).runs
    value = find_value(found[0], find_column(node.field.key).key) if found else None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return ""
    return f" The {word} is {format_number(value, 6)}."
