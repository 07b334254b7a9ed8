"""A pickle of plain values, read without Python's unpickler: nothing that it names is imported, looked up or called.

Sacred leaves the record of a run as a pickle where its database fails. What may be in one had to be BSON when the run
began, so the table of types is short, and a pickle that names anything else is refused. `pickletools` cuts the bytes
into operations; what an operation does is decided here.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import CloisterError
from .pickled_types import CONSTRUCTORS, INERT, NoValue

SIZE_LIMIT_BYTES = 256 * 1024 * 1024
OPERATIONS_LIMIT = 5_000_000
ITEMS_LIMIT = 2_000_000  # of the whole value: a pickle may name one list in many places, and that again
TEXT_LIMIT = 512 * 1024 * 1024  # of all texts and bytes, each counted wherever it is named
DEPTH_LIMIT = 90  # MongoDB takes 100


class RefusedPickle(CloisterError, ValueError):
    """A pickle is damaged, too large, or holds what no record of a run does."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"It is not read: {reason}. Nothing in it was run.")


@dataclass(frozen=True)
class _Named:
    """What a pickle calls by a module and a name: two texts, that is all."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:200]


@dataclass(eq=False)
class _Made:
    """An object that a pickle makes of a named type: what it is given is gathered, and judged when all is known."""

    kind: _Named
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: dict[str, Any] = field(default_factory=dict)


class _Mark:
    """Where a tuple, list or dict begins on the stack."""


_MARK = _Mark()


def load_plain_pickle(data: bytes) -> Any:
    """The dicts, lists, texts, numbers, dates and BSON types that a pickle holds.

    Raises:
        RefusedPickle: it holds anything else, or is too large, too deep or damaged.
    """
    if len(data) > SIZE_LIMIT_BYTES:
        raise RefusedPickle(f"it has more than {SIZE_LIMIT_BYTES // 2**20} MiB")
    try:
        return _Plain().convert(_Machine().run(data), 0)
    except RefusedPickle:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError, NoValue) as error:
        raise RefusedPickle(f"it is damaged ({str(error)[:200] or type(error).__name__})") from error


class _Machine:
    """The pickle machine: a stack and a memo. Named types stay names."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._does: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self._stack.append(_MARK),
            "POP": lambda _: self._pop(),
            "POP_MARK": lambda _: self._pop_to_mark(),
            "DUP": lambda _: self._stack.append(self._stack[-1]),
            "NONE": lambda _: self._stack.append(None),
            "NEWTRUE": lambda _: self._stack.append(True),
            "NEWFALSE": lambda _: self._stack.append(False),
            "EMPTY_DICT": lambda _: self._stack.append({}),
            "EMPTY_LIST": lambda _: self._stack.append([]),
            "EMPTY_TUPLE": lambda _: self._stack.append(()),
            "EMPTY_SET": lambda _: self._stack.append([]),
            "DICT": lambda _: self._stack.append(_paired(self._drop_to_mark())),
            "LIST": lambda _: self._stack.append(self._drop_to_mark()),
            "TUPLE": lambda _: self._stack.append(tuple(self._drop_to_mark())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "FROZENSET": lambda _: self._stack.append(self._drop_to_mark()),
            "APPEND": lambda _: self._extend([self._drop()]),
            "APPENDS": lambda _: self._extend(self._drop_to_mark()),
            "ADDITEMS": lambda _: self._extend(self._drop_to_mark()),
            "SETITEM": lambda _: self._update([self._drop(), self._drop()][::-1]),
            "SETITEMS": lambda _: self._update(self._drop_to_mark()),
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
            "GLOBAL": lambda both: self._name(*str(both).split(" ", 1)),
            "STACK_GLOBAL": lambda _: self._name(*[self._drop(), self._drop()][::-1]),
            "REDUCE": lambda _: self._make(),
            "NEWOBJ": lambda _: self._make(),
            "BUILD": lambda _: self._build(self._drop()),
        }
        for name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._does[name] = self._remember
        for name in ("GET", "BINGET", "LONG_BINGET"):
            self._does[name] = lambda place: self._stack.append(self._memo[place])
        for name in ("PROTO", "FRAME"):
            self._does[name] = lambda _: None

    def run(self, data: bytes) -> Any:
        for count, (operation, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
            if count > OPERATIONS_LIMIT:
                raise RefusedPickle(f"it has more than {OPERATIONS_LIMIT:,} operations")
            if operation.name == "STOP":
                break
            if operation.name in _LITERALS:
                self._stack.append(argument)
            elif operation.name in self._does:
                self._does[operation.name](argument)
            else:
                raise RefusedPickle(f"it has the operation {operation.name}, which no record of a run needs")
        return self._drop()

    def _pop(self) -> None:
        self._stack.pop()

    def _pop_to_mark(self) -> None:
        self._drop_to_mark()

    def _drop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def _drop_to_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        found = self._stack[place + 1 :]
        del self._stack[place:]
        return found

    def _tuple(self, size: int) -> None:
        parts = [self._drop() for _ in range(size)]
        self._stack.append(tuple(parts[::-1]))

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, (list, _Made)):
            raise ValueError("items for what is no list")
        (target.items if isinstance(target, _Made) else target).extend(values)

    def _update(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, (dict, _Made)):
            raise ValueError("items for what is no dict")
        (target.pairs if isinstance(target, _Made) else target).update(_paired(values))

    def _remember(self, place: int) -> None:
        if not 0 <= place <= OPERATIONS_LIMIT:  # also: numbers of any size can be chosen to collide in the dict
            raise ValueError(f"place {place} of the memo")
        self._memo[place] = self._stack[-1]

    def _name(self, module: Any, name: Any) -> None:
        named = _Named(str(module), str(name))
        if (named.module, named.name) not in CONSTRUCTORS and (named.module, named.name) not in INERT:
            raise RefusedPickle(f"it names {named}, which is none of the types that the record of a run holds")
        self._stack.append(named)

    def _make(self) -> None:
        arguments, kind = self._drop(), self._drop()
        if not isinstance(kind, _Named) or not isinstance(arguments, tuple):
            raise ValueError("a call of what is no type")
        if kind.name == "_reconstructor":  # of protocols 0 and 1: (type, its base, the base's value)
            kind, arguments = arguments[0], () if arguments[2] is None else (arguments[2],)
        if not isinstance(kind, _Named) or (kind.module, kind.name) not in CONSTRUCTORS:
            raise RefusedPickle(f"it calls {kind if isinstance(kind, _Named) else type(kind).__name__}")
        self._stack.append(_Made(kind, arguments))

    def _build(self, state: Any) -> None:
        target = self._stack[-1]
        if not isinstance(target, _Made):
            raise ValueError("a state for what is no object")
        target.state = state


# Operations whose argument is the value.
_LITERALS = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip


class _Plain:
    """Turns what the machine has made into values, as many as may be."""

    def __init__(self) -> None:
        self._left = ITEMS_LIMIT
        self._text_left = TEXT_LIMIT

    def convert(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise RefusedPickle(f"it holds more than {ITEMS_LIMIT:,} values")
        if depth > DEPTH_LIMIT:
            raise RefusedPickle(f"it is nested more than {DEPTH_LIMIT} deep")
        if isinstance(value, (str, bytes, bytearray)):
            self._text_left -= len(value)
            if self._text_left < 0:
                raise RefusedPickle(f"its texts have more than {TEXT_LIMIT // 2**20} MiB")
        if isinstance(value, dict):
            return {key: self.convert(child, depth + 1) for key, child in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.convert(child, depth + 1) for child in value]
        if isinstance(value, _Made):
            return self._object(value, depth)
        if isinstance(value, (_Named, _Mark)):
            raise RefusedPickle("it holds a type where a value should be")
        return bytes(value) if isinstance(value, bytearray) else value

    def _object(self, made: _Made, depth: int) -> Any:
        construct = CONSTRUCTORS[made.kind.module, made.kind.name]
        arguments = tuple(None if isinstance(one, _Named) else self.convert(one, depth + 1) for one in made.arguments)
        state = None if made.state is None else self.convert(made.state, depth + 1)
        items = [self.convert(one, depth + 1) for one in made.items]
        pairs = {key: self.convert(child, depth + 1) for key, child in made.pairs.items()}
        return construct(arguments, state, items, pairs)


def _paired(values: list[Any]) -> dict[str, Any]:
    if len(values) % 2:
        raise ValueError("a dict of odd parts")
    # Texts at once: of numbers somebody may choose many that collide in a dict.
    return dict(zip(map(_key, values[::2]), values[1::2], strict=True))


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, int, float)):
        return str(key)
    raise RefusedPickle(f"it has a dict whose key is a {type(key).__name__}")
