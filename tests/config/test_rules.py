"""Rules over more than one key."""

import pytest

from tests.config_demo import DEMO, demo, load, write
from trader.config.schema import Config
from trader.errors import ConfigError

LIVE = ["feed.type=ccxt", "feed.path=none", "feed.exchange=binance"]
BROKEN = [  # overrides, key, message
    (
        [*LIVE, "bar_period_seconds=month"],
        "bar_period_seconds",
        "is longer than a day, which no market streams: set feed.period_seconds",
    ),
    (
        [*LIVE, "bar_period_seconds=day", "risk.market_hours=XNYS"],
        "bar_period_seconds",
        "a market ends at midnight UTC and XNYS does not",
    ),
    (["instruments=[A, B, A]"], "instruments.2.symbol", "A is listed twice; got 'A'"),
    (["feed.path=none"], "feed.path", "is required for type csv"),
    (["feed.type=stdin"], "feed.path", "has no meaning for type stdin"),
    (["feed.start=2020-01-02", "feed.end=2020-01-02"], "feed.end", "later than feed.start"),
    (
        ["bar_period_seconds=172800", "risk.market_hours=XNYS"],
        "bar_period_seconds",
        "bars above a day are a week or a month; write day, week or month",
    ),
    (
        ["bar_period_seconds=day", "risk.open_guard_seconds=60"],
        "risk.open_guard_seconds",
        "has no meaning with bars of a day or more",
    ),
    (["features.9a={type: sma}"], "features.9a", "not beginning with a digit"),
    (["features.close={type: sma}"], "features.close", "is a field of the bar"),
    (["features.and={type: sma}"], "features.and", "is a word of the rule language"),
    (["model={type: sklearn, path: m.skops}"], "model.sha256", "is required"),
    (
        ["train={estimator: a.B, start: 2020-01-02, end: 2020-01-01}"],
        "train.end",
        "later than train.start",
    ),
    (["position_sizing.base_size=none"], "position_sizing.base_size", "required for mode target"),
    (
        ["position_sizing={mode: increment, base_size: none}"],
        "position_sizing.base_size",
        "required for mode increment",
    ),
    (["position_sizing.mode=percent_equity"], "position_sizing.percent", "for mode percent_equity"),
    (
        ["position_sizing.mode=volatility_target"],
        "position_sizing.target_volatility",
        "required for mode volatility_target",
    ),
    (
        ["position_sizing.mode=percent_equity", "position_sizing.percent=50"],
        "position_sizing.percent",
        "is a fraction of equity (0.5 is half); above 1 needs risk.allow_margin: true; got '50'",
    ),
    (["risk.restricted=[ACME, ACMI]"], "risk.restricted.1", "ACMI is not one of the instruments"),
    (["risk.min_order_size=600"], "risk.min_order_size", "every order would be denied; got '600'"),
    (["broker.slippage.value=10000"], "broker.slippage.value", "must be less than 10000"),
    (
        ["broker.slippage={type: volume_share, value: 1}"],
        "broker.slippage.value",
        "must stay below 1, or a sale would fetch nothing",
    ),
    (
        ["broker.slippage={type: volume_share, value: 4}", "broker.max_fill_participation=0.5"],
        "broker.slippage.value",
        "must stay below 1",
    ),
    (["watchdog.soft_s=10"], "watchdog.hard_s", "must be longer than watchdog.soft_s"),
]


@pytest.mark.parametrize(("overrides", "key", "message"), BROKEN, ids=[row[1] for row in BROKEN])
def test_a_contradiction_names_the_key_to_change(tmp_path, overrides, key, message):
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, DEMO), *overrides)
    assert "\n" not in str(caught.value)
    assert f": {key}: " in str(caught.value)
    assert message in str(caught.value)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "overrides",
    [
        ["bar_period_seconds=86400"],
        ["bar_period_seconds=86400", "risk.market_hours=24/7"],
        ["bar_period_seconds=86400", "risk.market_hours=XNYS"],
        ["bar_period_seconds=week", "risk.market_hours=XNYS"],
        ["bar_period_seconds=month", "risk.market_hours=fx"],
        ["bar_period_seconds=172800"],
        ["bar_period_seconds=3600", "risk.market_hours=XNYS"],
        ["model={type: sklearn, path: m.skops}", "train={estimator: a.B}"],
        ["feed.start=2020-01-01T00:00Z", "feed.end=2020-01-01T00:00:01Z"],
        ["feed.start=2020-01-01T23:00-05:00", "feed.end=2020-01-02T05:00"],
        ["risk.min_order_size=500"],
        ["risk.max_order_size=none", "risk.min_order_size=1e9"],
        ["risk.restricted=[ACME]"],
        ["position_sizing={mode: percent_equity, percent: 1}"],
        ["position_sizing={mode: percent_equity, percent: 2}", "risk.allow_margin=true"],
        ["position_sizing={mode: volatility_target, target_volatility: 0.1}"],
        ["features={}", "model.buy=close > open", "model.sell=close < open"],
        ["feed={type: stdin, path: none}"],
    ],
)
def test_what_agrees_is_accepted(tmp_path, overrides):
    load(write(tmp_path, DEMO), *overrides)


def test_always_open_has_one_spelling(tmp_path):
    path = write(tmp_path, demo(("24x7", "24/7")))
    assert load(path).config.risk.market_hours == "24x7"


def test_a_config_built_in_python_meets_the_same_rules(tmp_path):
    values = load(write(tmp_path, DEMO)).config.model_dump()
    values["instruments"] = ["A", "A"]
    with pytest.raises(ValueError, match=r"instruments\.1\.symbol: A is listed twice"):
        Config.model_validate(values)


def test_values_built_in_python_are_not_taken_across_types(tmp_path):
    values = load(write(tmp_path, DEMO)).config.model_dump()
    for section, key, wrong in (
        ("broker", "cash", True),
        ("broker", "cash", float("inf")),
        ("broker", "cash", 10**400),
        ("broker", "cash", [1]),
        ("throttle", "volume_window", 2.5),
        ("risk", "allow_margin", 1),
        ("feed", "path", 5),
        ("feed", "start", 5),
    ):
        with pytest.raises(ValueError, match=key):
            Config.model_validate({**values, section: {**values[section], key: wrong}})


def test_the_training_span_is_in_the_feeds_zone(tmp_path):
    path = write(tmp_path, demo(("timezone: UTC", "timezone: America/New_York")))
    config = load(path, "train={estimator: a.B, start: 2019-02-11}").config
    assert config.train_span_ns == (1549861200 * 10**9, None)
    assert load(path).config.train_span_ns == (None, None)


def test_slippage_that_leaves_a_sale_a_price_is_taken(tmp_path):
    path = write(tmp_path, DEMO)
    assert load(path, "broker.slippage.value=9999.9").config.broker.slippage.value == 9999.9
    shared = (
        "broker.slippage={type: volume_share, value: 3.9}",
        "broker.max_fill_participation=0.5",
    )
    assert load(path, *shared).config.broker.slippage.value == 3.9
    spread = load(path, "broker.slippage={type: half_spread, value: 20000}").config.broker
    assert spread.slippage.value == 20000.0
