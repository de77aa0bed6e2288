"""Labels of every kind: what the core would have done, what is known when, what a row weighs."""

import numpy as np
import pytest

from tests.model_kit import make_bars, make_config, make_features
from trader.core.book import Inputs
from trader.core.schema import Leg, TradingAction
from trader.engine.ruleset import build_rules
from trader.errors import ConfigError
from trader.feeds.sessions import session_table
from trader.jobs.sweep.lean import LeanRunner
from trader.models.barriers import NO_TRADE, STOP, TARGET, TIME, TRADE, barriers_of, end_trades
from trader.models.label_kinds import META, NOWHERE, labels_of
from trader.models.labels import UNLABELLED
from trader.models.sample_weights import uniqueness

HOLD, BUY, SELL = TradingAction.HOLD, TradingAction.BUY, TradingAction.SELL
MOST = 12
NAMES = ("a", "b")
RULE = {"type": "rule", "buy": "a > 0", "sell": "a <= 0"}


def wide_bars(rows, seed=3, symbols=1):
    """Bars on a tick of 0.01 whose ranges are about as wide as the barriers are far."""
    rng = np.random.default_rng(seed)
    bars = make_bars(rows, symbols)
    close = np.round(100 + rng.normal(0, 0.4, rows).cumsum(), 2)
    opens = np.round(np.concatenate([[100.0], close[:-1]]) + rng.normal(0, 0.1, rows), 2)
    up, down = (np.round(rng.exponential(0.3, rows), 2) for _ in range(2))
    bars["open"], bars["close"] = opens, close
    bars["high"] = np.round(np.maximum(opens, close) + up, 2)
    bars["low"] = np.round(np.minimum(opens, close) - down, 2)
    return bars


def labelled_config(label, model=None, **sections):
    train = {"estimator": "LogisticRegression", "label": label}
    model = model or {"type": "sklearn", "path": "m.skops"}
    instruments = [{"symbol": "ACME", "tick_size": 0.01}]
    return make_config(model, train=train, instruments=instruments, **sections)


EXITS = {
    "percent": {"stop_loss": {"value": 1.0}, "take_profit": {"value": 1.5}},
    "atr": {
        "stop_loss": {"type": "atr", "value": 1.5, "period": 5},
        "take_profit": {"type": "atr", "value": 2, "period": 7},
    },
    "price": {
        "stop_loss": {"type": "price", "value": 0.8},
        "take_profit": {"type": "price", "value": 1.1},
    },
    "stop alone": {"stop_loss": {"value": 0.7}},
    "target alone": {"take_profit": {"value": 0.7}},
}


@pytest.mark.parametrize(
    "broker", [{}, {"limit_fill": "touch"}, {"intrabar": "ohlc"}, {"fill": "same_close"}], ids=str
)
@pytest.mark.parametrize("exits", EXITS.values(), ids=EXITS)
def test_a_trade_ends_where_and_as_the_core_ends_it(exits, broker):
    bars = wide_bars(90)
    config = labelled_config(
        {"type": "triple_barrier"},
        exits={**exits, "max_holding_bars": MOST},
        broker={"cash": 1e6, **broker},
        position_sizing={"mode": "target", "base_size": 1, "allow_short": True},
    )
    sessions = session_table("24x7", int(bars["ts_ns"][0]), int(bars["ts_ns"][-1]))
    rules, runner = build_rules(config, sessions), LeanRunner()
    terms = barriers_of(config, (config.exits.stop_loss, config.exits.take_profit))
    terms["most"], terms["tick_size"] = MOST, 0.01
    outcomes = {Leg.STOP_LOSS: STOP, Leg.TAKE_PROFIT: TARGET}
    met = set()
    for side, action in ((1, BUY), (-1, SELL)):
        trades = np.zeros(len(bars), TRADE)
        end_trades(bars, np.full(len(bars), side, np.int64), terms, trades)
        for row in range(0, len(bars), 3):
            actions = np.zeros(len(bars), np.int8)
            actions[row] = action
            fills = runner.run(rules, Inputs(bars, actions, np.zeros(len(bars), np.int16))).fills
            trade = trades[row]
            if trade["outcome"] == NO_TRADE:
                assert row >= len(bars) - MOST - 1 or (len(fills) == 0 and row < 8)
                continue
            entry, ended = fills
            assert trade["entry"] == entry["price"]
            assert trade["outcome"] == outcomes.get(Leg(int(ended["leg"])), TIME)
            assert trade["exit"] == ended["price"]
            assert bars["ts_ns"][trade["end"] - 1] <= ended["ts_ns"] <= bars["ts_ns"][trade["end"]]
            met.add(int(trade["outcome"]))
    assert TIME in met or STOP in met
    assert len(met) >= 2


def test_a_label_is_buy_where_a_long_reaches_its_target_and_sell_where_a_short_does():
    bars = make_bars(8, close=np.array([100, 100, 101.5, 100, 98.0, 98.0, 98.0, 98.0]))
    config = labelled_config(
        {"type": "triple_barrier", "horizon_bars": 2},
        exits={"stop_loss": {"value": 1}, "take_profit": {"value": 1}},
    )
    found = labels_of(config, bars, np.ones(8, bool), np.zeros((8, 1)), ("a",))
    # entries at the next open: 100 → 101.5; 101.5 → 98.5; 100 → 98; 98 stays
    expected = [BUY, SELL, SELL, HOLD, HOLD, UNLABELLED, UNLABELLED, UNLABELLED]
    assert found.classes.tolist() == expected
    assert found.ends.tolist()[:3] == [2, 3, 4]
    assert found.latest.tolist()[:5] == [3, 4, 5, 6, 7]
    assert found.returns[0] == pytest.approx(0.015)


