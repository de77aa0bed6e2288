"""What Alpaca's REST answers hold, in our records: bars and corporate actions."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from trader.feeds.corporate_actions import CorporateAction
from trader.feeds.source import RawBar, SourceError

ACTION_TYPES = ("forward_split", "reverse_split", "stock_dividend", "cash_dividend")


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """What is read of an answer; a `SourceError` where it is not what Alpaca documents."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        text = f"an answer that cannot be read ({type(error).__name__})"
        raise SourceError(text) from None


def rfc3339(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).isoformat()


def rest_bar(row: dict[str, Any]) -> RawBar:
    moment = datetime.fromisoformat(str(row["t"]).replace("Z", "+00:00"))
    return RawBar(
        round(moment.timestamp()) * 1_000_000_000, *(float(row[name]) for name in "ohlcv")
    )


def actions_of(told: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[CorporateAction]:
    """The rows of one page of corporate actions, kind by kind."""
    for kind in ("forward_splits", "reverse_splits"):
        for row in told.get(kind) or ():
            ratio = f"{Decimal(str(row['new_rate'])):f}:{Decimal(str(row['old_rate'])):f}"
            yield CorporateAction(str(row["ex_date"]), str(row["symbol"]), "split", ratio)
    for row in told.get("stock_dividends") or ():  # units for one held
        whole = f"{1 + Decimal(str(row['rate'])):f}"
        yield CorporateAction(str(row["ex_date"]), str(row["symbol"]), "split", whole)
    for row in told.get("cash_dividends") or ():
        amount = f"{Decimal(str(row['rate'])):f}"
        yield CorporateAction(str(row["ex_date"]), str(row["symbol"]), "dividend", amount)
