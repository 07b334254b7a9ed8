"""jsonpickle's JSON read as plain data: what its own encoder writes, what older ones wrote, what an enemy would."""

from __future__ import annotations

import array
import base64
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import pathlib
import re
import sys
import uuid
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cloister.observer.sacred_limits import DEPTH_LIMIT, ITEMS_LIMIT
from cloister.observer.sacred_values import plain_value
from hypothesis import given
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandas' handlers are asked for by name only
    jsonpickle = pytest.importorskip("jsonpickle")
    numpy_handlers = pytest.importorskip("jsonpickle.ext.numpy")

UTC = datetime.timezone.utc
FIVE_HOURS = datetime.timezone(datetime.timedelta(hours=5))


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Options:
    lr: float = 0.1
    layers: list[int] = dataclasses.field(default_factory=lambda: [1, 2])


class Slots:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1


class OwnList(list):  # type: ignore[type-arg]
    pass


Pair = collections.namedtuple("Pair", "x y")


def flatten(value: Any) -> Any:
    """As Sacred stores it."""
    numpy_handlers.register_handlers()
    return json.loads(jsonpickle.encode(value, keys=True))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2, "x")), [1, [2, "x"]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (b"\xff\x00", b"\xff\x00"),
        (1 + 2j, "1+2j"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(1, 2), "1 day, 0:00:02"),
        (datetime.datetime(2020, 1, 2, 3, 4, 5, 6), datetime.datetime(2020, 1, 2, 3, 4, 5, 6)),
        (datetime.datetime(2020, 1, 2, tzinfo=UTC), datetime.datetime(2020, 1, 2, tzinfo=UTC)),
        (datetime.datetime(2020, 1, 2, 5, tzinfo=FIVE_HOURS), datetime.datetime(2020, 1, 2, tzinfo=UTC)),
        (pathlib.PurePosixPath("/data/x"), "/data/x"),
        (pathlib.PureWindowsPath("C:/x"), "C:\\x"),
        (decimal.Decimal("1.50"), "1.50"),
        (fractions.Fraction(1, 3), "1/3"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Options(), {"<class>": "test_sacred_values.Options", "lr": 0.1, "layers": [1, 2]}),
        (Slots(), {"<class>": "test_sacred_values.Slots", "a": 1}),
        (OwnList([1, 2]), [1, 2]),
        (Pair(1, 2), [1, 2]),
        (collections.OrderedDict(b=1, a=[2]), {"b": 1, "a": [2]}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.deque([1, 2], maxlen=3), [1, 2]),
        (array.array("d", [1.5]), [1.5]),
        (re.compile("a+"), "a+"),
        ({1: "a", (1, 2): "b", None: "c", "1": "d"}, {"1": "d", "1'": "a", "(1, 2)": "b", "None": "c"}),
        (len, "<function builtins.len>"),
        (Options, "<class test_sacred_values.Options>"),
        (json, "<module json>"),
        (range(3), "range(0, 3, 1)"),
        (2**70, 2**70),
        (math.inf, math.inf),
    ],
)
def test_what_python_has_beside_json_is_shown_as_plain_data(value: Any, plain: Any) -> None:
    def named_here(read: Any) -> Any:  # the test module's name is that of wherever pytest found it
        if isinstance(read, dict):
            return {key: named_here(child) for key, child in read.items()}
        return read.replace(f"{__name__}.", "test_sacred_values.") if isinstance(read, str) else read

    assert named_here(plain_value({"v": flatten(value)})["v"]) == plain


@pytest.mark.parametrize(
    "values",
    [
        np.float64(3.5),
        np.int32(-3),
        np.bool_(True),
        np.str_("x"),
        np.arange(3.0),
        np.arange(1000.0),
        np.arange(40, dtype=">i4").reshape(5, 8),
        np.asfortranarray(np.arange(40.0).reshape(5, 8)),
        np.arange(40).reshape(5, 8)[1:, ::2],
        np.arange(40.0).reshape(5, 8).T[2:],
        np.arange(400)[::-1],
        np.zeros((0, 3)),
        np.array(5.0),
        np.array([1, "a", None] * 20, dtype=object),
        np.array(["a", "ü"] * 20),
        np.array([True, False] * 20),
        np.float16([1.5] * 20),
    ],
    ids=repr,
)
def test_numbers_and_arrays_of_numpy_are_numbers_and_lists(values: Any) -> None:
    assert plain_value(flatten({"a": values}))["a"] == values.tolist()


