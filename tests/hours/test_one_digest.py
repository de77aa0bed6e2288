"""A daily history and a monthly one through the command line: one digest in every mode."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.feeds_kit import trader
from trader.hours.calendars import calendar_years, day_number

pytestmark = pytest.mark.process

CONFIG = """\
name: case
instruments: [X]
feed: {{type: {kind}, path: "{path}"{feed}}}
bar_period_seconds: {period}
features:
  fast: {{type: sma, period: 2}}
  slow: {{type: sma, period: 5}}
model: {{type: rule, buy: fast > slow, sell: fast <= slow}}
position_sizing: {{mode: target, base_size: 10, allow_short: true}}
risk:
  max_position_size: 1000
  max_order_size: 500
  max_daily_loss: 15
  max_position_concentration: 0.9
  market_hours: {hours}
throttle: {{max_volume_participation: none, max_spread_bps: none, max_volatility: none, max_order_size: none}}
broker:
  cash: 10000
  time_in_force: day
  max_fill_participation: 0.02
  commission: {{type: bps, value: 1.0}}
  slippage: {{type: bps, value: 1.0}}
watchdog: {{soft_s: 50, hard_s: 60}}
"""  # noqa: E501


def sessions_of_2024():
    """Dates of XNYS, a half day and both changes of clocks among them."""
    table = calendar_years("XNYS", 2023, 2024).sessions
    dates = np.unique(table["session"])
    return pd.DatetimeIndex(dates[dates >= day_number("2024-02-01")].astype("datetime64[D]"))


def walk(count):
    chance = np.random.default_rng(7)
    close = np.round(100.0 * np.exp(np.cumsum(chance.normal(0, 0.01, count))), 2)
    opened = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    return {"open": opened, "high": high, "low": low, "close": close, "volume": 300.0}


def config(folder, stamps, period, hours, feed=""):
    frame = pd.DataFrame({"timestamp": stamps, **walk(len(stamps))})
    kind = "parquet" if isinstance(stamps, pd.DatetimeIndex) else "csv"
    path = folder / f"bars.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    text = CONFIG.format(kind=kind, path=path, feed=feed, period=period, hours=hours)
    (folder / "case.yaml").write_text(text)


def done(folder, *words):
    found = trader(*words, folder=folder)
    assert found.returncode == 0, found.stderr
    return found.stdout


def backtest(folder):
    return json.loads(done(folder, "backtest", "-c", "case.yaml", "--json"))


def test_stamps_of_four_vendors_give_one_digest(tmp_path):
    days = sessions_of_2024()
    closes = (days + pd.Timedelta("16h")).tz_localize("America/New_York")
    written = {
        "dates": (days.strftime("%Y-%m-%d"), ""),
        "utc": (days.tz_localize("UTC"), ""),
        "opens": (
            (days + pd.Timedelta("9h30m")).strftime("%Y-%m-%d %H:%M"),
            ", timezone: America/New_York",
        ),
        "closes": (closes, ", timestamp: close"),
    }
    digests = {}
    for name, (stamps, feed) in written.items():
        (tmp_path / name).mkdir()
        config(tmp_path / name, stamps, "day", "XNYS", feed)
        document = backtest(tmp_path / name)
        assert document["fills"] > 20
        assert document["metrics"]["trading_days"] == len(days)
        digests[name] = document["digest"]
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize(("period", "hours"), [("day", "XNYS"), ("month", "24x7")])
def test_days_and_months_are_one_trading_in_every_mode(period, hours, tmp_path):
    stamps = sessions_of_2024()
    if period == "month":
        stamps = pd.date_range("2018-01-01", "2024-12-01", freq="MS")
    config(tmp_path, stamps.strftime("%Y-%m-%d"), period, hours, ", timezone: UTC")
    document = backtest(tmp_path)
    looped = done(tmp_path, "backtest", "-c", "case.yaml", "--json", "--engine", "loop")
    paper = done(tmp_path, "paper", "-c", "case.yaml", "--json", "--pace", "max")
    summary = json.loads(paper.splitlines()[-1])
    replayed = json.loads(done(tmp_path, "replay", "latest", "--json"))
    compared = json.loads(done(tmp_path, "parity", "latest", "--json"))
    done(tmp_path, "audit", "verify", "latest")
    assert json.loads(looped)["digest"] == document["digest"]
    assert summary["digest"] == replayed["digest"] == compared["digest"] == document["digest"]
    fills = pd.read_csv(f"{summary['run_dir']}/fills.csv")
    decisions = pd.read_parquet(f"{document['run_dir']}/decisions.parquet")
    times = decisions[decisions["approved_qty"] != 0.0]["timestamp"]
    decided = pd.to_datetime(times, utc=True).dt.tz_localize(None).to_numpy("datetime64[ns]")
    filled = pd.to_datetime(fills["timestamp"], utc=True).dt.tz_localize(None).to_numpy()
    last = np.searchsorted(np.sort(decided), filled.astype("datetime64[ns]"), side="right")
    assert np.all(last >= fills["order_id"].to_numpy()), "a fill is stamped before its order"
    if period == "day":
        clock = pd.to_datetime(fills["timestamp"], utc=True).dt.tz_convert("America/New_York")
        assert set(clock.dt.strftime("%H:%M")) == {"09:30"}
