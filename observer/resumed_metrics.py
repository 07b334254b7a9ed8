"""Metrics whose documents Sacred wrote, of an adopted run that is resumed: it goes on in those and begins no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database


def find_sacreds_own(database: Database[dict[str, Any]], run_id: Any, names: Mapping[bytes, str]) -> dict[bytes, Any]:
    """The documents in which these metrics can go on: their ids, by metric. Each says now how many points it has.

    None for a metric of which chunks cannot say all that Sacred's document does (values that are no numbers, steps that
    are not whole, lists of several lengths): a document of ours is rewritten when it grows.
    """
    from pymongo import UpdateOne

    asked = {"run_id": {"$eq": run_id}, "name": {"$in": list(names.values())}}
    found: dict[Any, list[dict[str, Any]]] = {}
    for document in database["metrics"].aggregate([{"$match": asked}, {"$project": _FACTS}]):
        found.setdefault(document["name"], []).append(document)
    taken = {
        metric: found[name][0]
        for metric, name in names.items()
        if len(found.get(name, ())) == 1 and (found[name][0].get("is_ours") or found[name][0].get("is_whole"))
    }
    marks = [
        UpdateOne(
            {"_id": document["_id"], "cloister": {"$exists": False}},
            {"$set": {"cloister": {"count": document["count"], "stored": document["count"], "thinned": False}}},
        )
        for document in taken.values()
        if not document["is_ours"]
    ]
    if marks:
        database["metrics"].bulk_write(marks, ordered=False)
    return {metric: document["_id"] for metric, document in taken.items()}


def _array(field: str) -> dict[str, Any]:
    return {"$cond": [{"$isArray": f"${field}"}, f"${field}", []]}


def _all(field: str, condition: dict[str, Any]) -> dict[str, Any]:
    return {"$allElementsTrue": [{"$map": {"input": _array(field), "in": condition}}]}


def _type_is(*names: str) -> dict[str, Any]:
    return {"$in": [{"$type": "$$this"}, list(names)]}


_COUNT = {"$size": _array("values")}
_IS_WHOLE = {
    "$and": [
        {"$eq": [_COUNT, {"$size": _array("steps")}]},
        {"$eq": [_COUNT, {"$size": _array("timestamps")}]},
        _all("values", _type_is("double", "int", "long")),
        _all("steps", _type_is("int", "long")),
        _all("timestamps", _type_is("date")),
    ]
}
_FACTS = {"name": 1, "count": _COUNT, "is_whole": _IS_WHOLE, "is_ours": {"$isNumber": "$cloister.count"}}
