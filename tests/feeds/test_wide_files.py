"""yfinance's files of several tickers side by side: the same bars as one file each."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import config_demo
from trader.errors import DataError
from trader.feeds.checking import FileTerms, check_file
from trader.feeds.feed import load_history

FIELDS = ("Adj Close", "Close", "High", "Low", "Open", "Volume")
DAYS = pd.DatetimeIndex(pd.date_range("2024-03-04", periods=6, freq="D"), name="Date")


def one(level: float, missing: tuple[int, ...] = ()) -> pd.DataFrame:
    """Daily bars of one ticker; rows of `missing` are empty, as where another market was open."""
    close = level + np.arange(6.0) / 8
    table = {"Adj Close": close / 3, "Close": close, "High": close + 1, "Low": close - 1,
             "Open": close - 0.25, "Volume": 1000.0 + np.arange(6)}  # fmt: skip
    frame = pd.DataFrame(table, DAYS)
    frame.iloc[list(missing)] = np.nan
    return frame


TICKERS = {"AAPL": one(170.0), "BTC-USD": one(60_000.0), "MSFT": one(400.0, (2, 3))}


def wide(group_by: str, has_names: bool = True) -> pd.DataFrame:
    frame = pd.concat(TICKERS, axis=1, names=["Ticker", "Price"])
    if group_by == "column":
        frame = frame.swaplevel(axis=1).sort_index(axis=1)
    return frame if has_names else frame.rename_axis(columns=[None, None])


def config_of(path: Path, *symbols: str):
    text = config_demo.demo(
        ("{symbol: ACME, tick_size: 0.01, lot_size: 1}", "\n  - ".join(symbols)),
        ("type: csv", f"type: {path.suffix[1:]}"),
        ("data/acme.csv", str(path)),
        ("bar_period_seconds: 60", "bar_period_seconds: day"),
    )
    return config_demo.load(config_demo.write(path.parent, text)).config


def written(folder: Path, kind: str, frame: pd.DataFrame) -> Path:
    path = folder / f"wide.{kind}"
    frame.to_csv(path) if kind == "csv" else frame.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("group_by", ["column", "ticker"])
@pytest.mark.parametrize("has_names", [True, False])
def test_tickers_side_by_side_give_the_bars_of_one_file_each(tmp_path, kind, group_by, has_names):
    path = written(tmp_path, kind, wide(group_by, has_names))
    found = load_history(config_of(path, "MSFT", "AAPL"))
    for symbol, missing in (("AAPL", 0), ("MSFT", 2)):
        single = tmp_path / "one.csv"
        TICKERS[symbol].dropna().to_csv(single)
        wanted = load_history(config_of(single, symbol)).bars
        bars = found.bars[found.bars["symbol"] == ["MSFT", "AAPL"].index(symbol)].copy()
        bars["symbol"] = 0
        assert bars.tobytes() == wanted.tobytes()
        assert len(bars) == 6 - missing
    (told,) = found.quality.recognised
    assert "read as yahoo" in told
    assert "3 tickers side by side, taken: AAPL, MSFT; not used: BTC-USD" in told
    assert "2 rows without a price of MSFT left out" in told
    assert "'Adj Close' is not used" in told


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_where_no_ticker_is_an_instrument_the_tickers_are_listed(tmp_path, kind):
    path = written(tmp_path, kind, wide("column"))
    with pytest.raises(DataError, match="3 tickers side by side") as caught:
        load_history(config_of(path, "ACME"))
    message = str(caught.value)
    assert "AAPL, BTC-USD, MSFT" in message
    assert "none is an instrument of the config (ACME)" in message
    assert "\n" not in message


def test_a_bad_cell_is_named_by_its_line_and_ticker(tmp_path):
    frame = wide("column")
    frame.loc[DAYS[1], ("Close", "AAPL")] = -5.0
    path = written(tmp_path, "csv", frame)
    with pytest.raises(DataError, match=r"wide.csv line 5: AAPL at 2024-03-05"):
        load_history(config_of(path, "AAPL"))
    path.write_text(path.read_text().replace("-5.0", "five"))
    with pytest.raises(DataError, match=r"wide.csv line 5: Close of AAPL 'five' is not a number"):
        load_history(config_of(path, "AAPL"))


def test_data_check_takes_every_ticker_or_the_one_that_is_named(tmp_path):
    path = written(tmp_path, "csv", wide("column"))
    every = check_file(path, FileTerms("24x7", "UTC"))
    assert sorted(every.quality.symbols) == ["AAPL", "BTC-USD", "MSFT"]
    assert every.failures == []
    single = check_file(path, FileTerms("24x7", "UTC", symbol="MSFT"))
    assert {name: known["rows"] for name, known in single.quality.symbols.items()} == {"MSFT": 4}