def test_arrays_of_other_things_are_text() -> None:
    dates = np.array(["2020-01-02"] * 20, dtype="datetime64[D]")
    assert plain_value(flatten(dates)) == ["2020-01-02"] * 20
    assert plain_value(flatten(np.array([1 + 2j] * 20))) == ["1+2j"] * 20
    assert plain_value(flatten(np.zeros(20, dtype=[("a", "f4"), ("b", "i4")]))).startswith("<array of shape (20), [")
    assert plain_value(flatten(Colour.RED)).endswith("Colour 1>")


def test_what_stands_twice_is_shown_twice_however_it_is_counted() -> None:
    shared, options, many = [1], Options(), np.arange(40.0)
    zone, when = FIVE_HOURS, datetime.datetime(2020, 1, 2, 5, tzinfo=FIVE_HOURS)
    value = {
        "a": shared,
        "d": {"q": {}},
        (1, 2): shared,
        "when": [when, datetime.datetime(2020, 1, 3, 5, tzinfo=zone), when],
        "o": [options, options, options.layers],
        "n": [np.arange(3), many, many, many[3:5]],
        "p": [pathlib.PurePosixPath("/a")] * 2,
        "t": (shared, {"s"}, shared),
        "z": [shared, value_of_a_key := {"k": shared}, value_of_a_key],
    }
    plain = plain_value(flatten(value))
    assert "py/id" in json.dumps(flatten(value))
    assert plain["(1, 2)"] == plain["a"] == plain["z"][0] == plain["t"][0] == plain["t"][2] == [1]
    assert plain["z"][1] == plain["z"][2] == {"k": [1]}
    assert plain["o"][0] == plain["o"][1]
    assert plain["o"][2] == [1, 2]
    assert plain["n"][1:] == [many.tolist(), many.tolist(), [3.0, 4.0]]
    assert plain["p"] == ["/a", "/a"]
    assert [str(each) for each in plain["when"]] == [f"2020-01-0{day} 00:00:00+00:00" for day in (2, 3, 2)]


def test_a_value_that_contains_itself_says_so() -> None:
    circle: list[Any] = [1]
    circle.append({"back": circle})
    assert plain_value(flatten(circle)) == [1, {"back": "<contains itself>"}]


def test_references_of_jsonpickle_before_2_count_no_dicts() -> None:
    # What jsonpickle 1.2 made of {"a": [1], "b": {"k": 1}, "c": the same dict, "e": an object, "g": l, "h": l, "z": l}.
    written = {
        "a": [1],
        "b": {"k": 1},
        "c": {"k": 1},
        "e": {"py/object": "m.Opt", "py/state": {"layers": [1, 2], "lr": 0.1}},
        "g": ["l"],
        "h": {"py/id": 3},
        "n": {"dtype": "int64", "py/object": "numpy.ndarray", "values": [0, 1, 2]},
        "z": {"py/id": 3},
    }
    plain = plain_value(written, encoder="jsonpickle 1")
    assert (plain["h"], plain["z"]) == (["l"], ["l"])
    assert plain["e"] == {"<class>": "m.Opt", "layers": [1, 2], "lr": 0.1}


def test_what_sacred_0_7_made_of_arrays_and_tables_is_read() -> None:
    # Its own handlers, which gave no numbers to the lists in them.
    written = {
        "x": {"py/object": "numpy.ndarray", "values": [[1, 2], [3, 4]], "dtype": "int64"},
        "t": {"py/object": "pandas.core.frame.DataFrame", "values": {"a": {"0": 1, "1": 2}}, "dtypes": {"a": "int64"}},
        "l": ["seven"],
        "again": {"py/id": 2},
    }
    assert plain_value(written, encoder="sacred 0.8.0") == {
        "x": [[1, 2], [3, 4]],
        "t": {"a": {"0": 1, "1": 2}},
        "l": ["seven"],
        "again": ["seven"],
    }


