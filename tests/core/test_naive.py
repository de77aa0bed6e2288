"""The core against the Decimal ledger: every fill and the final equity, to 1e-6."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_kit import BAR, Run, always_open, make_inputs, make_rules, random_bars
from tests.naive import Ledger, Most, Terms, number, run_ledger
from tests.tiers import cases
from trader.core.book import NO_REQUESTS
from trader.core.schema import SizingMode
from trader.models.prediction import no_requests


def assert_same(result, ledger: Ledger) -> None:
    fills = result.fills
    assert len(fills) == len(ledger.fills)
    period = int(result.rules.broker[0]["period_ns"])
    for fill, (ts_ns, symbol, qty, price, commission) in zip(fills, ledger.fills, strict=True):
        assert fill["ts_ns"] + period == ts_ns
        assert fill["symbol"] == symbol
        assert abs(Decimal(float(fill["qty"])) - qty) < Decimal("1e-9")
        assert abs(Decimal(float(fill["price"])) - price) < Decimal("1e-6")
        assert abs(Decimal(float(fill["commission"])) - commission) < Decimal("1e-6")
    assert abs(Decimal(float(result.account["equity"])) - ledger.equity) < Decimal("1e-6")
    assert abs(Decimal(float(result.account["cash"])) - ledger.cash) < Decimal("1e-6")


FIELDS = {
    "position": "max_position_size",
    "order": "max_order_size",
    "position_notional": "max_position_notional",
    "order_notional": "max_order_notional",
}


def limited(rules, most):
    """Rules with limits of their own for each symbol."""
    rows = np.repeat(rules.limits, 1 + len(most))
    for row, one in zip(rows[1:], most, strict=True):
        for name, field in FIELDS.items():
            if getattr(one, name) is not None:
                row[field] = float(getattr(one, name))
    return rules._replace(limits=rows)


def compare(
    bars: np.ndarray,
    actions: np.ndarray,
    terms: Terms,
    cash: float = 1e6,
    scores: np.ndarray | None = None,
) -> None:
    of_equity = {} if terms.percent is None else {
        "mode": int(SizingMode.PERCENT_EQUITY), "percent": float(terms.percent), "allow_margin": 0,
    }  # fmt: skip
    if terms.floor is not None:
        of_equity = {"mode": int(SizingMode.SCORE), "floor": float(terms.floor)}
    requests = NO_REQUESTS
    if scores is not None:
        requests = no_requests(len(bars))
        requests["score"] = scores
    sessions = always_open(int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    rules = make_rules(
        sessions,
        int(bars["symbol"].max()) + 1,
        cash=cash,
        base_size=float(terms.base_size),
        allow_short=int(terms.allow_short),
        commission_value=float(terms.commission_bps),
        slippage_value=float(terms.slippage_bps),
        tick_size=float(terms.tick_size),
        lot_size=float(terms.lot_size),
        max_fill_participation=(
            np.inf if terms.participation is None else float(terms.participation)
        ),
        multiplier=float(terms.multiplier),
        rate=terms.rates or 0,
        converts=int(bool(terms.rates)),
        future=[int(symbol in terms.futures) for symbol in range(int(bars["symbol"].max()) + 1)],
        **of_equity,
    )
    if terms.limits:
        rules = limited(rules, terms.limits)
    result = Run(rules, make_inputs(bars, actions, requests))
    assert_same(result, run_ledger(bars, actions, cash, terms, scores))


@settings(max_examples=cases(60), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    symbols=st.integers(1, 3),
    commission=st.sampled_from(["0", "1", "2.5"]),
    slippage=st.sampled_from(["0", "0.7", "5"]),
    tick=st.sampled_from(["0", "0.01", "0.05"]),
    lot=st.sampled_from(["1", "0.001", "5"]),
    participation=st.sampled_from([None, "0.01", "0.3"]),
    allow_short=st.booleans(),
)
def test_core_equals_the_decimal_ledger_whatever_the_terms(
    seed, symbols, commission, slippage, tick, lot, participation, allow_short
):
    bars = random_bars(seed, 60, symbols)
    actions = np.random.default_rng(seed + 1).integers(0, 3, len(bars))
    terms = Terms(
        base_size=Decimal("100"),
        allow_short=allow_short,
        commission_bps=Decimal(commission),
        slippage_bps=Decimal(slippage),
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        participation=None if participation is None else Decimal(participation),
    )
    compare(bars, actions, terms)


@settings(max_examples=cases(40), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    symbols=st.integers(1, 3),
    percent=st.sampled_from(["0.34", "0.5", "1"]),
    commission=st.sampled_from(["0", "1", "10"]),
    slippage=st.sampled_from(["0", "5"]),
    allow_short=st.booleans(),
    multiplier=st.sampled_from(["1", "1", "5", "0.5"]),
)
def test_what_the_cash_allows_is_bought_to_the_lot(
    seed, symbols, percent, commission, slippage, allow_short, multiplier
):
    bars = random_bars(seed, 40, symbols)
    bars["bid"] = bars["ask"] = np.nan  # the twin knows no quotes
    actions = np.random.default_rng(seed + 1).choice([0, 0, 1, 2], len(bars))
    terms = Terms(
        base_size=Decimal(0),
        allow_short=allow_short,
        commission_bps=Decimal(commission),
        slippage_bps=Decimal(slippage),
        percent=Decimal(percent),
        multiplier=Decimal(multiplier),
    )
    compare(bars, actions, terms, cash=30_000.0)


def some(*values: str):
    """One of these amounts, or none."""
    return st.sampled_from([None, None, *map(Decimal, values)])


@settings(max_examples=cases(60), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    limits=st.lists(
        st.builds(
            Most,
            position=some("60", "100", "250"),
            order=some("30", "99", "150"),
            position_notional=some("9000", "12000"),
            order_notional=some("5000", "15000"),
        ),
        min_size=1,
        max_size=3,
    ),
    floor=st.sampled_from([None, "0", "0.25", "1"]),
    lot=st.sampled_from(["1", "0.1", "7"]),
    multiplier=st.sampled_from(["1", "2"]),
    participation=st.sampled_from([None, "0.03"]),
    allow_short=st.booleans(),
)
def test_limits_of_a_symbol_and_sizes_by_score_equal_the_decimal_ledger(
    seed, limits, floor, lot, multiplier, participation, allow_short
):
    """A limit refuses what opens, leaves what closes, and cuts what only closes to pieces."""
    bars = random_bars(seed, 50, len(limits))
    bars["bid"] = bars["ask"] = np.nan
    chance = np.random.default_rng(seed + 1)
    actions = chance.integers(0, 3, len(bars))
    scores = chance.choice([np.nan, 0.0, 0.37, -0.8, 1.0, 2.5], len(bars))
    terms = Terms(
        base_size=Decimal("100"),
        allow_short=allow_short,
        lot_size=Decimal(lot),
        multiplier=Decimal(multiplier),
        participation=None if participation is None else Decimal(participation),
        floor=None if floor is None else Decimal(floor),
        limits=tuple(limits),
    )
    compare(bars, actions, terms, scores=None if floor is None else scores)


@settings(max_examples=cases(30), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rates=st.sampled_from([(), (3, 0, 0), (0, -3, 0), (3, -1, -3), (-2, 3, 0), (0, 0, -3)]),
    multiplier=st.sampled_from(["1", "50", "0.01"]),
    commission=st.sampled_from(["0", "2.5"]),
    allow_short=st.booleans(),
    futures=st.frozensets(st.integers(0, 2)),
)
def test_contracts_and_currencies_equal_the_decimal_ledger(
    seed, rates, multiplier, commission, allow_short, futures
):
    bars = random_bars(seed, 60, 3)
    actions = np.random.default_rng(seed + 1).integers(0, 3, len(bars))
    terms = Terms(
        base_size=Decimal(20), allow_short=allow_short, commission_bps=Decimal(commission),
        multiplier=Decimal(multiplier), rates=rates, futures=futures,
    )  # fmt: skip
    compare(bars, actions, terms)


def read_real(path: Path, rows: int) -> np.ndarray:
    import pandas as pd

    frame = (
        pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, nrows=rows)
    ).head(rows)
    stamps = pd.to_datetime(frame["timestamp"], format="ISO8601", utc=True)
    bars = np.zeros(len(frame), BAR)
    bars["ts_ns"] = stamps.dt.as_unit("ns").astype("int64") + 60 * 10**9
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = frame[name]
    bars["bid"] = bars["ask"] = np.nan
    return bars


@pytest.mark.parametrize(
    ("name", "tick"),
    [("BITFINEX_BTCUSD_1m.parquet", "0.01"), ("BITFINEX_XRPUSD_1m.parquet", "0.0001")],
)
def test_core_equals_the_decimal_ledger_on_real_bars(real_data, name, tick):
    bars = read_real(real_data / name, 5_000)
    actions = np.random.default_rng(7).integers(0, 3, len(bars))
    terms = Terms(Decimal("12"), True, Decimal("1.5"), Decimal("2"), Decimal(tick))
    compare(bars, actions, terms)


def test_ledger_writes_floats_as_people_do():
    assert number(0.1) == Decimal("0.1")
