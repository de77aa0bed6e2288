"""The state in a SNAPSHOT beside the book: of this version, or of one that recorded less.

Law: bit for bit, in the fields that were recorded. A state of an older journal that is laid out in
no known way is not guessed at: the account and the positions beside it are all that is compared.
"""

from collections.abc import Iterator

import numpy as np

from trader.books import new_book, ring_length
from trader.core.book import Book, Rules
from trader.core.schema import MAX_WORKING_ORDERS, ORDER, POSITION
from trader.journal.rows import LAYOUTS, Layouts

CORE_1 = np.dtype(POSITION.descr[:18])  # what the first version knew of a position comes first
BEFORE_SPLIT_SIZE = np.dtype([field for field in POSITION.descr if field[0] != "split_size"])
NUMBER = np.dtype(np.float64)
Pair = tuple[str, np.ndarray, np.ndarray]


def state_pairs(state: bytes, book: Book, rules: Rules, layouts: Layouts) -> Iterator[Pair]:
    """Name, recorded and present array of what `state` says of `book`; ValueError where the state
    of a journal of this version does not fit."""
    known = (one for one in _layouts_of_book(rules, layouts) if one.itemsize == len(state))
    layout = next(known, None)
    if layout is None and layouts == LAYOUTS:
        raise ValueError(f"a snapshot of {len(state)} bytes does not fit this book")
    for name in () if layout is None else layout.names or ():
        recorded, present = np.frombuffer(state, layout)[0][name], getattr(book, name)
        if name == "orders" and recorded.dtype != ORDER:
            yield name, *_working(recorded, present, book.positions["working_orders"])
        elif recorded.shape == present.shape:  # of volumes and returns that no rule asks for, one
            yield name, recorded, present


def _layouts_of_book(rules: Rules, layouts: Layouts) -> Iterator[np.dtype]:
    book = new_book(rules)
    for positions in (POSITION, BEFORE_SPLIT_SIZE):
        kinds = {name: array.dtype for name, array in book._asdict().items()}
        kinds |= {"account": layouts["ACCOUNT"], "positions": positions, "orders": layouts["ORDER"]}
        shapes = zip(book._fields, book, strict=True)
        yield np.dtype([(name, kinds[name], array.shape) for name, array in shapes])
    symbols, limits = len(rules.instruments), rules.limits[0]
    windows = limits["volatility_window"], rules.sizing[0]["volatility_window"]
    yield np.dtype(
        [
            ("account", layouts["ACCOUNT"], (1,)),
            ("positions", CORE_1, (symbols,)),
            ("orders", layouts["ORDER"], (symbols, MAX_WORKING_ORDERS)),
            ("volumes", NUMBER, (symbols, ring_length(int(limits["volume_window"])))),
            ("returns", NUMBER, (symbols, ring_length(int(max(windows))))),
        ]
    )


def _working(
    recorded: np.ndarray, present: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The orders that work; what stands beyond them is left over. Core 1 knew fewer statuses."""
    is_working = np.arange(MAX_WORKING_ORDERS) < counts[:, np.newaxis]
    names = [name for name in recorded.dtype.names or () if name != "status"]
    return recorded[is_working][names], present[is_working]
