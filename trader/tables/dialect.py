"""How the columns of a file are to be read: what the user says, and what the file turned out to be.

Law: `auto` means that the file decides, and what it decided is noted in words; whatever could be
two things is a `DataError` that lists them and names the key that settles it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

AUTO = "auto"


@dataclass(frozen=True)
class Dialect:
    """What the config says of a file; the words are those of the config's feed section."""

    zone: str | None = None  # of stamps that say none
    format: str = AUTO
    separator: str = AUTO
    decimal: str = AUTO
    time_unit: str = AUTO
    date_order: str = AUTO


@dataclass
class Places:
    """Where the rows of a file stand, for messages."""

    path: Path
    first_line: int  # number of the first row: 2 in a CSV with a header, 0 in Parquet
    find_lines: Callable[[], np.ndarray | None] = lambda: None  # where blank lines shift them
    naming: Callable[[int], str] | None = None  # how a caller names a row

    def line(self, row: int) -> int:
        """The line of a row."""
        lines = self.find_lines()
        return row + self.first_line if lines is None else int(lines[row])

    def at(self, row: int) -> str:
        """`data/acme.csv line 17` or `x.parquet row 15`."""
        if self.naming is not None:
            return self.naming(row)
        if self.first_line == 0:
            return f"{self.path} row {row}"
        return f"{self.path} line {self.line(row)}"


@dataclass
class Notes:
    """What was recognised in one file, in the order it was found."""

    path: Path
    format: str = "plain"
    found: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Note a thing once."""
        if text not in self.found:
            self.found.append(text)

    @property
    def sentence(self) -> str:
        """One line for the log and the report; "" where the file is as our own are."""
        if not self.found and self.format == "plain":
            return ""
        known = "" if self.format == "plain" else f" as {self.format}"
        return f"{self.path}: read{known}: {'; '.join(self.found) or 'its usual columns'}"