def test_what_sacred_0_7_counted_without_a_trace_is_not_guessed() -> None:
    # {"a": l, "best": numpy.float64(2.5), "o": Opt(), "again": the same, "z": l}: the number had been counted.
    written = {
        "a": ["l"],
        "best": 2.5,
        "o": {"py/object": "m.Opt", "py/state": {"layers": [1, 2]}},
        "again": {"py/id": 2},
        "z": {"py/id": 0},
    }
    plain = plain_value(written, encoder="sacred 0.8.0")
    assert (plain["again"], plain["z"]) == ("<the same as another value>", ["l"])


def test_tables_of_pandas_are_read_without_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jsonpickle.ext.pandas as handlers

        handlers.register_handlers()
        try:
            small = flatten(pandas.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}))
            large = flatten(pandas.DataFrame({"a": range(1000)}))
            series = flatten(pandas.Series([1.5, 2.5], name="s"))
            stamp = flatten(pandas.Timestamp("2020-01-02T03:04:05Z"))
        finally:
            handlers.unregister_handlers()
    assert plain_value(small) == {"a": [1, 2], "b": [0.5, 1.5]}
    assert plain_value(large) == {"a": list(range(1000))}
    assert plain_value(series)["values"] == [1.5, 2.5]
    assert str(plain_value(stamp)).startswith("2020-01-02 03:04:05")


# ---- enemies


def bomb(size: int) -> str:
    return base64.b64encode(zlib.compress(bytes(size), 9)).decode()


def deep(levels: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


HOSTILE: dict[str, Any] = {
    "a call": {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["touch owned"]}]},
    "a call of old": {"py/object": "os.system", "py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["touch owned"]}]},
    "an object": {"py/object": "subprocess.Popen", "py/newargs": {"py/tuple": [["touch", "owned"]]}},
    "a state": {"py/object": "cloister_never_imported.X", "py/state": {"py/tuple": [1, {"a": 2}]}},
    "a repr": {"py/repr": "os/os.system('touch owned')"},
    "a module": {"py/mod": "cloister_never_imported/cloister_never_imported"},
    "a type": {"py/type": "cloister_never_imported.X"},
    "lists": deep(10_000, lambda inner: [inner]),
    "tuples": deep(10_000, lambda inner: {"py/tuple": [inner]}),
    "states": deep(10_000, lambda inner: {"py/object": "a.B", "py/state": inner}),
    "calls": deep(10_000, lambda inner: {"py/reduce": [{"py/type": "a.B"}, {"py/tuple": [inner]}, inner, inner]}),
    "keys": {str(number): number for number in range(1_000_000)},
    "laughs": {"a": [["ha"] * 10] + [[{"py/id": number + 2}] * 10 for number in range(30)]},
    "a bomb": {"py/object": "numpy.ndarray", "values": bomb(10**8), "shape": [10], "dtype": "float64"},
    "an honest bomb": {"py/object": "numpy.ndarray", "values": bomb(10**8), "shape": [10**8], "dtype": "bool"},
    "wide items": {"py/object": "numpy.ndarray", "values": bomb(10**8), "shape": [25_000], "dtype": "<U1000"},
    "many bombs": [
        {
            "py/object": "numpy.ndarray",
            "base": {"py/object": "numpy.ndarray", "values": bomb(10**7), "shape": [10**7], "dtype": "bool"},
            "shape": [1],
            "dtype": "bool",
        }
    ]
    * 1000,
    "tables": [
        {"py/object": "pandas.core.frame.DataFrame", "txt": False, "comp": True, "meta": {}, "values": bomb(10**8)}
    ]
    * 1000,
    "objects": {"py/object": "numpy.ndarray", "values": bomb(10**8), "shape": [10], "dtype": "object"},
    "steps outside": {
        "py/object": "numpy.ndarray",
        "base": {"py/object": "numpy.ndarray", "values": [1, 2, 3], "dtype": "float64"},
        "shape": [3],
        "strides": [-8],
        "offset": -800,
        "dtype": "float64",
    },
    "a type of objects": {"py/object": "numpy.ndarray", "values": "AAAA", "shape": [1], "dtype": "O,O"},
    "an owner that is itself": {"py/object": "numpy.ndarray", "base": {"py/id": 0}, "shape": [1], "dtype": "f8"},
    "a deep key": {"json://" + "[" * 100_000: 1},
    "a number beyond": [{"py/id": 10**30}, {"py/id": -1}, {"py/id": math.nan}, {"py/id": "x"}],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_enemy_has_nothing_executed_imported_or_unpacked_without_end(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    plain = plain_value({"v": HOSTILE[name]})
    assert not list(tmp_path.iterdir())
    assert not [module for module in set(sys.modules) - before if "cloister_never" in module or "pandas" in module]
    assert count(plain) <= 2 * ITEMS_LIMIT
    assert depth(plain) <= DEPTH_LIMIT + 2


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a call", "<os.system 'touch owned'>"),
        ("an object", "<subprocess.Popen ('touch', 'owned')>"),
        ("a repr", "<os/os.system('touch owned')>"),
        ("a bomb", "<array of shape (10), float64>"),
        ("an honest bomb", "<array of shape (100000000), bool>"),
        ("steps outside", "<array of shape (3), float64>"),
    ],
)
def test_what_an_enemy_named_can_be_read(name: str, shown: str) -> None:
    assert plain_value(HOSTILE[name]) == shown


