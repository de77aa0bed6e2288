"""`broker.intrabar: detail`: the shorter bars of a resampling feed fill what rests, on every path.

Law: what the fills should be is traced here bar by bar, by nothing of the core.
"""

import asyncio
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import trader
from tests.core_kit import (
    MINUTE,
    START,
    always_open,
    bars_from,
    detail_of,
    make_rules,
    random_detail,
    run,
    whole_bar,
)
from tests.engine.test_replay import spoiled
from tests.feeds.test_resample import config_of, frame_of, one_by_one, source_bars
from tests.journal_kit import PaperRun, slices, start_of
from tests.paper_kit import START_NS, Paper
from tests.paper_kit import bar as line
from trader.core.book import Inputs
from trader.core.schema import FILL, NS_PER_SECOND, FillFlag, Intrabar, OrderKind
from trader.engine.batch import RowKeeper, run_history
from trader.engine.recorded import rules_details
from trader.engine.replay import replay
from trader.errors import ConfigError
from trader.feeds.feed import frame_history
from trader.feeds.live import LiveBar
from trader.feeds.replay_source import ReplayFeed
from trader.jobs.paper.clock import RealClock
from trader.journal.audit.verify import verify_here
from trader.models.prediction import no_requests

HOW = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
BRACKET = {
    "exits.stop_loss": {"type": "percent", "value": 0.3},
    "exits.take_profit": {"type": "percent", "value": 0.4},
    "exits.trailing_stop": {"type": "percent", "value": 0.35, "activate_at": 0.1},
    "position_sizing.allow_short": True,
}


def path_of(tmp_path, **kinds):
    config_of(tmp_path, **kinds)
    return tmp_path / "run.yaml"


def minutes(count=3_000, **more):
    stamps = pd.date_range("2024-03-04T09:00Z", periods=count, freq="min")
    return frame_of(stamps, **more).round(2)


def test_without_shorter_bars_it_is_an_error_that_says_what_to_write(tmp_path):
    path = path_of(tmp_path)
    for period in (None, 300):
        with pytest.raises(ConfigError, match=r"feed\.period_seconds") as told:
            trader.backtest(
                path,
                bars=minutes(10),
                set={"broker.intrabar": "detail", "feed.period_seconds": period},
            )
        assert "broker.intrabar" in str(told.value)


def test_both_engines_agree_and_less_is_ambiguous_than_by_worst(tmp_path):
    path, frame = path_of(tmp_path), minutes()
    detail, worst = (
        trader.backtest(path, bars=frame, set={**BRACKET, "broker.intrabar": rule})
        for rule in ("detail", "worst")
    )
    loop = trader.backtest(
        path, bars=frame, set={**BRACKET, "broker.intrabar": "detail"}, engine="loop"
    )
    assert detail.digest == loop.digest != worst.digest
    assert detail.metrics["ambiguous_fills"] < worst.metrics["ambiguous_fills"]
    kinds = set(detail.fills["kind"])
    assert {"STOP_LOSS", "TAKE_PROFIT", "TRAILING_STOP"} <= kinds
    again = {**BRACKET, "broker.intrabar": "worst"}
    five = frame.resample("5min").agg(HOW)
    plain = trader.backtest(path, bars=five, set={**again, "feed.period_seconds": None})
    assert plain.digest == worst.digest


def test_a_history_and_a_live_feed_bring_the_same_finer_bars(tmp_path):
    kinds = {"symbols": "[ACME, BETA]", "period": 300}
    chance = np.random.default_rng(5)
    frame = pd.concat(
        minutes(400, seed=seed, symbol=name)[chance.random(400) > 0.3]
        for seed, name in enumerate(("ACME", "BETA"))
    ).sort_index(kind="stable")
    config = config_of(tmp_path, "broker.intrabar=detail", **kinds).config
    whole = frame_history(config, frame)
    assert len(whole.detail.edges) == len(whole.bars) + 1
    given = one_by_one(config, source_bars(tmp_path, frame, **kinds))
    live = {
        (int(one.bar["ts_ns"]), int(one.bar["symbol"])): one.finer
        for one in given
        if isinstance(one, LiveBar)
    }
    told = whole.quality.to_dict()["resampled"]
    assert told["in_one_piece"] == sum(len(part) == 1 for part in whole.detail.parts())
    for bar, part in zip(whole.bars, whole.detail.parts(), strict=True):
        assert live[int(bar["ts_ns"]), int(bar["symbol"])].tobytes() == part.tobytes()
        assert (part["symbol"] == bar["symbol"]).all()
        made = part["open"][0], part["high"].max(), part["low"].min(), part["close"][-1]
        assert made == tuple(bar[["open", "high", "low", "close"]].tolist())