@pytest.mark.parametrize("kind", ["horizon", "triple_barrier", "meta", "meta with barriers"])
def test_no_label_changes_when_bars_after_it_are_left_out(kind):
    bars, matrix = wide_bars(300, symbols=2), make_features(300)
    barriers = {"stop_loss": {"value": 1}, "take_profit": {"value": 1}}
    label = {"type": kind.split()[0], "horizon_bars": 9}
    label |= {} if kind in ("horizon", "meta") else barriers
    instruments = [{"symbol": name, "tick_size": 0.01} for name in ("ACME", "OTHER")]
    model = RULE if kind.startswith("meta") else {"type": "sklearn", "path": "m.skops"}
    train = {"estimator": "LogisticRegression", "label": label}
    config = make_config(model, train=train, instruments=instruments)
    whole = labels_of(config, bars, np.ones(300, bool), matrix, NAMES)
    assert (whole.latest >= whole.ends).all()
    for cut in (50, 121, 200):
        part = labels_of(config, bars[:cut], np.ones(cut, bool), matrix[:cut], NAMES)
        known = (whole.latest[:cut] < cut) & (whole.latest[:cut] != NOWHERE)
        assert np.array_equal(part.classes != UNLABELLED, known)
        assert np.array_equal(part.classes[known], whole.classes[:cut][known])
        assert np.array_equal(part.ends[known], whole.ends[:cut][known])
        assert np.array_equal(part.returns[known], whole.returns[:cut][known])


def test_a_meta_label_says_whether_the_rule_was_right():
    close = np.array([100, 101, 100, 100.5, 100.0, 99.0])
    bars, matrix = make_bars(6, close=close), np.array([[1.0], [1], [-1], [np.nan], [-1], [1]])
    config = labelled_config({"type": "meta", "threshold_bps": 10}, RULE)
    found = labels_of(config, bars, np.ones(6, bool), matrix, ("a",))
    assert found.names == META
    assert found.classes.tolist() == [1, 0, 0, UNLABELLED, 1, UNLABELLED]
    assert found.returns[[0, 4]].tolist() == [(101 - 100) / 100, (100 - 99) / 100]


@pytest.mark.parametrize(
    ("label", "sections", "key"),
    [
        ({"type": "triple_barrier"}, {}, "train.label.type"),
        ({"type": "triple_barrier", "take_profit": {"value": 1}}, {}, "train.label.horizon_bars"),
        ({"type": "meta"}, {}, "train.label.type"),
    ],
)
def test_a_label_that_lacks_something_names_its_key(label, sections, key):
    config = labelled_config(label, **sections)
    with pytest.raises(ConfigError) as caught:
        labels_of(config, wide_bars(50), np.ones(50, bool), make_features(50), NAMES)
    assert caught.value.key == key


def test_weights_by_uniqueness_equal_a_naive_count():
    bars, matrix = wide_bars(120, symbols=2), make_features(120)
    instruments = [{"symbol": name, "tick_size": 0.01} for name in ("ACME", "OTHER")]
    train = {
        "estimator": "LogisticRegression",
        "label": {"type": "triple_barrier", "horizon_bars": 7, "take_profit": {"value": 1}},
    }
    config = make_config(
        {"type": "sklearn", "path": "m.skops"}, train=train, instruments=instruments
    )
    found = labels_of(config, bars, np.ones(120, bool), matrix, NAMES)
    rows = np.flatnonzero(found.classes != UNLABELLED)[::2]
    symbols = bars["symbol"]

    def looked_at(row):
        return [bar for bar in range(row + 1, found.ends[row] + 1) if symbols[bar] == symbols[row]]

    counts = np.zeros(120)
    for row in rows:
        counts[looked_at(row)] += 1
    naive = np.array([np.mean(1 / counts[looked_at(row)]) for row in rows])
    weights = uniqueness(symbols, rows, found.ends[rows])
    assert weights == pytest.approx(naive / naive.mean(), rel=1e-12)


def test_a_move_of_exactly_the_threshold_is_hold_at_every_price():
    rng = np.random.default_rng(11)
    for tick, digits in ((0.01, 2), (0.00000001, 8), (0.25, 2), (5.0, 0)):
        whole = rng.integers(200, 10_000, 2_000) * 200
        close = np.round(whole * tick, digits)
        later = np.round((whole + whole // 200) * tick, digits)  # exactly 50 bps above
        for first, second in ((close, later),):
            bars = make_bars(2 * len(whole))
            bars["close"][0::2], bars["close"][1::2] = first, second
            config = labelled_config({"threshold_bps": 50})
            found = labels_of(config, bars, np.ones(len(bars), bool), np.zeros((len(bars), 1)), "a")
            assert set(found.classes[0::2].tolist()) == {HOLD}
            bars["close"][1::2] = np.round((whole + whole // 200 + 1) * tick, digits)
            found = labels_of(config, bars, np.ones(len(bars), bool), np.zeros((len(bars), 1)), "a")
            assert set(found.classes[0::2].tolist()) == {BUY}
