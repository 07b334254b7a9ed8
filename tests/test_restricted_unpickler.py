"""Pickles of runs are read by a machine of our own: plain values come back, nothing that a pickle names is called."""

from __future__ import annotations

import collections
import datetime
import pickle
import struct
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from bson.code import Code
from bson.son import SON
from bson.timestamp import Timestamp
from bson.tz_util import FixedOffset
from cloister.observer.adoption.pickled_types import CONSTRUCTORS, INERT
from cloister.observer.adoption.plain_pickle import RefusedPickle, load_plain_pickle
from hypothesis import given
from hypothesis import strategies as st

UTC = datetime.timezone.utc
MOMENT = datetime.datetime(2024, 2, 29, 23, 59, 58, 123456, tzinfo=UTC)
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

# What the record of a run may hold, and how it comes back where that is another value.
KEPT: dict[str, Any] = {
    "text": "ä\n\u20ac😀",
    "numbers": [0, -1, 255, 65_536, 2**40, -(2**63), 2**70, 1.5, float("inf")],
    "others": [None, True, False, b"\x00\xff", {}, []],
    "id": ObjectId("0123456789abcdef01234567"),
    "nested": {"a": {"b": [{"c": 1}]}},
    "moment": MOMENT,
    "int64": Int64(2**40),
}
CHANGED: dict[str, tuple[Any, Any]] = {
    "naive": (MOMENT.replace(tzinfo=None), MOMENT),
    "elsewhere": (MOMENT.astimezone(datetime.timezone(datetime.timedelta(hours=5))), MOMENT),
    "fixed": (MOMENT.astimezone(FixedOffset(90, "half past")), MOMENT),
    "date": (datetime.date(2024, 2, 29), "2024-02-29"),
    "tuple": ((1, (2,)), [1, [2]]),
    "set": ({1}, [1]),
    "frozenset": (frozenset("a"), ["a"]),
    "ordered": (collections.OrderedDict(a=1, b=2), {"a": 1, "b": 2}),
    "default": (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
    "son": (SON([("b", 1), ("a", 2)]), {"b": 1, "a": 2}),
    "binary": (Binary(b"ab", 0), b"ab"),
    "bytearray": (bytearray(b"ab"), b"ab"),
    "decimal": (Decimal128("-12.50"), "-12.50"),
    "timestamp": (Timestamp(1000, 1), datetime.datetime.fromtimestamp(1000, UTC)),
    "code": (Code("while (true) {}"), "<bson.Code>"),
    "regex": (Regex("(a+)+$"), "<bson.Regex>"),
    "uuid": (uuid.UUID(int=5), str(uuid.UUID(int=5))),
    "keys": ({1: "a", None: "b", 2.5: "c"}, {"1": "a", "None": "b", "2.5": "c"}),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_run_is_made_of_comes_back(protocol: int) -> None:
    shared = ["twice"]
    record = {**KEPT, **{name: given for name, (given, _) in CHANGED.items()}, "one": shared, "other": shared}
    expected = {**KEPT, **{name: read for name, (_, read) in CHANGED.items()}, "one": shared, "other": shared}
    assert load_plain_pickle(pickle.dumps(record, protocol)) == expected


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


@given(value=PLAIN, protocol=st.sampled_from(PROTOCOLS))
def test_any_plain_value_comes_back(value: Any, protocol: int) -> None:
    assert load_plain_pickle(pickle.dumps(value, protocol)) == value


@given(data=st.binary(max_size=200), head=st.sampled_from([b"", b"\x80\x04", b"(", b"\x80\x02}q\x00("]))
def test_bytes_that_are_no_pickle_are_refused_or_read(data: bytes, head: bytes) -> None:
    try:
        load_plain_pickle(head + data)
    except RefusedPickle as error:
        assert "Nothing in it was run" in str(error)  # noqa: PT017 most bytes are refused, some happen to be a pickle


@given(place=st.integers(0, 10_000), octet=st.integers(0, 255))
def test_a_damaged_pickle_is_refused_or_read(place: int, octet: int) -> None:
    data = bytearray(pickle.dumps({**KEPT, **{name: given for name, (given, _) in CHANGED.items()}}, 4))
    data[place % len(data)] = octet
    try:
        load_plain_pickle(bytes(data))
    except RefusedPickle as error:
        assert "Nothing in it was run" in str(error)  # noqa: PT017 a changed text is read, a changed operation is not


# ---- hostile

TRACE = "{trace}"
_ZERO_HASH = 2**61 - 1
_MEGABYTE = b"\x80\x04X" + struct.pack("<I", 2**20) + b"a" * 2**20
_LONG_TIME = b"\x8c\x10_Timestamp__time\x8a\x08" + (2**62).to_bytes(8, "little")


def _colliding(number: int) -> bytes:
    return b"\x8a\x0a" + (number * _ZERO_HASH).to_bytes(10, "little") + b"N"


HOSTILE = {
    "os.system by reduce": b"\x80\x04cposix\nsystem\n(S'touch {trace}'\ntR.",
    "os.system in a dict": b"\x80\x04}S'status'\ncposix\nsystem\n(S'touch {trace}'\ntRs.",
    "os.system by stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93(S'touch {trace}'\ntR.",
    "os.system by INST": b"(S'touch {trace}'\niposix\nsystem\n.",
    "os.system by OBJ": b"(cposix\nsystem\nS'touch {trace}'\no.",
    "subprocess.Popen by newobj": b"\x80\x04csubprocess\nPopen\n((S'touch'\nS'{trace}'\nlt\x81.",
    "newobj with keywords": b"\x80\x04csubprocess\nPopen\n)}\x92.",
    "builtins.eval": b"\x80\x04cbuiltins\neval\n(S'open(\"{trace}\", \"w\")'\ntR.",
    "builtins.exec": b"\x80\x04c__builtin__\nexec\n(S'open(\"{trace}\", \"w\")'\ntR.",
    "builtins.getattr": b"\x80\x04cbuiltins\ngetattr\n.",
    "an import": b"\x80\x04c__builtin__\n__import__\n(S'antigravity'\ntR.",
    "a dotted name": b"\x80\x04\x8c\x08datetime\x8c\x0bsys.modules\x93.",
    "a known module, another name": b"\x80\x04ccollections\nabc\n.",
    "reconstructor of another class": b"ccopy_reg\n_reconstructor\n(csubprocess\nPopen\nc__builtin__\nobject\nNtR.",
    "code": b"\x80\x04ctypes\nCodeType\n.",
    "another pickle": b"\x80\x04c_pickle\nloads\n(Ccposix\ntR.",
    "a persistent id": b"Psomething\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a state for a text": b"\x80\x04\x8c\x01a}b.",
    "a type as a value": b"\x80\x04cdatetime\ndatetime\n.",
    "a type as a key": b"\x80\x04}cdatetime\ndatetime\nNs.",
    "a call of a value": b"\x80\x04\x8c\x01a(tR.",
    "an ObjectId of 13 bytes": b"\x80\x04cbson.objectid\nObjectId\n)\x81C\x0d0123456789012b.",
    "a date of a month 15": b"\x80\x04cdatetime\ndatetime\n(C\x0a\x07\xe8\x0f\x01\x00\x00\x00\x00\x00\x00tR.",
    "an encoding that decompresses": b"\x80\x04c_codecs\nencode\n(\x8c\x01a\x8c\x04zliptR.",
    "4 GB of bytes": b"\x80\x04\x8e" + struct.pack("<Q", 4 << 30) + b"x.",
    "2**63 bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"x.",
    "4 GB of text": b"\x80\x04\x8d" + struct.pack("<Q", 4 << 30) + b"x.",
    "a memo that is not there": b"\x80\x04j\xff\xff\xff\x7f.",
    "deep lists": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep tuples": b"\x80\x04N" + b"\x85" * 100_000 + b".",
    "a list in itself": b"\x80\x04]\x94h\x00a.",
    "a dict in itself": b"\x80\x04}\x94\x8c\x01ah\x00s.",
    "lists that double 40 times": b"\x80\x04]\x94" + b"".join(b"](h%ch%ce\x94" % (n, n) for n in range(40)) + b".",
    "marks without end": b"\x80\x04" + b"(" * 400_000 + b".",
    "no end": b"\x80\x04N",
    "more operations than there may be": b"\x80\x04N" + b"N0" * 260_000 + b".",
    "numbers that collide as keys": b"\x80\x04}(" + b"".join(map(_colliding, range(60_000))) + b"u0.",
    "numbers that collide in the memo": b"N" + b"".join(b"p%d\n" % (n * _ZERO_HASH) for n in range(60_000)) + b".",
    "a text that is named a thousand times": _MEGABYTE + b"\x94](" + b"h\x00" * 1000 + b"e.",
    "a time that no clock has": b"\x80\x04cbson.timestamp\nTimestamp\n)\x81}" + _LONG_TIME + b"sb.",
    "an int of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
}  # fmt: skip

PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from cloister.observer.adoption import plain_pickle
from cloister.observer.adoption.plain_pickle import RefusedPickle, load_plain_pickle

# A tenth of what they are, which takes a tenth of the time to reach.
plain_pickle.OPERATIONS_LIMIT, plain_pickle.ITEMS_LIMIT = 500_000, 200_000
before = set(sys.modules)
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            print("READ", path, repr(load_plain_pickle(file.read()))[:100])
    except RefusedPickle as error:
        print("refused", path, error)
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print("LOADED", *sorted(loaded & {"antigravity", "subprocess", "pickle", "_pickle", "sacred", "munch", "numpy"}))
"""


def test_hostile_pickles_are_refused_and_leave_no_trace(tmp_path: Path) -> None:
    """In a process of its own, with 2 GB of memory: what it should not do would end it or leave a file."""
    trace = tmp_path / "trace"
    paths = []
    for number, data in enumerate(HOSTILE.values()):
        paths.append(tmp_path / f"{number}.pickle")
        paths[-1].write_bytes(data.replace(TRACE.encode(), str(trace).encode()))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()
    read = [name for name, line in zip(HOSTILE, said, strict=False) if not line.startswith("refused")]
    assert read == []
    assert said[-1].strip() == "LOADED"
    assert not trace.exists()


def test_python_itself_would_have_run_them(tmp_path: Path) -> None:
    """The trace is one that can be left: this test knows what it guards against."""
    trace = tmp_path / "trace"
    data = HOSTILE["os.system by reduce"].replace(TRACE.encode(), str(trace).encode())
    subprocess.run([sys.executable, "-c", f"import pickle; pickle.loads({data!r})"], check=True, timeout=60)
    assert trace.exists()


@pytest.mark.parametrize("text", [pytest.param(b"\x80\x04]" + b"N" * 10, id="cut"), pytest.param(b"", id="empty")])
def test_a_pickle_that_was_cut_is_refused(text: bytes) -> None:
    with pytest.raises(RefusedPickle, match="it is damaged"):
        load_plain_pickle(text)


def test_no_type_that_is_let_in_can_do_anything() -> None:
    """The table names data only: no function but the three that pickles of old protocols need to spell data."""
    functions = {("_codecs", "encode"), ("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor")}
    modules = {"builtins", "__builtin__", "collections", "datetime", "uuid", "munch"}
    for module, name in {*CONSTRUCTORS, *INERT} - functions:
        assert module in modules or module.startswith(("bson.", "sacred.config.")), (module, name)
        assert name not in ("eval", "exec", "getattr", "open", "compile", "__import__", "type")