def test_a_replay_of_files_brings_the_finer_bars_from_the_first_and_from_any_bar_on(tmp_path):
    config = config_of(tmp_path, "broker.intrabar=detail").config
    whole = frame_history(config, minutes(60))

    async def given(after_ns):
        feed = ReplayFeed(whole, RealClock(), None, after_ns)
        return [one async for one in feed]

    for first in (0, 5):
        after_ns = int(whole.bars["ts_ns"][first - 1]) if first else None
        items = asyncio.run(given(after_ns))
        assert len(items) == 12 - first
        for item, part in zip(items, whole.detail.parts()[first:], strict=True):
            assert item.finer.tobytes() == part.tobytes()


def test_a_sweep_over_the_rule_gives_the_digests_of_single_runs(tmp_path):
    path, frame = path_of(tmp_path), minutes(600)
    table = trader.sweep(path, {"broker.intrabar": ["worst", "detail"]}, bars=frame, set=BRACKET)
    assert set(table["state"]) == {"done"}
    for rule, digest in zip(table["broker.intrabar"], table["digest"], strict=True):
        alone = trader.backtest(path, bars=frame, set={**BRACKET, "broker.intrabar": rule})
        assert alone.digest == digest


def detail_run(tables: list[list[tuple[float, ...]]], actions: str, **changes: Any):
    """A core run over minutes, each of which holds the rows of one table."""
    rows = [whole_bar(parts) for parts in tables]
    terms = {"intrabar": int(Intrabar.DETAIL), "detail_period_ns": MINUTE // 4, "base_size": 10.0}
    return run(bars_from(rows), actions, detail=detail_of(tables), **{**terms, **changes})


def told(result) -> list[tuple[str, float, int]]:
    """(kind, price, quarter of a minute since START) of every fill."""
    return [
        (OrderKind(int(row["kind"])).name, float(row["price"]), int(row["ts_ns"] - START) * 4)
        for row in result.fills
    ]


def at(minute: float) -> int:
    return int(minute * MINUTE) * 4


FLAT = [(100.0, 100.0, 100.0, 100.0, 1e6)]


def test_stop_and_target_in_one_bar_the_finer_bars_say_which_came_first():
    rises = [(100, 100.5, 99.9, 100.4, 1), (100.4, 102.5, 100.3, 102, 1), (102, 102, 97, 97, 1)]
    levels = {"stop_type": 1, "stop_value": 2.0, "target_type": 1, "target_value": 2.0}
    found = detail_run([FLAT, FLAT, rises], "B..", **levels)
    assert told(found) == [("ENTRY", 100.0, at(1)), ("TAKE_PROFIT", 102.0, at(2.5))]
    assert not np.any(found.fills["flags"] & FillFlag.AMBIGUOUS)
    falls = [rises[0], (100.4, 100.5, 97.5, 98, 1), (98, 102.5, 98, 102, 1)]
    found = detail_run([FLAT, FLAT, falls], "B..", **levels)
    assert told(found)[1:] == [("STOP_LOSS", 98.0, at(2.5))]
    gap = [rises[0], (97.0, 97.5, 96.5, 97, 1), rises[1]]
    found = detail_run([FLAT, FLAT, gap], "B..", **levels)
    assert told(found)[1:] == [("STOP_LOSS", 97.0, at(2.25))], "at the open of the finer bar"
    both = [rises[0], (100.4, 102.5, 97.5, 98, 1)]
    found = detail_run([FLAT, FLAT, both], "B..", **levels)
    assert told(found)[1:] == [("STOP_LOSS", 98.0, at(2.5))]
    assert found.fills["flags"][1] & FillFlag.AMBIGUOUS
    assert found.fills["best_price"][1] == 102.0


def test_a_trailing_stop_follows_each_finer_bar():
    trail = {"trail_type": 1, "trail_value": 1.0}
    run_up = [(100, 103, 100, 103, 1), (103, 103.2, 101.0, 101.2, 1), (101, 104, 101, 104, 1)]
    found = detail_run([FLAT, FLAT, run_up], "B..", **trail)
    assert told(found)[1:] == [("TRAILING_STOP", pytest.approx(101.97), at(2.5))]


def test_the_parts_share_the_volume_of_their_bar_and_expiry_counts_bars():
    """A limit of 10 gets 5 of the bar's volume, however many parts touch it; it ends after two."""
    dip = [(100, 100, 98.0, 99.0, 10), (99.0, 99.5, 98.0, 99.4, 10), (99.4, 100, 98.5, 100, 30)]
    terms = {"entry_type": 1, "entry_offset_bps": 100.0, "entry_time_in_force": 4, "entry_bars": 2}
    found = detail_run([FLAT, dip, dip, dip], "B...", max_fill_participation=0.1, **terms)
    assert [(float(row["qty"]), float(row["price"])) for row in found.fills] == [
        (5.0, 99.0),
        (5.0, 99.0),
    ]
    assert told(found)[0][2] == at(1.25)
    terms["entry_bars"] = 1
    found = detail_run([FLAT, dip, dip, dip], "B...", max_fill_participation=0.1, **terms)
    assert len(found.fills) == 1


def test_a_position_above_the_order_size_leaves_one_piece_a_bar():
    fall = [(97, 97, 97, 97, 1)] * 3
    bars = [FLAT, FLAT, FLAT, FLAT, fall, fall, fall]
    found = detail_run(
        bars, "BBB....", stop_type=1, stop_value=2.0, max_order_size=4.0, mode=1, base_size=4.0
    )
    exits = found.fills[found.fills["kind"] == OrderKind.STOP_LOSS]
    assert exits["qty"].tolist() == [-4.0, -4.0, -4.0]
    assert np.diff(exits["ts_ns"]).tolist() == [MINUTE, MINUTE]


def recorded(folder, count=80):
    """(a journaled run by finer bars, its inputs)."""
    bars, detail = random_detail(3, count)
    rules = make_rules(
        always_open(START, int(bars["ts_ns"][-1])), 2, intrabar=2, detail_period_ns=MINUTE // 4,
        stop_type=1, stop_value=0.2, target_type=1, target_value=0.3, trail_type=1,
        trail_value=0.25, max_fill_participation=0.1, tick_size=0.01,
    )  # fmt: skip
    start = replace(start_of(rules), details=rules_details(rules))
    made = PaperRun(folder, rules, start=start)
    actions = np.random.default_rng(4).choice([0, 0, 1, 2], len(bars)).astype(np.int8)
    place = 0
    for part in slices(bars):
        rows = slice(place, place + len(part))
        made.feed(part, actions[rows], detail=detail.rows(rows.start, rows.stop))
        place = rows.stop
    made.snapshot()
    made.end()
    inputs = Inputs(bars, actions, np.zeros(len(bars), np.int16), no_requests(0), *detail)
    return made, inputs


def test_the_journal_holds_what_replay_needs_and_audit_checks_it(tmp_path):
    made, inputs = recorded(tmp_path / "run")
    batch = run_history(made.rules, inputs, RowKeeper(len(inputs.bars)))
    exits = {int(kind) for kind in batch.fills["kind"]}
    assert {OrderKind.STOP_LOSS, OrderKind.TAKE_PROFIT, OrderKind.TRAILING_STOP} <= exits
    whole = inputs._replace(finer=inputs.finer[:0], edges=inputs.edges[:0])
    assert run_history(made.rules, whole, RowKeeper(len(whole.bars))).digest != batch.digest
    report = replay(made.path)
    assert report.ok, report.divergence
    assert report.digest == batch.digest
    assert report.fills == len(batch.fills)
    checked = verify_here(made.path)
    assert checked.ok, checked.problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: parts.pop(), "other bars"),
        (lambda parts: max(parts, key=len).reverse(), "out of order"),
        (lambda parts: parts[0][0].__setitem__(2, 1e6), "do not make it up"),
        (lambda parts: parts.reverse(), "another symbol"),
    ],
)
def test_finer_bars_that_do_not_fit_their_bar_are_found(tmp_path, change, said):
    made, _ = recorded(tmp_path / "run", 6)
    spoiled(made.path, "BAR", lambda data: change(data["finer"]), 2)
    checked = verify_here(made.path)
    assert not checked.ok
    assert said in str(checked.problems), checked.problems


