"""Tables of runs as files: CSV, JSON lines of one list, Parquet, LaTeX. A new format is a row of `FORMATS`."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from .csv_cells import guard_cell
from .wording import format_column, format_config_value, format_duration

if TYPE_CHECKING:
    from .column_keys import ColumnKey

ROWS_AT_A_TIME = 500
LATEX_ROWS = 500  # nobody sets a longer table; the others have all
Values = Sequence[Any]  # of one run, a value for each column


class FormatMissing(CloisterError, ValueError):
    """A format needs a package that is not installed."""

    status = 409

    def __init__(self, title: str, package: str) -> None:
        super().__init__(
            f"{title} needs the package {package!r}, which this viewer does not have. Install it where "
            f"the viewer runs: pip install {package}"
        )


@dataclass(frozen=True)
class TableFormat:
    """One kind of file.

    Attributes:
        name: in addresses, and the file's ending.
        words: what it is good for, in a menu.
        write: makes its bytes of columns and rows, piece by piece; nothing is read before the first piece is asked for.
    """

    name: str
    title: str
    words: str
    mimetype: str
    write: Callable[[Sequence[ColumnKey], Iterable[Values]], Iterator[bytes]]
    most_rows: int | None = None


def write_csv(columns: Sequence[ColumnKey], rows: Iterable[Values]) -> Iterator[bytes]:
    yield _csv_lines([[guard_cell(column.key) for column in columns]])
    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_AT_A_TIME)):
        yield _csv_lines([[_csv_cell(value) for value in row] for row in batch])


def _csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)  # -1 is a number, not a formula
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return repr(value.total_seconds())
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return guard_cell(", ".join(value))
    return guard_cell(value if isinstance(value, str) else json.dumps(_json_value(value), ensure_ascii=False))


def write_json(columns: Sequence[ColumnKey], rows: Iterable[Values]) -> Iterator[bytes]:
    """One list of objects, one on each line."""
    keys = [column.key for column in columns]
    yield b"["
    separator = "\n"
    for row in rows:
        record = {key: _json_value(value) for key, value in zip(keys, row, strict=True)}
        yield f"{separator}{json.dumps(record, ensure_ascii=False)}".encode("utf-8", "replace")
        separator = ",\n"
    yield b"\n]\n"


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"  # as the REST API has them
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(key): _json_value(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(child) for child in value]
    return str(value)


def write_parquet(columns: Sequence[ColumnKey], rows: Iterable[Values]) -> Iterator[bytes]:
    """Columns of numbers, times and truth values as such, lists of tags as lists; whatever is mixed as text."""
    try:
        import pyarrow  # here: 100 ms that only whoever exports this waits for
        from pyarrow import parquet
    except ImportError:
        raise FormatMissing("Parquet", "pyarrow") from None
    kept = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pyarrow.array(*_arrow_column(pyarrow, values)) for values in kept]
    table = pyarrow.table(arrays, names=[column.key for column in columns])
    target = io.BytesIO()
    parquet.write_table(table, target, compression="zstd")
    yield target.getvalue()


def _arrow_column(pyarrow: Any, values: Sequence[Any]) -> tuple[list[Any], Any]:
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds and kinds <= {int, float}:
        fits = all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in present)
        return list(values) if fits else [None if each is None else float(each) for each in values], (
            pyarrow.int64() if fits else pyarrow.float64()
        )
    if kinds == {bool}:
        return list(values), pyarrow.bool_()
    if kinds == {datetime}:
        return list(values), pyarrow.timestamp("ms", tz="UTC")
    if kinds == {timedelta}:
        return [None if each is None else each.total_seconds() for each in values], pyarrow.float64()
    if kinds == {tuple} and all(isinstance(each, str) for value in present for each in value):
        return [None if each is None else list(each) for each in values], pyarrow.list_(pyarrow.string())
    return [None if each is None else _arrow_text(each) for each in values], pyarrow.string()


def _arrow_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(_json_value(value), ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # half characters have no UTF-8


def write_latex(columns: Sequence[ColumnKey], rows: Iterable[Values]) -> Iterator[bytes]:
    """A tabular for a paper, with booktabs' rules, numbers to the digits that tell them apart."""
    kept = list(islice(rows, LATEX_ROWS))
    cells = [_latex_column(column, [row[place] for row in kept]) for place, column in enumerate(columns)]
    shape = "".join("r" if _is_numbers([row[place] for row in kept]) else "l" for place in range(len(columns)))
    lines = ["% \\usepackage{booktabs}", f"\\begin{{tabular}}{{{shape}}}", "\\toprule"]
    lines.append(" & ".join(escape_latex(column.title) for column in columns) + " \\\\")
    lines.append("\\midrule")
    lines += [" & ".join(column[place] for column in cells) + " \\\\" for place in range(len(kept))]
    lines += ["\\bottomrule", "\\end{tabular}", ""]
    yield "\n".join(lines).encode("utf-8", "replace")


def _is_numbers(values: Sequence[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in present)


def _latex_column(column: ColumnKey, values: Sequence[Any]) -> list[str]:
    if column.kind == "metrics":
        return [_latex_number(text) for text in format_column(values)]
    return ["--" if value is None else _latex_number(_plain(value)) for value in values]


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return format_config_value(value)


def _latex_number(text: str) -> str:
    scientific = re.fullmatch(r"([-\u2212]?)(\d+(?:\.\d+)?)e([-\u2212]?\d+)", text)
    if scientific:
        sign, mantissa, exponent = scientific.groups()
        power = exponent.replace("\u2212", "-")
        return f"${'-' if sign else ''}{mantissa} \\times 10^{{{int(power)}}}$"
    if re.fullmatch(r"\u2212[\d,.]+", text):
        return f"${text.replace(chr(0x2212), '-')}$"
    return "--" if text == "\u2013" else escape_latex(text)


_LATEX_SIGNS = {
    "\\": "\\textbackslash{}",
    "{": "\\{",
    "}": "\\}",
    "$": "\\$",
    "&": "\\&",
    "%": "\\%",
    "#": "\\#",
    "_": "\\_",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\textquotedbl{}",
}


def escape_latex(text: str) -> str:
    """Text as LaTeX sets it letter by letter: nothing in it is a command."""
    one_line = "".join(sign if sign.isprintable() else " " for sign in text)
    return "".join(_LATEX_SIGNS.get(sign, sign) for sign in one_line)


FORMATS: tuple[TableFormat, ...] = (
    TableFormat("csv", "CSV", "for spreadsheets; text that looks like a formula is marked", "text/csv", write_csv),
    TableFormat("json", "JSON", "a list of objects, all digits", "application/json", write_json),
    TableFormat("parquet", "Parquet", "for pandas, polars and DuckDB", "application/vnd.apache.parquet", write_parquet),
    TableFormat(
        "tex", "LaTeX", "a table for a paper, at most 500 rows", "application/x-tex", write_latex, most_rows=LATEX_ROWS
    ),
)


def find_format(name: str) -> TableFormat | None:
    return next((each for each in FORMATS if each.name == name), None)
