"""How ids in our addresses are read: a number, or the word for one of another type; all else is no address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.routing import BaseConverter, ValidationError

from ..observer.run_ids import BadRunId, parse_run_id
from .run_keys import path_segment

if TYPE_CHECKING:
    from ..observer.run_record import RunId


RUN_ID_PATTERN = "-?[0-9]{1,19}|(?:id|oid|bson):[^/]{0,12000}"


class RunIdConverter(BaseConverter):
    """`<run:run_id>`: ASCII digits that MongoDB can hold, `id:<text>`, `oid:<24 digits>`; see observer/run_ids.py."""

    regex = RUN_ID_PATTERN
    weight = 50

    def to_python(self, value: str) -> RunId:
        try:
            return parse_run_id(value)
        except BadRunId as error:
            raise ValidationError from error

    def to_url(self, value: RunId) -> str:
        return path_segment(value)