@pytest.mark.process
def test_a_paper_run_by_finer_bars_goes_on_after_a_crash_inside_a_bar(tmp_path):
    """Killed while a two-minute bar forms, whose stop the first minute passes by and the second
    meets: the run goes on, fills it there, reproduces itself and is the backtest."""
    paper = Paper(
        tmp_path / "run",
        ("feed: {type: stdin,", "feed: {type: stdin, period_seconds: 60,"),
        ("bar_period_seconds: 60", "bar_period_seconds: 120"),
        ("broker:\n", "broker:\n  intrabar: detail\n"),
        ("execution:", "exits: {stop_loss: {type: percent, value: 2}}\nexecution:"),
    ).start()
    paper.send(*(line(minute, 60.0) for minute in range(1, 9)))
    paper.until("BAR", 4)
    paper.send(line(9, 61.0))
    paper.signal(signal.SIGKILL)
    paper.end()
    paper.start()
    paper.send(line(9, 61.0), line(10, 58.0, high=61.0), *(line(m, 58.0) for m in range(11, 15)))
    code, _, err = paper.end()
    assert code == 0, err
    fills = [data for kind, data in paper.records() if kind == "FILL"]
    names = FILL.names or ()
    rows = [dict(zip(names, data["fill"], strict=True)) for data in fills]
    stop = next(row for row in rows if row["kind"] == OrderKind.STOP_LOSS)
    assert stop["ts_ns"] == START_NS + 9 * 60 * NS_PER_SECOND, "at the open of the tenth minute"
    finer = [data["finer"] for kind, data in paper.records() if kind == "BAR"]
    assert [len(part) for bar in finer for part in bar] == [2] * 7
    paper.assert_sound()
    done = paper.run("parity", paper.run_dir.name)
    assert done.returncode == 0, done.stdout + done.stderr


