"""Files, environment and --set in their order, and where each value is said to come from."""

import pytest

from tests.config_demo import DEMO, demo, load, write
from trader.config.load import load_config
from trader.errors import ConfigError, UsageError


def test_later_files_then_environment_then_set_win(tmp_path):
    first = write(tmp_path, DEMO)
    second = write(tmp_path, "seed: 1\nrisk: {max_daily_loss: 1, max_order_size: 1}\n", "b.yaml")
    environ = {"TRADER__RISK__MAX_ORDER_SIZE": "2", "TRADER__RISK__MAX_POSITION_SIZE": "2"}
    loaded = load_config([first, second], ["risk.max_position_size=3"], environ)
    risk = loaded.config.risk
    assert (loaded.config.seed, risk.max_daily_loss) == (1, 1.0)
    assert (risk.max_order_size, risk.max_position_size) == (2.0, 3.0)
    assert risk.max_position_concentration == 0.5
    assert loaded.origins["seed"] == f"{second}:1:7"
    assert loaded.origins["risk.max_daily_loss"] == f"{second}:2:24"
    assert loaded.origins["risk.max_order_size"] == "env TRADER__RISK__MAX_ORDER_SIZE"
    assert loaded.origins["risk.max_position_size"] == "--set"
    assert loaded.origins["risk.max_position_concentration"] == f"{first}:23:31"
    assert loaded.origins["risk.price_collar"] == "default"


def test_lists_are_replaced_whole(tmp_path):
    loaded = load(write(tmp_path, DEMO), "instruments=[NO, {symbol: B, lot_size: 5}]")
    assert loaded.config.symbols == ("NO", "B")
    assert loaded.config.instruments[0].tick_size == 0.0
    assert loaded.origins["instruments.0.symbol"] == "--set"
    assert loaded.origins["instruments.0.lot_size"] == "default"


def test_features_merge_by_name(tmp_path):
    loaded = load(write(tmp_path, DEMO), "features.sma_fast.period=7", "features.x={type: rsi}")
    features = loaded.config.features
    assert list(features) == ["sma_fast", "sma_slow", "x"]
    assert features["sma_fast"].params == {"period": 7}


@pytest.mark.parametrize(
    ("override", "missing"),
    [
        ("broker.commission={type: per_share}", "broker.commission.value"),
        ("broker.slippage={type: half_spread}", "broker.slippage.value"),
    ],
)
def test_a_new_type_does_not_inherit_keys_that_meant_something_else(tmp_path, override, missing):
    path = write(tmp_path, DEMO)
    message = f"^--set: {missing}: is required and missing: .*; what a lower layer wrote belongs to"
    with pytest.raises(ConfigError, match=message):
        load(path, override)


def test_one_key_set_keeps_its_siblings(tmp_path):
    path = write(tmp_path, demo(("value: 1.0}", "value: 1.5, minimum: 2}")))
    broker = load(path, "broker.commission.type=per_share", "broker.slippage.value=3").config.broker
    commission = broker.commission
    assert (commission.type, commission.value, commission.minimum) == ("per_share", 1.5, 2.0)
    broker = load(path, "broker.slippage.value=3", TRADER__BROKER__SLIPPAGE__TYPE="half_spread")
    slippage = broker.config.broker.slippage
    assert (slippage.type, slippage.value) == ("half_spread", 3.0)
    assert broker.origins["broker.slippage.value"] == "--set"
    features = load(path, "features.sma_fast.type=ema").config.features
    assert (features["sma_fast"].type, features["sma_fast"].params) == ("ema", {"period": 10})


def test_a_model_of_another_type_keeps_nothing_and_says_so(tmp_path):
    path = write(tmp_path, demo(("  type: rule\n", "  type: rule\n  path: x.csv\n")))
    with pytest.raises(ConfigError) as caught:
        load(path, "model.type=signals")
    assert str(caught.value).startswith("--set: model.path: is required and missing")
    assert str(caught.value).endswith("belongs to another type than signals: set it here too")


def test_a_feature_of_another_type_starts_afresh(tmp_path):
    features = load(write(tmp_path, DEMO), "features.sma_fast={type: rsi}").config.features
    assert features["sma_fast"].params == {}


