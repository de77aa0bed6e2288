"""What a config may say of a feature, what it may not, and the key every message names."""

import math

import numpy as np
import pytest
import talib

from tests.features_kit import feature_set, same, values, walk_bars
from tests.model_kit import make_config
from trader.errors import ConfigError
from trader.features.feature_types import feature_types
from trader.features.friendly_names import FRIENDLY
from trader.features.talib_call import function_info

WALK = walk_bars(300, flat=False)
CLOSE, HIGH, LOW, VOLUME = (
    np.ascontiguousarray(WALK[n]) for n in ("close", "high", "low", "volume")
)


def refused(spec: dict[str, object], name: str = "x") -> ConfigError:
    """The error that a feature of this name and spec causes."""
    with pytest.raises(ConfigError) as caught:
        feature_set({name: spec}, WALK)
    return caught.value


def test_specs_may_be_the_configs_own_objects():
    config = make_config(
        {"type": "rule", "buy": "fast > slow", "sell": "fast < slow"},
        features={"fast": {"type": "sma", "period": 3}, "slow": {"type": "SMA", "timeperiod": 9}},
    )
    matrix = feature_set(config.features, WALK).batch(WALK)
    assert same(matrix[:, 0], talib.SMA(CLOSE, 3)).all()
    assert same(matrix[:, 1], talib.SMA(CLOSE, 9)).all()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "RSI"}, lambda: talib.RSI(CLOSE)),
        ({"type": "RSI", "timeperiod": 5}, lambda: talib.RSI(CLOSE, 5)),
        ({"type": "RSI", "timeperiod": 5, "input": "high"}, lambda: talib.RSI(HIGH, 5)),
        ({"type": "SMA", "input": "volume"}, lambda: talib.SMA(VOLUME)),
        ({"type": "ATR", "timeperiod": 5}, lambda: talib.ATR(HIGH, LOW, CLOSE, 5)),
        (
            {"type": "ATR", "inputs": ["close", "close", "close"]},
            lambda: talib.ATR(CLOSE, CLOSE, CLOSE),
        ),
        (
            {"type": "CORREL", "inputs": ["close", "volume"], "timeperiod": 9},
            lambda: talib.CORREL(CLOSE, VOLUME, 9),
        ),
        ({"type": "CORREL", "inputs": ("high", "low")}, lambda: talib.CORREL(HIGH, LOW)),
        ({"type": "OBV"}, lambda: talib.OBV(CLOSE, VOLUME)),
        ({"type": "MACD"}, lambda: talib.MACD(CLOSE)[0]),
        ({"type": "MACD", "output": "macdhist"}, lambda: talib.MACD(CLOSE)[2]),
        ({"type": "BBANDS", "nbdevup": 3}, lambda: talib.BBANDS(CLOSE, nbdevup=3.0)[0]),
        ({"type": "MA", "matype": "ema"}, lambda: talib.MA(CLOSE, matype=1)),
        ({"type": "MA", "matype": 2}, lambda: talib.MA(CLOSE, matype=2)),
        ({"type": "sma", "period": 7, "input": "low"}, lambda: talib.SMA(LOW, 7)),
        ({"type": "ema", "period": 7}, lambda: talib.EMA(CLOSE, 7)),
        ({"type": "rsi"}, lambda: talib.RSI(CLOSE, 14)),
        ({"type": "atr", "period": 7}, lambda: talib.ATR(HIGH, LOW, CLOSE, 7)),
        (
            {"type": "macd", "fast": 5, "slow": 9, "signal": 3},
            lambda: talib.MACD(CLOSE, 5, 9, 3)[0],
        ),
        ({"type": "macd", "output": "signal"}, lambda: talib.MACD(CLOSE)[1]),
        (
            {"type": "bollinger", "period": 9, "deviations": 1.5, "output": "lower"},
            lambda: talib.BBANDS(CLOSE, 9, 1.5, 1.5)[2],
        ),
        (
            {"type": "stochastic", "k": 9, "k_smooth": 4, "d": 2, "output": "d"},
            lambda: talib.STOCH(HIGH, LOW, CLOSE, 9, 4, 0, 2, 0)[1],
        ),
        ({"type": "adx"}, lambda: talib.ADX(HIGH, LOW, CLOSE)),
        ({"type": "momentum", "period": 3}, lambda: talib.MOM(CLOSE, 3)),
        ({"type": "roc", "period": 3}, lambda: talib.ROC(CLOSE, 3)),
        ({"type": "std", "period": 8}, lambda: talib.STDDEV(CLOSE, 8)),
    ],
)
def test_talib_functions_are_called_as_the_config_says(spec, expected):
    assert same(values(spec, WALK), expected()).all()


