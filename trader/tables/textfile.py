"""The cells of a text: fast by pyarrow; when that fails, slowly, to name the line at fault.

Law: no value is changed and no row left out. A cell that is no number, a row with too few cells
and a last line that was cut are a `DataError` that names the line.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trader.errors import DataError
from trader.tables.content import NEWLINE
from trader.tables.dialect import AUTO, Dialect, Notes
from trader.tables.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_CELL = 10_000
SHOWN = 40  # characters of a bad value in a message
FINE = re.compile(rb"\d,(?:\d{1,2}|\d{4,})(?!\d)")  # a comma that separates no thousands
THOUSANDS = re.compile(rb"\d,\d{3}(?!\d)")
POINTED = re.compile(rb"\d,\d{3}\.\d")


@dataclass
class TextFile:
    """One text and where its columns are."""

    path: Path
    content: bytes
    layout: Layout
    decimal: str = "."
    _lines: "np.ndarray | None" = None
    _has_lines: bool = field(default=False)

    @property
    def first_line(self) -> int:
        """The line of the first row, where no line is blank."""
        return self.layout.skipped + 1

    def table(self, numbers: list[str], texts: list[str], symbol: str | None) -> "pa.Table":
        """The columns named: `numbers` as float64, `texts` as text, `symbol` as a dictionary."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        types = dict.fromkeys(numbers, pa.float64()) | dict.fromkeys(texts, pa.string())
        if symbol is not None:
            types[symbol] = pa.dictionary(pa.int32(), pa.string())
        convert = arrow_csv.ConvertOptions(
            column_types=types,
            include_columns=[*types],
            strings_can_be_null=False,
            decimal_point=self.decimal,
        )
        names, skipped = self.layout.names, self.layout.skipped
        read = arrow_csv.ReadOptions(column_names=names, skip_rows=skipped, block_size=1 << 22)
        parse = arrow_csv.ParseOptions(delimiter=self.layout.separator)
        try:
            source = pa.BufferReader(self.content)
            table = arrow_csv.read_csv(source, read, parse, convert)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            raise self._diagnosis(numbers, str(error)) from error
        if table.num_rows == 0:
            raise DataError(f"{self.path}: a header and no rows")
        if not self.content.endswith(NEWLINE):
            self._check_last_line()
        return table

    def lines(self, rows: int) -> np.ndarray | None:
        """The line of each row, if blank lines or quoted line ends shift them; None otherwise."""
        content = self.content
        count = content.count(NEWLINE) + (not content.endswith(NEWLINE))
        if count == rows + self.layout.skipped:
            return None
        if not self._has_lines:
            found = [line for line, _ in self._rows(content.decode("utf-8-sig", "replace"))]
            self._lines = np.array(found, np.int64) if len(found) == rows else None
            self._has_lines = True
        return self._lines

    def _check_last_line(self) -> None:
        """A file cut within its last line has no newline there, and too few or empty cells."""
        start = self.content.rfind(NEWLINE) + 1
        last = self.content[start:].decode("utf-8", "replace")
        cells = next(csv.reader([last], delimiter=self.layout.separator), [])
        names, line = self.layout.names, self.content.count(NEWLINE) + 1
        if len(cells) != len(names):
            raise DataError(
                f"{self.path} line {line}: the last line is cut off "
                f"({len(cells)} of {len(names)} cells)"
            )
        if not cells[-1]:
            raise DataError(
                f"{self.path} line {line}: the last line is cut off ({names[-1]} is "
                "empty and no line end follows); if it is whole, end it with one"
            )

    def _diagnosis(self, numbers: list[str], complaint: str) -> DataError:
        """Read line by line until the one that pyarrow could not take."""
        try:
            text = self.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.content.count(NEWLINE, 0, error.start) + 1
            return DataError(
                f"{self.path} line {line}: not UTF-8 ({error.reason}); save it as UTF-8"
            )
        names = self.layout.names
        last_is_whole = text.endswith("\n")
        lines = text.count("\n") + (0 if last_is_whole else 1)
        for line, cells in self._rows(text):
            place = f"{self.path} line {line}"
            if len(cells) != len(names):
                if line == lines and not last_is_whole:
                    return DataError(
                        f"{place}: the last line is cut off ({len(cells)} of {len(names)} cells)"
                    )
                return DataError(f"{place}: {len(cells)} cells where the header has {len(names)}")
            for name, cell in zip(names, cells, strict=True):
                if len(cell) > LONGEST_CELL:
                    return DataError(f"{place}: {name} is {len(cell):,} characters long")
                if name in numbers and not _is_number(cell, self.decimal):
                    return DataError(f"{place}: {name} {cell[:SHOWN]!r} is not a number")
        return DataError(f"{self.path}: cannot be read as CSV: {complaint}")

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of each row of values."""
        csv.field_size_limit(2**31 - 1)
        stream = io.StringIO(text, newline="")
        for _ in range(self.layout.skipped):
            stream.readline()
        reader = csv.reader(stream, delimiter=self.layout.separator)
        for cells in reader:
            if cells:
                yield self.layout.skipped + reader.line_num, cells


def decimal_of(path: Path, content: bytes, layout: Layout, dialect: Dialect, notes: Notes) -> str:
    """The decimal mark of a text; a comma only where cells are separated by something else."""
    if dialect.decimal != AUTO:
        return dialect.decimal
    if layout.separator == "," or dialect.format == "plain" or b"," not in content:
        return "."
    if FINE.search(content):
        notes.add("decimal commas")
        return ","
    found = THOUSANDS.search(content)
    if found and not POINTED.search(content):
        line = content.count(NEWLINE, 0, found.start()) + 1
        raise DataError(
            f"{path} line {line}: a comma before three digits ({found.group().decode()}) could be "
            "a decimal mark or separate thousands, and no other number of the file tells; set "
            "feed.decimal to ',', or write the numbers without separators"
        )
    return "."


def _is_number(cell: str, decimal: str) -> bool:
    """Whether pyarrow takes a cell for a number or for none: what it took is not at fault."""
    from pyarrow import csv as arrow_csv

    if cell in arrow_csv.ConvertOptions().null_values:
        return True
    if decimal != ".":
        if "." in cell:
            return False
        cell = cell.replace(decimal, ".")
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell
