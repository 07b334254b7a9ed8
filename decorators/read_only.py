"""A config as captured functions get it: dicts and lists that cannot be changed by accident."""

from __future__ import annotations

from typing import Any, NoReturn

from ..observer.errors import CloisterError
from .config.namespace import Namespace


class ConfigIsReadOnly(CloisterError, TypeError):
    """Something tried to change the config of a run that has started."""

    def __init__(self, kind: str) -> None:
        copied = "dict(...)" if kind == "mapping" else "list(...)"
        super().__init__(
            f"This {kind} is part of the config of a run, which is recorded and shared by all its functions, so it "
            f"cannot be changed. Change a copy of it: {copied}, or copy.deepcopy(...)."
        )


class ReadOnlyDict(Namespace):
    """A dict of a config. Everything that reads dicts takes it; a copy of it is an ordinary dict."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigIsReadOnly("mapping")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def copy(self) -> dict[str, Any]:
        return dict(self)

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        from copy import deepcopy

        return {key: deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> Any:  # pickle would fill a new one item by item, which this class refuses
        return dict, (dict(self),)


class ReadOnlyList(list[Any]):
    """A list of a config. Everything that reads lists takes it; a copy of it is an ordinary list."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigIsReadOnly("list")

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def copy(self) -> list[Any]:
        return list(self)

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        from copy import deepcopy

        return [deepcopy(value, memo) for value in self]

    def __reduce__(self) -> Any:
        return list, (list(self),)


def read_only(value: Any) -> Any:
    """`value` with its dicts and lists replaced by read-only copies; anything else in it stays the same object."""
    if type(value) in (dict, Namespace):
        return ReadOnlyDict({key: read_only(item) for key, item in value.items()})
    if type(value) is list:
        return ReadOnlyList([read_only(item) for item in value])
    if type(value) is tuple:
        return tuple([read_only(item) for item in value])
    return value