def test_a_feed_of_another_type_keeps_its_time_stamps(tmp_path):
    path = write(tmp_path, demo(("timestamp: open", "timestamp: close")))
    feed = load(path, "feed.type=stdin", "feed.path=none").config.feed
    assert (feed.type, feed.timestamp, feed.timezone) == ("stdin", "close", "UTC")


def test_the_same_type_again_merges(tmp_path):
    config = load(write(tmp_path, DEMO), "model={type: rule, buy: close > open}").config
    assert (config.model.buy, config.model.sell) == ("close > open", "sma_fast <= sma_slow")


def test_environment_names_ignore_case_and_reach_any_depth(tmp_path):
    path = write(tmp_path, demo(("sma_fast:", "SMA_Fast:"), ("buy: sma_fast", "buy: SMA_Fast")))
    loaded = load(
        path,
        TRADER__FEATURES__SMA_FAST__PERIOD="12",
        trader__broker__Commission__value="0.25",
        TRADER__INSTRUMENTS="[A, B]",
        TRADER__FEED__PATH="{symbol}.csv",
        TRADER_HOME="/somewhere",
        TRADER_DEBUG="1",
    )
    assert loaded.config.features["SMA_Fast"].params == {"period": 12}
    assert loaded.config.broker.commission.value == 0.25
    assert loaded.config.symbols == ("A", "B")
    assert loaded.config.feed.path == "{symbol}.csv"
    assert loaded.origins["broker.commission.value"] == "env trader__broker__Commission__value"


def test_a_section_from_the_environment_is_refined_by_its_keys(tmp_path):
    config = load(
        write(tmp_path, DEMO),
        TRADER__BROKER__COMMISSION__VALUE="2",
        TRADER__BROKER__COMMISSION="{type: per_order, value: 1, minimum: 3}",
    ).config
    commission = config.broker.commission
    assert (commission.type, commission.value, commission.minimum) == ("per_order", 2.0, 3.0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRADER__RISK__MAX_DAILY_LOS", "1", "risk.max_daily_los: unknown key in risk; got '1'"),
        ("TRADER__RSIK__MAX_DAILY_LOSS", "1", "rsik: unknown key in the config; got a mapping"),
        ("TRADER__NAME__X", "1", "name: must be text; got a mapping"),
        ("TRADER__INSTRUMENTS__0__TICK_SIZE", "1", "instruments: must be a list"),
        ("TRADER__RISK__MAX_DAILY_LOSS", "", "risk.max_daily_loss: must be a plain decimal"),
        ("TRADER__RISK__", "1", "a config variable is TRADER__SECTION__KEY"),
        ("TRADER__", "1", "a config variable is TRADER__SECTION__KEY"),
        ("TRADER__BROKER", "{cash: 1, cash: 2}", "broker.cash: duplicate key"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path, name, value, message):
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, DEMO), **{name: value})
    assert str(caught.value).startswith(f"env {name}: {message}")


@pytest.mark.parametrize("option", ["seed", "=3", ".seed=3", "risk.=3", ""])
def test_a_set_without_key_and_value_is_a_usage_error(tmp_path, option):
    with pytest.raises(UsageError, match=r"--set section\.key=value"):
        load(write(tmp_path, DEMO), option)


def test_set_takes_text_as_it_stands(tmp_path):
    loaded = load(
        write(tmp_path, DEMO), "model.buy = a == 1 # b: c", "feed.path={symbol}.csv", 'name="x.y"'
    )
    assert loaded.config.model.buy == "a == 1 # b: c"
    assert loaded.config.feed.path == "{symbol}.csv"
    assert loaded.config.name == "x.y"


def test_the_last_set_of_a_key_wins(tmp_path):
    assert load(write(tmp_path, DEMO), "seed=1", "seed=2").config.seed == 2


def test_an_unknown_set_key_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"^--set: risk\.colour: unknown key in risk; got 'red'"):
        load(write(tmp_path, DEMO), "risk.colour=red")


def test_a_missing_key_of_an_overlay_is_placed_in_the_first_file(tmp_path):
    first = write(tmp_path, demo(("  max_order_size: 500\n", "")))
    second = write(tmp_path, "risk: {min_order_size: 2}\n", "b.yaml")
    with pytest.raises(ConfigError, match=f"^{first}:18:1: risk.max_order_size: is required"):
        load_config([first, second], environ={})
