"""The gate for single bars: each rule, and the batch gate's counts and bars on anything."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import config_demo
from tests.tiers import cases
from trader.config.schema import Config
from trader.core.schema import ADJUSTMENT, BAR, AdjustmentKind
from trader.feeds.bargate import BarGate, VerdictKind
from trader.feeds.bars import DataGate
from trader.feeds.raw import RawRows
from trader.feeds.sessions import session_table
from trader.feeds.splits import DeclaredSplits
from trader.session_rows import bar_open_ns

MINUTE = 60 * 10**9
START = 1_709_562_600 * 10**9  # 2024-03-04T14:30:00Z, the XNYS open
DROP = tuple(
    f"feed.quality.{kind}=drop"
    for kind in ("duplicate", "revised", "disorder", "ohlc", "price", "volume")
)
NAMES = ("open", "high", "low", "close", "volume", "bid", "ask")


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Config]:
    path = config_demo.write(tmp_path_factory.mktemp("gate"), config_demo.DEMO)
    return {
        jump: config_demo.load(path, *DROP, f"feed.quality.jump={jump}").config
        for jump in ("warn", "drop")
    }


def gate_of(config: Config, hours: str = "24x7") -> BarGate:
    sessions = session_table(hours, START, START + 10_000 * MINUTE)
    return BarGate(1, MINUTE, config.feed.quality, sessions)


def bar(minute: int, close: float = 100.0, **changes: float) -> np.void:
    record = np.zeros(1, BAR)[0]
    record["ts_ns"] = START + (minute + 1) * MINUTE
    record["open"] = record["high"] = record["low"] = record["close"] = close
    record["volume"] = 10.0
    record["bid"] = record["ask"] = np.nan
    for name, value in changes.items():
        record[name] = value
    return record


def test_a_clean_series_is_accepted(configs: dict[str, Config]) -> None:
    gate = gate_of(configs["warn"])
    verdicts = [gate.check(bar(minute)) for minute in range(5)]
    assert all(v.kind == VerdictKind.ACCEPTED and v.is_accepted for v in verdicts)
    assert not any(gate.counts.values())


def test_the_same_bar_again_is_a_duplicate_and_another_one_a_revision(
    configs: dict[str, Config],
) -> None:
    gate = gate_of(configs["warn"])
    gate.check(bar(0))
    assert gate.check(bar(0)).kind == VerdictKind.DUPLICATE
    revised = gate.check(bar(0, volume=11.0))
    assert revised.kind == VerdictKind.REVISED
    assert not revised.is_accepted
    assert "volume 10 became 11" in revised.detail
    assert gate.check(bar(0)).kind == VerdictKind.DUPLICATE, "the first one is kept"


def test_a_bar_of_the_past_is_late_also_after_a_refused_one(configs: dict[str, Config]) -> None:
    gate = gate_of(configs["warn"])
    gate.check(bar(0))
    assert gate.check(bar(5, volume=-1.0)).kind == VerdictKind.INVALID
    late = gate.check(bar(3))
    assert (late.kind, late.is_accepted, late.rule) == (VerdictKind.LATE, False, "disorder")


def test_a_gap_counts_the_bars_inside_trading_hours_only(configs: dict[str, Config]) -> None:
    always, exchange = gate_of(configs["warn"]), gate_of(configs["warn"], "XNYS")
    for gate in (always, exchange):
        gate.check(bar(389))
    assert always.check(bar(24 * 60)).missing == 24 * 60 - 390
    overnight = exchange.check(bar(24 * 60))  # the next day's first bar
    assert overnight.kind == VerdictKind.ACCEPTED
    gap = exchange.check(bar(24 * 60 + 3))
    assert (gap.kind, gap.missing, gap.is_accepted) == (VerdictKind.GAP, 2, True)
    assert exchange.missing_bars == 2


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"close": float("nan")}, "price"),
        ({"open": float("inf")}, "price"),
        ({"low": 0.0}, "price"),
        ({"close": -1.0}, "price"),
        ({"bid": 0.0}, "price"),
        ({"ask": float("-inf")}, "price"),
        ({"high": 99.0}, "ohlc"),
        ({"low": 101.0}, "ohlc"),
        ({"volume": -1.0}, "volume"),
        ({"volume": float("nan")}, "volume"),
    ],
)
def test_senseless_values_are_refused_by_rule(
    configs: dict[str, Config], changes: dict[str, float], rule: str
) -> None:
    verdict = gate_of(configs["warn"]).check(bar(0, **changes))
    assert (verdict.kind, verdict.rule) == (VerdictKind.INVALID, rule)
    assert not verdict.is_accepted


def test_a_jump_passes_where_it_warns_and_is_refused_until_it_lasts(
    configs: dict[str, Config],
) -> None:
    warned = gate_of(configs["warn"])
    warned.check(bar(0))
    verdict = warned.check(bar(1, 10_000.0))
    assert (verdict.kind, verdict.is_accepted) == (VerdictKind.JUMP, True)
    refusing = gate_of(configs["drop"])
    refusing.check(bar(0))
    verdicts = [refusing.check(bar(minute, 10_000.0)) for minute in range(1, 8)]
    assert [v.is_accepted for v in verdicts] == [False] * 5 + [True] * 2


VALUES = st.sampled_from([100.0, 101.0, 99.0, 130.0, 10_000.0, 0.0, -5.0, np.nan, np.inf])
ROWS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.lists(VALUES, min_size=7, max_size=7)
        | st.sampled_from([100.0, 101.0, 130.0, 10_000.0]).map(lambda close: [close] * 7),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=cases(300), deadline=None)
@given(rows=ROWS, jump=st.sampled_from(["warn", "drop"]), hours=st.sampled_from(["24x7", "XNYS"]))
def test_counts_and_bars_are_those_of_the_batch_gate(
    configs: dict[str, Config],
    rows: list[tuple[int, list[float]]],
    jump: str,
    hours: str,
) -> None:
    config = configs[jump]
    stamps = START + np.array([minute * MINUTE for minute, _ in rows])
    table = np.array([values for _, values in rows])
    numbers = {name: table[:, column].copy() for column, name in enumerate(NAMES)}
    sessions = session_table(hours, START, START + 100 * MINUTE)
    batch = DataGate(config, sessions)
    raw = RawRows(Path("rows"), stamps, numbers, None, 0)
    expected = np.concatenate(batch.bars(raw, None))
    gate = BarGate(1, MINUTE, config.feed.quality, sessions)
    records = np.zeros(len(rows), BAR)
    records["ts_ns"] = stamps + MINUTE
    for name in NAMES:
        records[name] = numbers[name]
    accepted = [record for record in records if gate.check(record).is_accepted]
    assert gate.counts == batch.report.counts
    assert gate.missing_bars == batch.report.missing_bars
    assert b"".join(record.tobytes() for record in accepted) == expected.tobytes()


def split_rows(splits: list[tuple[int, float]]) -> np.ndarray:
    rows = [(START + minute * MINUTE, value, 0, AdjustmentKind.SPLIT) for minute, value in splits]
    return np.array(rows, ADJUSTMENT)


@pytest.mark.parametrize(
    ("closes", "splits", "jumps"),
    [
        ([100, 101, 25.3, 25.2], [(2, 4.0)], 0),
        ([100, 101, 25.3, 25.2], [], 1),
        ([100, 101, 1010, 1005], [(2, 0.1)], 0),
        ([100, 50, 12.6, 12.6], [(1, 2.0), (2, 4.0)], 0),
        ([100, 101, 102, 103], [(2, 4.0)], 1),  # adjusted already: the split itself jumps
        ([100, 101, 10, 25.2], [(2, 4.0)], 2),  # a crash on the day of the split
        ([100, 101, 25.3, 25.2], [(3, 4.0)], 2),  # declared a bar late
    ],
)
@pytest.mark.parametrize("jump", ["warn", "drop"])
def test_a_declared_split_is_no_jump_in_either_gate(
    configs: dict[str, Config],
    closes: list[float],
    splits: list[tuple[int, float]],
    jumps: int,
    jump: str,
) -> None:
    config, declared = configs[jump], DeclaredSplits(split_rows(splits))
    stamps = START + np.arange(len(closes)) * MINUTE
    columns = dict.fromkeys(("open", "high", "low", "close"), np.array(closes, float))
    raw = RawRows(Path("rows"), stamps, {**columns, "volume": np.ones(len(closes))}, None, 0)
    batch = DataGate(config, None, declared)
    (kept,) = batch.bars(raw, None)
    gate = BarGate(1, MINUTE, config.feed.quality, None)
    gate.expect_splits(declared)
    records = np.zeros(len(closes), BAR)
    records["ts_ns"], records["volume"] = stamps + MINUTE, 1.0
    records["bid"] = records["ask"] = np.nan
    for name in ("open", "high", "low", "close"):
        records[name] = closes
    accepted = [record for record in records if gate.check(record).is_accepted]
    assert gate.counts == batch.report.counts
    assert b"".join(record.tobytes() for record in accepted) == kept.tobytes()
    if jump == "warn":
        assert gate.counts["jump"] == jumps


def test_a_split_that_the_prices_do_not_show_is_named_in_its_jump(configs) -> None:
    prices = np.array([100.0, 101.0, 102.0])
    numbers = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
    gate = DataGate(configs["warn"], None, DeclaredSplits(split_rows([(1, 4.0)])))
    gate.bars(RawRows(Path("rows"), START + np.arange(3) * MINUTE, numbers, None, 0), None)
    (found,) = gate.report.examples["jump"]
    assert found.detail == "close 101 after 100, and a split of 4 is declared"


def test_prices_at_or_below_zero_pass_where_the_instrument_says_so_and_jump_nowhere(configs):
    quality = configs["drop"].feed.quality
    gate = BarGate(2, MINUTE, quality, None, None, [True, False])
    rows = np.zeros(5, BAR)
    for index, price in enumerate((1.0, -37.63, -0.01, 0.0, 12.0)):
        rows[index]["ts_ns"] = START + index * MINUTE
        for name in ("open", "high", "low", "close"):
            rows[index][name] = price
        rows[index]["bid"] = rows[index]["ask"] = np.nan
    assert [gate.check(row).kind for row in rows] == [VerdictKind.ACCEPTED] * 5
    rows["symbol"] = 1
    assert gate.check(rows[1]).rule == "price"


@pytest.mark.parametrize(
    ("offsets_s", "accepted"),
    [
        ([0, 60, 120], [True, True, True]),
        ([0, 30, 60, 120], [True, False, True, True]),  # a stray row between two minutes
        ([0, 56, 120], [True, True, True]),  # stamps that are not quite steady
        ([0, 10, 20, 30], [True, False, False, False]),  # bars of another period
    ],
)
def test_a_live_bar_that_opens_before_the_last_one_closed_is_refused(
    configs: dict[str, Config], offsets_s: list[int], accepted: list[bool]
) -> None:
    gate = BarGate(1, MINUTE, configs["warn"].feed.quality, None)
    rows = np.zeros(len(offsets_s), BAR)
    rows["ts_ns"] = START + MINUTE + np.array(offsets_s) * 10**9
    rows["bid"] = rows["ask"] = np.nan
    for name in ("open", "high", "low", "close", "volume"):
        rows[name] = 100.0
    verdicts = [gate.check(row) for row in rows]
    assert [one.is_accepted for one in verdicts] == accepted
    refused = [one.detail for one in verdicts if not one.is_accepted]
    assert all("bars overlap: look at bar_period_seconds" in detail for detail in refused)
    assert gate.counts["disorder"] == len(refused)


@pytest.mark.parametrize("stamp", ["open", "close"])
def test_a_stray_row_of_a_file_never_overlaps_its_neighbours(
    configs: dict[str, Config], tmp_path: Path, stamp: str
) -> None:
    path = config_demo.write(tmp_path, config_demo.DEMO)
    config = config_demo.load(path, f"feed.timestamp={stamp}").config
    stamps = START + np.array([0, 60, 90, 120, 180]) * 10**9
    numbers = dict.fromkeys(("open", "high", "low", "close", "volume"), np.full(5, 100.0))
    gate = DataGate(config)
    (bars,) = gate.bars(RawRows(Path("rows"), stamps, numbers, None, 0), None)
    opens = np.array([bar_open_ns(bar, MINUTE) for bar in bars])
    assert (bars["ts_ns"][:-1] <= opens[1:]).all()
    assert (opens < bars["ts_ns"]).all()
    assert gate.report.overlapping == 2
