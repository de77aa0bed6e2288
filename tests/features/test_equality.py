"""Batch and stream are equal bit for bit, for every type; symbols and the future stay out."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.features_kit import (
    MINUTE,
    TYPES,
    differences,
    every_spec,
    feature_set,
    real_bars,
    same,
    short_specs_of,
    specs_of,
    streamed,
    walk_bars,
)
from tests.tiers import cases
from trader.features.feature_types import FRAME, PYTHON, TALIB
from trader.feeds.sessions import session_table

OFFERED = sorted(set(TYPES) - {PYTHON, FRAME})
WALK = walk_bars(600)
PAIR = walk_bars(500, symbols=2, seed=3)


def test_every_talib_function_is_offered():
    talib = pytest.importorskip("talib")
    assert {name for name, kind in TYPES.items() if kind.group == TALIB} == set(
        talib.get_functions()
    )
    assert len(talib.get_functions()) >= 201


@pytest.mark.parametrize("name", OFFERED)
def test_stream_equals_batch_bit_for_bit(name):
    specs = specs_of(TYPES[name])
    specs |= {f"{key}_short": spec for key, spec in short_specs_of(TYPES[name]).items()}
    features = feature_set(specs, WALK)
    matrix = features.batch(WALK)
    assert differences(matrix, streamed(features, WALK), features.names) == []
    assert not np.isinf(matrix).any()


@pytest.mark.parametrize("name", [name for name in OFFERED if TYPES[name].inputs])
def test_stream_equals_batch_where_quotes_are_missing(name):
    inputs = TYPES[name].inputs
    quotes = ["bid", "ask", "bid", "ask"][: len(inputs)]
    more = {"input": "bid"} if len(inputs) == 1 else {"inputs": quotes}
    if name == "volume_ratio":
        more = {"input": "ask"}
    specs = {key: spec | more for key, spec in specs_of(TYPES[name]).items()}
    features = feature_set(specs, WALK)
    matrix = features.batch(WALK)
    missing = np.isnan(WALK["ask" if name == "volume_ratio" else "bid"])
    if len(inputs) > 1:
        missing |= np.isnan(WALK["ask"])
    assert missing.any()
    assert np.isnan(matrix[missing]).all()
    assert differences(matrix, streamed(features, WALK), features.names) == []


@pytest.mark.parametrize("split", [0, 1, 40, 250, 500])
def test_stream_warmed_up_with_history_goes_on_as_if_fed_bar_by_bar(split):
    features = feature_set(every_spec(), PAIR)
    expected = features.batch(PAIR)[split:]
    stream = features.stream()
    assert stream.warm_up(PAIR[:split]) is None
    rows = np.array([stream.update(bar) for bar in PAIR[split:]]).reshape(-1, len(features.names))
    assert differences(expected, rows, features.names) == []


def test_stream_can_be_warmed_up_again_after_updates():
    features = feature_set(every_spec(), PAIR)
    stream = features.stream()
    stream.warm_up(PAIR[:30])
    for bar in PAIR[30:60]:
        stream.update(bar)
    stream.warm_up(PAIR[60:120])
    stream.warm_up(PAIR[120:400])
    rows = np.array([stream.update(bar) for bar in PAIR[400:]])
    assert differences(features.batch(PAIR)[400:], rows, features.names) == []


def test_symbols_never_mix():
    features = feature_set(every_spec(), PAIR)
    together = features.batch(PAIR)
    for symbol in (0, 1):
        rows = PAIR["symbol"] == symbol
        alone = features.batch(PAIR[rows])
        assert differences(together[rows], alone, features.names) == []
    other = PAIR.copy()
    for name in ("open", "high", "low", "close", "volume", "bid", "ask"):
        other[name][PAIR["symbol"] == 1] *= 7.0
    rows = PAIR["symbol"] == 0
    assert same(features.batch(other)[rows], together[rows]).all()


@settings(max_examples=cases(25))
@given(cut=st.integers(0, len(PAIR)), seed=st.integers(0, 2**32 - 1))
def test_the_future_never_changes_the_past(cut, seed):
    features = feature_set(every_spec(), PAIR)
    whole = features.batch(PAIR)
    assert differences(whole[:cut], features.batch(PAIR[:cut]), features.names) == []
    other = PAIR.copy()
    chance = np.random.default_rng(seed)
    for name in ("open", "high", "low", "close", "volume", "bid", "ask"):
        other[name][cut:] *= chance.uniform(0.5, 2.0, len(PAIR) - cut)
    assert differences(whole[:cut], features.batch(other)[:cut], features.names) == []


@settings(max_examples=cases(15))
@given(seed=st.integers(0, 2**32 - 1), symbols=st.integers(1, 4), rows=st.integers(0, 150))
def test_stream_equals_batch_on_any_walk(seed, symbols, rows):
    bars = walk_bars(rows, symbols=symbols, seed=seed)
    features = feature_set(every_spec(), walk_bars(1), n_symbols=symbols)
    assert differences(features.batch(bars), streamed(features, bars), features.names) == []


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_histories_of_few_bars_give_rows_without_a_crash(rows):
    features = feature_set(every_spec(), WALK)
    matrix = features.batch(WALK[:rows])
    assert matrix.shape == (rows, len(features.names))
    assert matrix.dtype == np.float64
    assert differences(matrix, streamed(features, WALK[:rows]), features.names) == []


@pytest.mark.parametrize("rows", [0, 5])
def test_a_set_without_features_has_rows_without_columns(rows):
    features = feature_set({}, WALK)
    assert features.batch(WALK[:rows]).shape == (rows, 0)
    assert features.stream().update(WALK[0]).shape == (0,)


def test_columns_stand_in_config_order_whatever_computes_them():
    specs = {
        "z": {"type": "day_of_week"},
        "a": {"type": "SMA", "timeperiod": 2},
        "m": {"type": "returns"},
        "b": {"type": "rsi"},
    }
    features = feature_set(specs, WALK)
    assert features.names == ("z", "a", "m", "b")
    matrix = features.batch(WALK)
    for column, (name, spec) in enumerate(specs.items()):
        alone = feature_set({name: spec}, WALK).batch(WALK)
        assert same(matrix[:, column], alone[:, 0]).all()


@pytest.mark.long
def test_batch_leaves_the_bars_as_they_were_and_takes_a_read_only_view():
    bars = PAIR.copy()
    bars.flags.writeable = False
    features = feature_set(every_spec(), PAIR)
    first, second = features.batch(bars), features.batch(bars[:])
    assert bars.tobytes() == PAIR.tobytes()
    assert same(first, second).all()


def test_update_takes_a_record_and_an_array_of_one():
    features = feature_set({"a": {"type": "sma", "period": 2}, "b": {"type": "returns"}}, WALK)
    one, other = features.stream(), features.stream()
    for index in range(5):
        left, right = one.update(WALK[index]), other.update(WALK[index : index + 1])
        assert left.shape == right.shape == (2,)
        assert same(left, right).all()


def test_rows_of_a_stream_are_not_overwritten_by_the_next():
    features = feature_set({"a": {"type": "RSI", "timeperiod": 3}, "b": {"type": "gap"}}, WALK)
    stream = features.stream()
    kept = [stream.update(bar) for bar in WALK[:50]]
    assert same(np.array(kept), features.batch(WALK[:50])).all()


@pytest.mark.long
def test_symbols_may_be_updated_in_threads_of_their_own():
    bars = walk_bars(2_000, symbols=4, seed=6)
    features = feature_set(every_spec(), bars)
    stream = features.stream()

    def follow(symbol: int) -> np.ndarray:
        return np.array([stream.update(bar) for bar in bars[bars["symbol"] == symbol]])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(follow, range(4)))
    matrix = features.batch(bars)
    for symbol, rows in enumerate(found):
        assert differences(matrix[bars["symbol"] == symbol], rows, features.names) == []


@pytest.mark.parametrize("symbol", [-1, 1, 7])
def test_a_symbol_outside_the_config_is_refused_not_mixed_in(symbol):
    features = feature_set({"a": {"type": "returns"}}, WALK, n_symbols=1)
    bars = WALK[:3].copy()
    bars["symbol"][1] = symbol
    with pytest.raises(AssertionError, match="symbol"):
        features.batch(bars)
    with pytest.raises(AssertionError, match="symbol"):
        features.stream().update(bars[1])


@pytest.mark.long
def test_every_type_is_equal_on_real_bars_with_quotes_missing_for_days(real_data):
    bars = real_bars(real_data / "COINBASE_BTCUSD_1m.csv", 3_000)
    assert np.isnan(bars["bid"]).any()
    features = feature_set(every_spec(), bars, period_ns=MINUTE)
    matrix = features.batch(bars)
    assert differences(matrix, streamed(features, bars), features.names) == []
    warm = feature_set({"rsi": {"type": "rsi"}}, bars).batch(bars)
    assert np.isnan(warm[:14]).all()
    assert np.isfinite(warm[14:]).all()


@pytest.mark.long
def test_every_type_is_equal_on_24_real_symbols_with_trading_hours(real_data):
    bars = real_bars(real_data / "US24_1m_2019-02-11_15_panel.csv")
    sessions = session_table("XNYS", int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    used = bars[bars["ts_ns"] <= bars["ts_ns"][0] + 2 * 86_400 * 10**9][::3]  # into the third day
    features = feature_set(every_spec(), bars, sessions=sessions, period_ns=MINUTE)
    matrix = features.batch(used)
    stream = features.stream()
    stream.warm_up(used[:-500])
    rows = np.array([stream.update(bar) for bar in used[-500:]])
    assert differences(matrix[-500:], rows, features.names) == []
    gap = feature_set({"gap": {"type": "gap"}}, bars, sessions=sessions, period_ns=MINUTE)
    assert np.isnan(gap.batch(used)[:100]).all()
    assert np.isfinite(gap.batch(used)[-500:]).all()