def traced(frame, hours, wants_long, stop_share, target_share):
    """(kind, instant, price) of every fill, by a loop over the minutes of each hour."""
    fills, entry, wanted = [], None, None
    groups = dict(iter(frame.groupby(frame.index.floor("h"))))
    for hour in hours.index:
        rows = groups[hour]
        first, opened = rows.index[0], rows["open"].iloc[0]
        if wanted is True and entry is None:
            entry = opened
            fills.append(("ENTRY", hour, opened))
        elif wanted is False and entry is not None:
            entry = None
            fills.append(("SIGNAL", hour, opened))
        for minute, row in rows.iterrows():
            if entry is None:
                break
            stop, target = entry * (1.0 - stop_share), entry * (1.0 + target_share)
            closed = minute + pd.Timedelta(minutes=1)
            opening = hour if minute == first else minute
            if row["open"] <= stop:
                fills.append(("STOP_LOSS", opening, row["open"]))
            elif row["open"] > target:
                fills.append(("TAKE_PROFIT", opening, row["open"]))
            elif row["low"] <= stop:
                fills.append(("STOP_LOSS", closed, stop))
            elif row["high"] > target:
                fills.append(("TAKE_PROFIT", closed, target))
            else:
                continue
            entry = None
        wanted = wants_long[hour]
    return fills


@pytest.mark.long
def test_hours_of_real_minutes_fill_as_a_loop_over_the_minutes_says(tmp_path, real_data):
    frame = pd.read_parquet(real_data / "BITFINEX_BTCUSD_1m.parquet").iloc[400_000:460_000]
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame["timestamp"], utc=True))
    frame = frame[["open", "high", "low", "close", "volume"]]
    path = path_of(tmp_path, period=3600, symbols="[{symbol: ACME, tick_size: 0, lot_size: 0.01}]")
    overrides = {
        "features.sma_fast.period": 2,
        "features.sma_slow.period": 5,
        "position_sizing.base_size": 1,
        "exits": {"stop_loss": {"value": 0.4}, "take_profit": {"value": 0.6}},
        "broker.cash": 1e7,
        "broker.commission.value": 0,
        "broker.intrabar": "detail",
        "risk.max_daily_loss": None,
        "risk.max_position_concentration": None,
    } | {
        f"throttle.{name}": None
        for name in ("max_volume_participation", "max_volatility", "max_order_size")
    }
    found = trader.backtest(path, bars=frame, set=overrides)
    hours = frame.resample("h").agg(HOW).dropna()
    fast, slow = (hours["close"].rolling(size).mean() for size in (2, 5))
    wants_long = (fast > slow).astype(object).where(slow.notna(), None)
    wanted = traced(frame, hours.iloc[: len(found.equity)], wants_long, 0.004, 0.006)
    rows = found.fills
    assert len(rows) == len(wanted) > 300
    assert rows["kind"].tolist() == [kind for kind, _, _ in wanted]
    assert (
        pd.DatetimeIndex(rows["timestamp"]) == pd.DatetimeIndex([at for _, at, _ in wanted])
    ).all()
    assert np.allclose(rows["price"], [price for _, _, price in wanted], rtol=1e-12, atol=0)
    worst = trader.backtest(path, bars=frame, set=overrides | {"broker.intrabar": "worst"})
    assert worst.metrics["ambiguous_fills"] > 10 * found.metrics["ambiguous_fills"]
