"""What may come beside an action: columns of a signals file, tables out of a Python model."""

import math
from pathlib import Path

import numpy as np
import pytest

from trader.config.load import load_config
from trader.core.schema import OrderKind, TradingAction
from trader.errors import ModelError
from trader.jobs.backtest import Order, backtest
from trader.models.answers import AnswerError
from trader.models.python_model import rich_answer

CONFIG = """\
name: rows
instruments: [{symbol: X, tick_size: 0.01, lot_size: 1}]
feed: {type: csv, path: bars.csv, timezone: UTC}
bar_period_seconds: 60
model: {type: signals, path: signals.csv}
position_sizing: {mode: target, base_size: 10}
risk: {max_position_size: none, max_order_size: none, max_daily_loss: none,
  max_position_concentration: none, market_hours: 24x7}
throttle: {max_volume_participation: none, max_spread_bps: none, max_volatility: none,
  max_order_size: none}
broker: {cash: 10000}
"""
BARS = """\
timestamp,open,high,low,close,volume
2024-01-01T00:00,100,100,100,100,10
2024-01-01T00:01,100,101,99,100,10
2024-01-01T00:02,100,100,97,98,10
2024-01-01T00:03,98,106,98,105,10
2024-01-01T00:04,105,105,105,105,10
"""


def run(folder: Path, signals: str):
    (folder / "run.yaml").write_text(CONFIG)
    (folder / "bars.csv").write_text(BARS)
    (folder / "signals.csv").write_text(signals)
    files = [folder / "run.yaml"]
    return backtest(Order(load_config(files, (), {}), files, "batch", folder, ("t",))).result


def test_prices_and_sizes_of_a_signals_file_are_what_is_sent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = "timestamp,action,limit_price,stop_loss,take_profit,size,score\n"
    result = run(
        tmp_path,
        f"{head}2024-01-01T00:00,BUY,99.5,98,,7,0.8\n2024-01-01T00:02,BUY,,,104,,\n",
    )
    fills = result.fills
    assert fills["qty"].tolist() == [7.0, -7.0, 10.0, -10.0]
    assert fills["price"].tolist() == [99.5, 98.0, 98.0, 104.0]
    kinds = [OrderKind(int(kind)).name for kind in fills["kind"]]
    assert kinds == ["ENTRY", "STOP_LOSS", "ENTRY", "TAKE_PROFIT"]
    table = (result.run_dir / "orders.parquet").exists()
    assert table


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2024-01-01T00:00,BUY,-5", "limit_price is -5"),
        ("2024-01-01T00:00,BUY,cheap", "limit_price 'cheap' is not a number"),
        ("2024-01-01T00:00,BUY,inf", "limit_price is inf"),
    ],
)
def test_a_price_that_is_none_names_the_row(tmp_path, monkeypatch, row, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=said) as caught:
        run(tmp_path, f"timestamp,action,limit_price\n{row}\n")
    assert "row 0 (from 0; line 2)" in str(caught.value)


def test_close_in_a_signals_file_makes_flat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(tmp_path, "timestamp,action\n2024-01-01T00:00,BUY\n2024-01-01T00:02,close\n")
    assert result.fills["qty"].tolist() == [10.0, -10.0]
    assert OrderKind(int(result.fills["kind"][1])) is OrderKind.SIGNAL


def test_a_table_out_of_python_is_actions_and_what_comes_beside():
    rich = rich_answer({"action": ["BUY", "CLOSE"], "stop_loss": [9.5, math.nan]}, 2)
    assert rich.actions.tolist() == [TradingAction.BUY, TradingAction.CLOSE]
    assert rich.requests["stop_loss"][0] == 9.5
    assert np.isnan(rich.requests["size"]).all()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"score": [1.0]}, "no column 'action'"),
        ({"action": [1], "stop": [1.0]}, "'stop' is known"),
        ({"action": [1], "size": ["a lot"]}, "not a number"),
        ({"action": [1], "size": [1.0, 2.0]}, "shape"),
    ],
)
def test_a_table_that_is_none_is_refused(table, said):
    with pytest.raises(AnswerError, match=said):
        rich_answer(table, 1)
