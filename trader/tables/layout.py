"""How a text file is laid out: what separates its cells, where its header is, whose format it is.

Law: decided by the first lines alone, and only where they can be one thing. A file without a
header is read where its shape is one vendor's own (Binance, MT4, HistData); any other is an error.
"""

import csv
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from trader.errors import DataError
from trader.tables.column_names import KNOWN, plain_name
from trader.tables.content import BOM, NEWLINE
from trader.tables.dialect import AUTO, Dialect, Notes

HEAD = 1 << 16  # bytes of a file that are looked at
SEPARATORS = {"tab": "\t", ";": ";", "|": "|", ",": ","}  # in the order tried
FORERUNNER = re.compile(r"sep=.|https?://\S+|#[^,;\t|]*", re.IGNORECASE)  # lines above the header
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")
BAR = ("open", "high", "low", "close", "volume")
BINANCE = (
    *("open_time", *BAR, "close_time", "quote_volume", "count"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
SHOWN = 60


@dataclass
class Layout:
    """What stands where in a text file."""

    separator: str
    names: list[str]  # of the columns
    skipped: int  # lines above the first row of values
    ticker: str = ""  # the symbol that stands above the columns
    tickers: dict[str, dict[str, str]] = field(default_factory=dict)  # side by side, each with the
    # names that it has → those in `names`
    shared: list[str] = field(default_factory=list)  # names that belong to no ticker


def _is_binance(cells: list[str]) -> bool:
    return len(cells) == len(BINANCE) and cells[0].isdigit() and cells[6].isdigit()


def _is_mt4(cells: list[str]) -> bool:
    is_day = re.fullmatch(r"\d{4}\.\d\d\.\d\d", cells[0])
    return bool(len(cells) == 7 and is_day and re.fullmatch(r"\d\d:\d\d", cells[1]))


def _is_histdata(cells: list[str]) -> bool:
    return len(cells) == 6 and bool(re.fullmatch(r"\d{8} \d{6}", cells[0]))


HEADERLESS: dict[str, tuple[Callable[[list[str]], bool], tuple[str, ...]]] = {
    "binance": (_is_binance, BINANCE),
    "mt4": (_is_mt4, ("date", "time", *BAR)),
    "histdata": (_is_histdata, ("timestamp", *BAR)),
}


def layout_of(
    path: Path, content: bytes, dialect: Dialect, own: Collection[str], notes: Notes
) -> Layout:
    """The layout of a text; `own` are names that the config gives to columns."""
    lines = _lines(path, content)
    first = next((i for i, line in enumerate(lines) if _is_of_the_table(line)), None)
    if first is None:
        raise DataError(f"{path}: no line of the file is a header or a row")
    text = lines[first]
    if "\r" in text:
        raise DataError(f"{path}: lines end in CR alone; save it with LF or CRLF")
    separator = _separator(text, dialect)
    rows = [_cells(line, separator) for line in lines[first:] if line.strip()]
    if separator != ",":
        name = "tab" if separator == "\t" else separator
        notes.add(f"columns separated by {name}")
    if _is_header(rows[0], own):
        layout = Layout(separator, rows[0], first + 1)
        _take_tickers(layout, rows, notes)
        _name_format(layout.names, notes)
    else:
        layout = _headerless(path, rows[0], first, separator, dialect, notes)
    _check_format(path, dialect, notes)
    _check_names(path, layout.names, first + 1)
    return layout


def _lines(path: Path, content: bytes) -> list[str]:
    """The first lines as texts; a line that HEAD cuts is left out unless it is the only one."""
    head = content[len(BOM) if content.startswith(BOM) else 0 :][:HEAD]
    if len(content) > HEAD and NEWLINE in head:
        head = head[: head.rindex(NEWLINE)]
    elif NEWLINE not in head:
        head = content.removeprefix(BOM).split(NEWLINE, 1)[0]
    lines = []
    for number, line in enumerate(head.split(NEWLINE), 1):
        try:
            lines.append(line.decode("utf-8").removesuffix("\r"))
        except UnicodeDecodeError as error:
            if number > 1:  # a value's line: who reads the values names it
                break
            raise DataError(
                f"{path} line {number}: not UTF-8 ({error.reason}); save it as UTF-8"
            ) from error
    return lines


def _is_of_the_table(line: str) -> bool:
    return bool(line.strip()) and not FORERUNNER.fullmatch(line.strip())


def _separator(line: str, dialect: Dialect) -> str:
    """What separates the cells: whatever but a comma makes three of them, or two of one."""
    if dialect.separator != AUTO:
        return SEPARATORS[dialect.separator]
    if dialect.format == "plain":
        return ","
    counts = {mark: len(_cells(line, mark)) for mark in SEPARATORS.values()}
    for mark in "\t;|":
        if counts[mark] >= 3 or (counts[mark] == 2 and counts[","] == 1):
            return mark
    return ","


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def _is_header(cells: list[str], own: Collection[str]) -> bool:
    """Whether a row names columns: it has a name that is known, or hardly a number."""
    if any(cell in own or plain_name(cell) in KNOWN for cell in cells if cell):
        return True
    return sum(bool(NUMBER.fullmatch(cell)) for cell in cells) < min(4, len(cells))


def _headerless(
    path: Path, cells: list[str], first: int, separator: str, dialect: Dialect, notes: Notes
) -> Layout:
    for name, (fits, names) in HEADERLESS.items():
        if dialect.format in (AUTO, name) and fits(cells):
            notes.format = name
            notes.add("no header")
            return Layout(separator, list(names), first)
    shown = ",".join(cells)[:SHOWN]
    raise DataError(
        f"{path} line {first + 1}: no header: the first line holds values ({shown}), and they are "
        f"not laid out as {', '.join(HEADERLESS)} write them. Put a line of names above them, "
        "such as timestamp,open,high,low,close,volume"
    )


def _take_tickers(layout: Layout, rows: list[list[str]], notes: Notes) -> None:
    """yfinance's rows of tickers, and of the index's name, below (or above) the names."""
    pair = _names_and_tickers(rows)
    if pair is None:
        return
    names, tickers = pair
    layout.names, layout.skipped = [names[0] or "Date", *names[1:]], layout.skipped + 1
    if rows[0][0].casefold() in ("price", "ticker"):
        layout.names[0] = "Date"
    if len(rows) > 2 and not any(rows[2][1:]) and not re.search(r"\d", rows[2][0]):
        layout.names[0], layout.skipped = rows[2][0] or "Date", layout.skipped + 1
    different = sorted({ticker for ticker in tickers[1:] if ticker})
    if len(different) > 1:
        _take_columns(layout, tickers)
        return
    notes.format = "yahoo"
    layout.ticker = different[0] if different else ""
    notes.add(f"ticker {layout.ticker}")


def _take_columns(layout: Layout, tickers: list[str]) -> None:
    """Tickers side by side: what each column is, and a name of its own for it."""
    for index, (name, ticker) in enumerate(zip(layout.names, tickers, strict=True)):
        if ticker and index:
            layout.names[index] = f"{name} of {ticker}"
            layout.tickers.setdefault(ticker, {})[name] = layout.names[index]
        else:
            layout.shared.append(name)


def _names_and_tickers(rows: list[list[str]]) -> tuple[list[str], list[str]] | None:
    """(names, tickers) where the first two rows hold them; None where they do not."""
    if len(rows) < 2 or len(rows[0]) != len(rows[1]) or len(rows[0]) < 3:
        return None
    first, second = rows[:2]
    heads = first[0].casefold(), second[0].casefold()
    if heads in (("price", "ticker"), ("ticker", "price")):
        return (first, second) if heads[0] == "price" else (second, first)
    if second[0] or not all(second[1:]) or any(NUMBER.fullmatch(cell) for cell in second[1:]):
        return None
    if len(set(second[1:])) == 1:
        return first, second
    for names, tickers in ((first, second), (second, first)):
        is_known = all(plain_name(name) in KNOWN for name in names[1:])
        if is_known and len(set(names[1:])) < len(names) - 1:
            return names, tickers
    return None


def _name_format(names: list[str], notes: Notes) -> None:
    """Whose names they are, where they are some vendor's alone."""
    plain = {plain_name(name) for name in names}
    if any(name.startswith("<") for name in names):
        notes.format = "mt5"
    elif {"opentime", "closetime"} <= plain:
        notes.format = "binance"
    elif {"date", "adjclose"} <= plain or {"dividends", "stocksplits"} <= plain:
        notes.format = "yahoo"


def _check_format(path: Path, dialect: Dialect, notes: Notes) -> None:
    asked, found = dialect.format, notes.format
    if asked in (AUTO, "plain", found) or (asked == "yahoo" and found == "plain"):
        return
    raise DataError(
        f"{path}: feed.format is {asked}, but the file looks like {found}; set feed.format: auto"
    )


def _check_names(path: Path, names: list[str], line: int) -> None:
    """A name that appears twice is refused; blanks are told apart."""
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise DataError(f"{path} line {line}: column {doubled[0]!r} appears twice")
    for index, name in enumerate(names):
        if not name and index:
            names[index] = f"column {index + 1}"