def test_a_cut_value_has_its_mark() -> None:
    keys = plain_value(HOSTILE["keys"])
    assert (keys["0"], keys["<more>"]) == (0, "<more>")
    assert plain_value([1, 2, 3], items_limit=3)[-1] == "<more>"


TAGS = st.sampled_from(
    [
        "py/tuple",
        "py/set",
        "py/b64",
        "py/b85",
        "py/id",
        "py/iterator",
        "py/object",
        "py/type",
        "py/reduce",
        "py/function",
        "py/mod",
        "py/repr",
        "py/ref",
        "py/seq",
        "py/state",
        "py/newargs",
        "values",
        "dtype",
        "shape",
        "base",
        "strides",
        "offset",
        "byteorder",
        "__reduce__",
        "meta",
        "txt",
        "comp",
        "hex",
        "pattern",
        "value",
        "json://1",
        "json://[",
        "default_factory",
        "__dict__",
        "__module__",
        "__qualname__",
        "isoformat",
    ]
)
NAMES = st.sampled_from(
    [
        "numpy.ndarray",
        "numpy.float64",
        "datetime.datetime",
        "datetime.date",
        "datetime.time",
        "datetime.timezone",
        "datetime.timedelta",
        "builtins.complex",
        "uuid.UUID",
        "re.Pattern",
        "array.array",
        "pandas.core.frame.DataFrame",
        "collections.OrderedDict",
        "pathlib.Path",
        "decimal.Decimal",
        "builtins.frozenset",
        "py/newobj",
        "float64",
        "<U3",
        "B+QBAg==",
        "eJwDAAAAAAE=",
        ">",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3) | NAMES
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TAGS | st.text(max_size=4), inner, max_size=4),
    max_leaves=30,
)


@given(value=JSON, encoder=st.sampled_from(["jsonpickle 2", "jsonpickle 1", "sacred 0.8.0"]))
def test_nothing_that_looks_like_jsonpickle_raises(value: Any, encoder: Any) -> None:
    assert is_plain(plain_value(value, encoder=encoder))


PYTHON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=30,
)


@given(value=PYTHON, shared=PYTHON)
def test_what_json_can_say_comes_back_equal_also_where_it_is_shared(value: Any, shared: Any) -> None:
    whole = {"first": shared, "then": [value, shared, {"deep": shared}], "last": value}
    assert plain_value(flatten(whole)) == whole


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(child) for key, child in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or type(value) in (str, int, float, bool, bytes, datetime.datetime)


def count(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, children))


def depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, children), default=0)
