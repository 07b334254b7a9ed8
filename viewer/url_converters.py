"""How numbers in our addresses are read: ASCII digits that MongoDB can hold, everything else is no address of ours."""

from __future__ import annotations

from werkzeug.routing import BaseConverter, ValidationError

INT64_MAX = 2**63 - 1


class WholeNumber(BaseConverter):
    """Replaces Werkzeug's `int`, which takes Arabic digits and numbers that no database holds."""

    regex = "[0-9]{1,19}"
    weight = 50

    def to_python(self, value: str) -> int:
        number = int(value)
        if number > INT64_MAX:
            raise ValidationError
        return number

    def to_url(self, value: object) -> str:
        return str(value)