def test_friendly_names_lead_to_functions_that_have_these_parameters_and_outputs():
    for name, friendly in FRIENDLY.items():
        info = function_info(friendly.function)
        theirs = [param for params in friendly.params.values() for param in params]
        assert set(theirs) <= set(info.params), name
        assert set(friendly.outputs.values()) <= set(info.outputs), name
        assert bool(friendly.outputs) == (len(info.outputs) > 1), name
        assert name not in talib.get_functions()


def test_whole_number_functions_are_undefined_before_they_are_warm_and_float_after():
    found = values({"type": "CDLDOJI"}, WALK)
    assert np.isnan(found[:10]).all()
    assert found[10:].tolist() == talib.CDLDOJI(WALK["open"].copy(), HIGH, LOW, CLOSE)[10:].tolist()
    found = values({"type": "MAXINDEX", "timeperiod": 5}, WALK)
    assert np.isnan(found[:4]).all()
    assert np.isfinite(found[4:]).all()


def test_what_talib_cannot_compute_is_undefined_and_never_infinite():
    bars = WALK.copy()
    bars["volume"][50:60] = 0.0
    assert np.isnan(values({"type": "LN", "input": "volume"}, bars)[50:60]).all()
    assert np.isfinite(
        np.delete(values({"type": "LN", "input": "volume"}, bars), range(50, 60))
    ).all()
    quotient = values({"type": "DIV", "inputs": ["close", "volume"]}, bars)
    assert np.isnan(quotient[50:60]).all()
    assert np.isfinite(quotient[:50]).all()
    assert np.isnan(values({"type": "ACOS"}, bars)).all()  # of prices above 1


def test_mavp_takes_its_periods_from_a_column_that_must_be_named():
    bars = WALK.copy()
    bars["volume"] = 3.0
    found = values({"type": "MAVP", "inputs": ["close", "volume"]}, bars)
    assert found[29:] == pytest.approx(talib.SMA(CLOSE, 3)[29:])
    error = refused({"type": "MAVP"})
    assert error.key == "features.x.inputs"
    assert "periods" in str(error)


def test_features_that_differ_in_output_only_equal_those_computed_alone():
    specs = {f"m{i}": {"type": "MACD", "output": o} for i, o in enumerate(talib_outputs("MACD"))}
    specs["again"] = {"type": "MACD"}
    specs["other"] = {"type": "MACD", "fastperiod": 5}
    together = feature_set(specs, WALK).batch(WALK)
    for column, spec in enumerate(specs.values()):
        assert same(together[:, column], values(spec, WALK)).all()
    assert not same(together[:, 3], together[:, 4]).all()


def talib_outputs(name: str) -> tuple[str, ...]:
    return function_info(name).outputs


