"""fills.csv and trades.csv read back exactly."""

import csv
import io

import numpy as np
import pytest

from tests.report_kit import SYMBOLS, ExampleRun
from trader.core.schema import FILL, Side
from trader.report.csvfiles import fills_csv, quoted, trades_csv

FILL_COLUMNS = "timestamp,symbol,side,qty,price,commission,slippage,realized_pnl,order_id,leg,kind"
TRADE_COLUMNS = (
    "symbol,side,entry_time,exit_time,qty,entry_price,exit_price,pnl,gross_pnl,commission,"
    "return_frac,duration_s,fills,exit_reason"
)


def parsed(text):
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def nanoseconds(text):
    assert text.endswith("Z")
    return int(np.datetime64(text[:-1], "ns").astype(np.int64))


def test_fills_csv_reads_back_every_value_exactly():
    fills = ExampleRun().record.fills
    text = fills_csv(fills, SYMBOLS)
    assert text.decode().split("\n")[0] == FILL_COLUMNS
    rows = parsed(text)
    assert len(rows) == len(fills) > 0
    for row, fill in zip(rows, fills, strict=True):
        assert nanoseconds(row["timestamp"]) == fill["ts_ns"]
        assert row["symbol"] == SYMBOLS[fill["symbol"]]
        assert float(row["qty"]) * Side[row["side"]] == fill["qty"]
        for name in ("price", "commission", "slippage", "realized_pnl"):
            assert float(row[name]) == fill[name]
        assert int(row["order_id"]) == fill["order_id"]


@pytest.mark.parametrize(
    "value", [0.1, 1 / 3, 1e-9, 5e-324, 1.7976931348623157e308, 1e22, 123456789.0]
)
def test_fills_csv_keeps_every_bit_of_a_float(value):
    fills = np.zeros(1, FILL)
    fills["qty"], fills["price"], fills["realized_pnl"] = 1.0, value, -value
    (row,) = parsed(fills_csv(fills, SYMBOLS))
    assert float(row["price"]) == value
    assert float(row["realized_pnl"]) == -value


@pytest.mark.parametrize(
    ("ts_ns", "text"),
    [
        (1_549_893_060_000_000_000, "2019-02-11T13:51:00Z"),
        (1_549_893_060_250_000_000, "2019-02-11T13:51:00.250Z"),
        (1_549_893_060_000_001_000, "2019-02-11T13:51:00.000001Z"),
        (1_549_893_060_000_000_001, "2019-02-11T13:51:00.000000001Z"),
        (-1_000_000_000, "1969-12-31T23:59:59Z"),
    ],
)
def test_times_have_only_the_decimals_they_need(ts_ns, text):
    fills = np.zeros(1, FILL)
    fills["ts_ns"], fills["qty"] = ts_ns, 1.0
    assert parsed(fills_csv(fills, SYMBOLS))[0]["timestamp"] == text


def test_no_fills_give_a_header_alone():
    assert fills_csv(np.zeros(0, FILL), SYMBOLS).decode() == FILL_COLUMNS + "\n"


@pytest.mark.parametrize("symbol", ["ACME", "BTC/USD", "a,b", 'x"y', "two\nlines", " space ", "ß€"])
def test_symbol_of_any_punctuation_survives_csv(symbol):
    assert next(csv.reader(io.StringIO(quoted(symbol) + "\n", newline=""))) == [symbol]


def test_trades_csv_holds_the_closed_round_trips():
    trips = ExampleRun(days=6).result().trips
    text = trades_csv(trips.closed, SYMBOLS)
    assert text.decode().split("\n")[0] == TRADE_COLUMNS
    rows = parsed(text)
    assert len(rows) == len(trips.closed) > 0
    for row, trade in zip(rows, trips.closed, strict=True):
        assert row["symbol"] == SYMBOLS[trade["symbol"]]
        assert row["side"] == ("LONG" if trade["side"] == 1 else "SHORT")
        assert nanoseconds(row["entry_time"]) == trade["entry_ns"]
        assert nanoseconds(row["exit_time"]) == trade["exit_ns"]
        for name in ("qty", "entry_price", "exit_price", "pnl", "commission", "return_frac"):
            assert float(row[name]) == trade[name]
        assert int(row["fills"]) == trade["fills"]
