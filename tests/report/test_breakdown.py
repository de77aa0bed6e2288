"""The result in parts adds up to the whole, and is what pandas makes of the files."""

import numpy as np
import pandas as pd
import pytest

from tests.report_kit import SYMBOLS, ExampleRun
from trader.core.schema import OrderKind
from trader.report.breakdown import by_group, by_period


@pytest.fixture(scope="module")
def result():
    return ExampleRun(days=40).result()


def frame_of(result):
    closed = result.trips.closed
    exits = pd.to_datetime(closed["exit_ns"], utc=True).tz_localize(None)
    return pd.DataFrame(
        {
            "symbol": [SYMBOLS[number] for number in closed["symbol"]],
            "side": np.where(closed["side"] > 0, "LONG", "SHORT"),
            "exit_reason": [OrderKind(code).name for code in closed["exit_reason"]],
            "month": exits.to_period("M").astype(str),
            "year": exits.to_period("Y").astype(str),
            "pnl": closed["pnl"],
            "return_frac": closed["return_frac"],
        }
    )


@pytest.mark.parametrize("key", ["symbol", "side", "exit_reason", "month", "year"])
def test_groups_are_those_of_pandas(result, key):
    frame, found = frame_of(result), result.metrics["by_group"][key]
    expected = frame.groupby(key)
    assert set(found) == set(expected.groups)
    for name, rows in expected:
        pnl = rows["pnl"]
        assert found[name]["trades"] == len(rows)
        assert found[name]["win_rate"] == pytest.approx((pnl > 0).mean())
        assert found[name]["pnl"] == pytest.approx(pnl.sum())
        assert found[name]["average_trade"] == pytest.approx(rows["return_frac"].mean())
        lost = -pnl.clip(upper=0).sum()
        expected_factor = pnl.clip(lower=0).sum() / lost if lost else None
        assert found[name]["profit_factor"] == pytest.approx(expected_factor)


def test_months_and_years_multiply_to_the_total_return(result):
    metrics = result.metrics
    assert len(metrics["by_period"]["month"]) == 2
    for found in metrics["by_period"].values():
        whole = np.prod([1.0 + one["return_frac"] for one in found.values()]) - 1.0
        assert whole == pytest.approx(metrics["total_return"])
        profit = sum(one["profit"] for one in found.values())
        assert profit == pytest.approx(metrics["profit"])


def test_nothing_run_has_no_parts(result):
    assert by_period(np.empty(0, np.int64), np.empty(0), 1.0) == {"month": {}, "year": {}}
    assert set(map(len, by_group(result.trips.closed[:0], SYMBOLS).values())) == {0}