@pytest.mark.parametrize(
    ("spec", "key", "parts"),
    [
        ({}, "features.x", ["needs a type"]),
        ({"type": "smaa"}, "features.x.type", ["'smaa'", "did you mean sma?"]),
        ({"type": "cdldoji"}, "features.x.type", ["did you mean CDLDOJI?"]),
        ({"type": "zzzzz"}, "features.x.type", ["unknown feature type", "docs/feature-types.md"]),
        (
            {"type": "RSI", "timeperod": 5},
            "features.x.timeperod",
            [
                "unknown parameter of RSI",
                "did you mean timeperiod?",
                "timeperiod, input and output",
            ],
        ),
        ({"type": "sma", "timeperiod": 5}, "features.x.timeperiod", ["did you mean period?"]),
        ({"type": "returns", "window": 5}, "features.x.window", ["takes period and input"]),
        ({"type": "gap", "period": 5}, "features.x.period", ["gap takes no parameters"]),
        (
            {"type": "RSI", "timeperiod": 1},
            "features.x.timeperiod",
            ["from 2 to 100000", "TA-Lib's RSI; got 1"],
        ),
        ({"type": "RSI", "timeperiod": 10**6}, "features.x.timeperiod", ["from 2 to 100000"]),
        ({"type": "rsi", "period": 0}, "features.x.period", ["RSI; got 0", "from 2 to 100000"]),
        ({"type": "RSI", "timeperiod": 2.5}, "features.x.timeperiod", ["whole number", "2.5"]),
        ({"type": "RSI", "timeperiod": 14.0}, "features.x.timeperiod", ["whole number", "14.0"]),
        ({"type": "RSI", "timeperiod": True}, "features.x.timeperiod", ["a number", "True"]),
        ({"type": "RSI", "timeperiod": "ten"}, "features.x.timeperiod", ["a number", "'ten'"]),
        ({"type": "RSI", "timeperiod": -(2**31)}, "features.x.timeperiod", ["below 2**31"]),
        ({"type": "RSI", "timeperiod": 2**31}, "features.x.timeperiod", ["below 2**31"]),
        ({"type": "RSI", "timeperiod": [5]}, "features.x.timeperiod", ["a number"]),
        ({"type": "BBANDS", "nbdevup": -4e37}, "features.x.nbdevup", ["within ±3e+37"]),
        ({"type": "BBANDS", "nbdevup": math.nan}, "features.x.nbdevup", ["within", "nan"]),
        ({"type": "T3", "vfactor": 1.5}, "features.x.vfactor", ["from 0 to 1 for", "got 1.5"]),
        ({"type": "MA", "matype": 99}, "features.x.matype", ["from 0 to 13 for", "got 99"]),
        ({"type": "MA", "matype": "EMAA"}, "features.x.matype", ["did you mean EMA?"]),
        ({"type": "RSI", "input": "clos"}, "features.x.input", ["'clos'", "did you mean close?"]),
        ({"type": "RSI", "input": "sma_fast"}, "features.x.input", ["open, high, low, close"]),
        ({"type": "RSI", "inputs": ["close"]}, "features.x.inputs", ["write input: close"]),
        ({"type": "ATR", "input": "close"}, "features.x.input", ["did you mean inputs?"]),
        (
            {"type": "ATR", "inputs": ["close"]},
            "features.x.inputs",
            ["3 columns (high, low, close)"],
        ),
        ({"type": "ATR", "inputs": "close"}, "features.x.inputs", ["in a list"]),
        ({"type": "ADD", "inputs": ["close", "hi"]}, "features.x.inputs", ["'hi'", "mean high?"]),
        ({"type": "MACD", "output": "hist"}, "features.x.output", ["macdhist", "'hist'"]),
        (
            {"type": "macd", "output": "macdhist"},
            "features.x.output",
            ["macd, signal or histogram"],
        ),
        ({"type": "RSI", "output": 0}, "features.x.output", ["real", "got 0"]),
        ({"type": "zscore", "window": 1}, "features.x.window", ["from 2 to 100000; got 1"]),
        ({"type": "returns", "period": 0}, "features.x.period", ["from 1 to 100000; got 0"]),
        ({"type": "returns", "period": 1.0}, "features.x.period", ["whole number", "1.0"]),
        ({"type": "returns", "period": True}, "features.x.period", ["got True"]),
        ({"type": "returns", "input": "vol"}, "features.x.input", ["did you mean volume?"]),
        ({"type": 5}, "features.x", ["needs a type"]),
    ],
)
def test_mistakes_name_their_key_the_value_and_the_remedy(spec, key, parts):
    error = refused(spec)
    assert error.key == key
    for part in parts:
        assert part in str(error), str(error)


def test_the_first_feature_at_fault_is_named():
    with pytest.raises(ConfigError) as caught:
        feature_set({"good": {"type": "sma"}, "bad": {"type": "sma", "period": 0}}, WALK)
    assert caught.value.key == "features.bad.period"


def key_at_fault(spec: dict[str, object]) -> str | None:
    try:
        feature_set({"x": spec}, WALK)
    except ConfigError as error:
        return error.key
    return None


@pytest.mark.parametrize("kind", [kind for kind in feature_types() if kind.params])
def test_no_value_of_a_parameter_escapes_as_another_error(kind):
    given = {"inputs": ["close", "volume"]} if "periods" in kind.inputs else {}
    for param in kind.params:
        for value in (-1, 0, 1, 3, 2.5, -0.5, 1e30, 10**12, "x", None, [1], {}, False):
            key = key_at_fault({"type": kind.name, param: value, **given})
            assert key in (None, f"features.x.{param}", "features.x")


def test_a_window_longer_than_the_history_is_never_warm():
    for kind, param in (("sma", "period"), ("zscore", "window"), ("returns", "period")):
        assert np.isnan(values({"type": kind, param: 100_000}, WALK)).all()
