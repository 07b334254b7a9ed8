"""The body of a request that changes something: JSON that fits the schema of its route, or a refusal that says why."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flask import request

from ...observer.errors import CloisterError
from .run_json import Schema

DEPTH_LIMIT = 20
SHOWN_CHARACTERS = 80
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class BadBody(CloisterError, ValueError):
    """The body of a request cannot be used."""

    def __init__(self, place: str, reason: str) -> None:
        where = f"{place} in the body" if place else "The body"
        super().__init__(f"{where} {reason}.")


class NotJson(CloisterError, ValueError):
    """A request brings a body of another type."""

    status = 415

    def __init__(self, content_type: str | None) -> None:
        super().__init__(
            f"The body's type is {(content_type or 'not given')[:SHOWN_CHARACTERS]!r}. Send JSON, with the header "
            "Content-Type: application/json."
        )


def read_body(schema: Schema) -> dict[str, Any]:
    """The request's JSON object, checked.

    Raises:
        BadBody: it is no JSON, has a key twice, or does not fit `schema`.
        NotJson: it says that it is something else.
    """
    if request.mimetype != "application/json":
        raise NotJson(request.content_type)
    body = parse_json(request.get_data(cache=False))
    check(body, schema, "")
    assert isinstance(body, dict)
    return body


def parse_json(text: bytes) -> Any:
    """Strict JSON: no NaN, no key twice, no depth that costs more than it can mean."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadBody("", "is not UTF-8") from None
    except RecursionError:
        raise BadBody("", "is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BadBody("", f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except BadBody:
        raise
    except ValueError:  # Python reads no numbers of more than 4,300 digits
        raise BadBody("", "holds a number that is too long") from None
    _check_depth(value)
    return value


def check(value: Any, schema: Schema, place: str) -> None:
    """Raise `BadBody` unless `value` fits `schema`, of which we use: type, enum, anyOf, properties, required, items
    and the limits on lengths and numbers. A key that is not in `properties` is refused."""
    if "anyOf" in schema:
        _check_any(value, schema["anyOf"], place)
        return
    if "enum" in schema:
        if not any(value == each and type(value) is type(each) for each in schema["enum"]):
            raise BadBody(place, f"is {_shown(value)}; it takes {', '.join(map(repr, schema['enum']))}")
        return
    kinds = schema.get("type")
    names = [kinds] if isinstance(kinds, str) else list(kinds or ())
    if names and not any(_is_of(value, name) for name in names):
        raise BadBody(place, f"is {_shown(value)}; it takes {' or '.join(names)}")
    if isinstance(value, str):
        _check_text(value, schema, place)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_number(value, schema, place)
    elif isinstance(value, list):
        _check_list(value, schema, place)
    elif isinstance(value, dict):
        _check_object(value, schema, place)


def _check_any(value: Any, choices: list[Schema], place: str) -> None:
    problems = []
    for choice in choices:
        try:
            check(value, choice, place)
        except BadBody as error:
            problems.append(error)
        else:
            return
    raise problems[0]


def _check_text(value: str, schema: Schema, place: str) -> None:
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadBody(place, f"is {_shown(value)}, which holds a character that no text has")
    low, high = schema.get("minLength", 0), schema.get("maxLength", 100_000)
    if not low <= len(value) <= high:
        raise BadBody(place, f"has {len(value)} characters; it takes {low} to {high}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise BadBody(place, f"is {_shown(value)}; it takes {schema.get('description', schema['pattern'])}")


def _check_number(value: float, schema: Schema, place: str) -> None:
    low, high = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)
    if not low <= value <= high:
        raise BadBody(place, f"is {_shown(value)}; it takes {low} to {high}")


def _check_list(value: list[Any], schema: Schema, place: str) -> None:
    most = schema.get("maxItems", 1000)
    if len(value) > most:
        raise BadBody(place, f"has {len(value)} items; it takes {most}")
    for number, each in enumerate(value):
        check(each, schema.get("items", {}), f"{place}[{number}]")


def _check_object(value: dict[str, Any], schema: Schema, place: str) -> None:
    known: Mapping[str, Schema] = schema.get("properties", {})
    for name in value:
        if name not in known and schema.get("additionalProperties", False) is False:
            raise BadBody(_inside(place, name), f"is not known; known are {', '.join(known) or 'none'}")
    for name in schema.get("required", ()):
        if name not in value:
            raise BadBody(_inside(place, name), "is missing")
    for name, each in value.items():
        further = schema.get("additionalProperties")
        check(each, known.get(name, further if isinstance(further, Mapping) else {}), _inside(place, name))  # type: ignore[arg-type]


def _inside(place: str, name: str) -> str:
    shown = repr(name if len(name) <= SHOWN_CHARACTERS else name[:SHOWN_CHARACTERS] + "...")
    return f"{place}.{shown}" if place else shown


def _is_of(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"  # True is an int in Python and none in JSON
    return isinstance(value, _TYPES[name])


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 3] + "..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name in found if sum(name == each for each, _ in pairs) > 1)
        raise BadBody(_inside("", twice), "stands there twice")
    return found


def _refuse_constant(word: str) -> Any:
    raise BadBody("", f"holds {word}, which is no JSON")


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > DEPTH_LIMIT:
        raise BadBody("", f"is nested more than {DEPTH_LIMIT} levels deep")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(each, depth + 1)
