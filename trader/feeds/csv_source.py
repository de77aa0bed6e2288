"""CSV, plain or gzipped: fast by pyarrow; when that fails, slowly, to name the line at fault.

Law: UTF-8 with or without a byte-order mark, comma-separated, a header, LF or CRLF. Anything
else is a `DataError` that names the line and what is wrong with it.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trader.config.schema import Config
from trader.errors import DataError
from trader.feeds.raw import ColumnPlan, RawRows, plan_columns, symbol_column
from trader.feeds.stamps import parse_texts
from trader.hours.periods import stamp_zone

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_LINE = 2  # line 1 is the header
LONGEST_CELL = 10_000
NEWLINE = b"\n"
BOM = b"\xef\xbb\xbf"
MAGIC = {
    b"\x1f\x8b": "gzip; give it a name that ends in .gz",
    b"PAR1": "Parquet; set feed.type: parquet",
}
SHOWN = 40  # characters of a bad value in a message


def read_csv(path: Path, config: Config) -> RawRows:
    """The rows of one CSV file."""
    content = _content(path)
    _check_bytes(path, content)
    header = _header(path, content)
    plan = plan_columns(config, path, header)
    table = _table(path, content, plan, header)
    if table.num_rows == 0:
        raise DataError(f"{path}: a header and no rows")
    lines = _lines(content, table.num_rows)
    is_cut = not content.endswith((b"\n", b"\r"))
    symbols = None
    if plan.symbol is not None:
        symbols = symbol_column(table[plan.symbol])
    codes = None if symbols is None else symbols.codes
    texts = table[plan.names["timestamp"]]
    stamps = parse_texts(texts, path, stamp_zone(config), FIRST_LINE, codes)
    numbers = {
        name: table[source].to_numpy(zero_copy_only=False)
        for name, source in plan.names.items()
        if name != "timestamp"
    }
    return RawRows(path, stamps, numbers, symbols, FIRST_LINE, plan.extra, is_cut, lines)


def _content(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); compress it again") from error


def _check_bytes(path: Path, content: bytes) -> None:
    for magic, remedy in MAGIC.items():
        if content.startswith(magic):
            raise DataError(f"{path}: not a CSV but {remedy}")
    rows = content.removeprefix(BOM).strip()
    if not rows:
        raise DataError(f"{path}: the file is empty")
    if NEWLINE not in rows and b"\r" not in rows:
        raise DataError(f"{path}: a header and no rows")
    nul = content.find(b"\0")
    if nul >= 0:
        line = content.count(NEWLINE, 0, nul) + 1
        hint = "; it is Parquet: set feed.type: parquet" if content.startswith(b"PAR1") else ""
        raise DataError(f"{path} line {line}: a NUL byte; not a CSV{hint}")


def _header(path: Path, content: bytes) -> list[str]:
    line = content[len(BOM) if content.startswith(BOM) else 0 :].split(b"\n", 1)[0]
    try:
        text = line.decode("utf-8").rstrip("\r")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} line 1: not UTF-8 ({error.reason}); save it as UTF-8") from error
    if "\r" in text:
        raise DataError(f"{path}: lines end in CR alone; save it with LF or CRLF")
    header = [name.strip() for name in next(csv.reader([text]), [])]
    if len(header) < 3:
        for delimiter in ";\t|":
            if text.count(delimiter) >= 3:
                raise DataError(
                    f"{path} line 1: columns are separated by {delimiter!r}; use commas"
                )
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise DataError(f"{path} line 1: column {sorted(doubled)[0]!r} stands twice")
    return header


def _table(path: Path, content: bytes, plan: ColumnPlan, header: list[str]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    types = {source: pa.float64() for name, source in plan.names.items() if name != "timestamp"}
    types[plan.names["timestamp"]] = pa.string()
    if plan.symbol is not None:
        types[plan.symbol] = pa.dictionary(pa.int32(), pa.string())
    wanted = [*types]
    convert = arrow_csv.ConvertOptions(
        column_types=types, include_columns=wanted, strings_can_be_null=False
    )
    read = arrow_csv.ReadOptions(column_names=header, skip_rows=1, block_size=1 << 22)
    try:
        table = arrow_csv.read_csv(pa.BufferReader(content), read, convert_options=convert)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise _diagnosis(path, content, plan, header, str(error)) from error
    if not content.endswith(b"\n"):
        _check_last_line(path, content, header)
    return table


def _lines(content: bytes, rows: int) -> np.ndarray | None:
    """The line of each row, if blank lines or quoted line ends shift them; None if nothing does."""
    if content.count(NEWLINE) + (not content.endswith(NEWLINE)) == rows + 1:
        return None
    lines = [line for line, _ in _rows(content.decode("utf-8-sig", "replace"))]
    return np.array(lines, np.int64) if len(lines) == rows else None


def _check_last_line(path: Path, content: bytes, header: list[str]) -> None:
    """A file cut within its last line has no newline there, and too few cells or an empty one."""
    start = content.rfind(b"\n") + 1
    cells = next(csv.reader([content[start:].decode("utf-8", "replace")]), [])
    if len(cells) != len(header):
        raise DataError(
            f"{path} line {content.count(NEWLINE) + 1}: the last line is cut off "
            f"({len(cells)} of {len(header)} cells)"
        )
    if not cells[-1]:
        raise DataError(
            f"{path} line {content.count(NEWLINE) + 1}: the last line is cut off ({header[-1]} is "
            "empty and no line end follows); if it is whole, end it with one"
        )


def _diagnosis(
    path: Path, content: bytes, plan: ColumnPlan, header: list[str], complaint: str
) -> DataError:
    """Read line by line until the one that pyarrow could not take."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return DataError(f"{path} line {line}: not UTF-8 ({error.reason}); save it as UTF-8")
    columns = {
        header.index(source): source for name, source in plan.names.items() if name != "timestamp"
    }
    last_is_whole = text.endswith("\n")
    lines = text.count("\n") + (0 if last_is_whole else 1)
    for line, cells in _rows(text):
        place = f"{path} line {line}"
        if len(cells) != len(header):
            if line == lines and not last_is_whole:
                return DataError(
                    f"{place}: the last line is cut off ({len(cells)} of {len(header)} cells)"
                )
            return DataError(f"{place}: {len(cells)} cells where the header has {len(header)}")
        for index, cell in enumerate(cells):
            if len(cell) > LONGEST_CELL:
                return DataError(f"{place}: {header[index]} is {len(cell):,} characters long")
        for index, source in columns.items():
            if not _is_number(cells[index]):
                return DataError(f"{place}: {source} {cells[index][:SHOWN]!r} is not a number")
    return DataError(f"{path}: cannot be read as CSV: {complaint}")


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""))
    next(reader, None)
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _is_number(cell: str) -> bool:
    """Whether pyarrow takes a cell for a number or for none: what it took is not at fault."""
    from pyarrow import csv as arrow_csv

    if cell in arrow_csv.ConvertOptions().null_values:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell
