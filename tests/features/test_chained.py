"""`input: other_feature`: a feature of a feature, alike in a history and a stream."""

import numpy as np
import pytest

from tests.features_kit import feature_set, same, streamed, values, walk_bars
from trader.errors import ConfigError

BARS = walk_bars(700, symbols=2, seed=9)
SPECS = {
    "smooth": {"type": "sma", "period": 3, "input": "jump"},  # named before its input
    "jump": {"type": "returns", "period": 2, "input": "spread"},
    "spread": {"type": "spread_bps"},  # undefined here and there, not only at the start
    "hourly_rsi": {"type": "rsi", "period": 3, "bars": 3600},
    "calm": {"type": "zscore", "window": 10, "input": "hourly_rsi"},
    "hourly_mean": {"type": "sma", "period": 2, "bars": 3600, "input": "hourly_rsi"},
}


def test_history_and_stream_give_the_same_bits():
    features = feature_set(SPECS, BARS)
    whole = features.batch(BARS)
    assert same(whole, streamed(features, BARS)).all()
    stream = features.stream()
    stream.warm_up(BARS[:301])
    assert same(whole[301:], np.array([stream.update(bar) for bar in BARS[301:]])).all()
    for count in (1, 5, 333):
        assert same(features.batch(BARS[:count]), whole[:count]).all()
    assert np.isfinite(whole).any(axis=0).all()


def test_it_is_the_function_of_the_values_that_its_input_has():
    bars = BARS[BARS["symbol"] == 0]
    features = feature_set(SPECS, bars)
    matrix = dict(zip(features.names, features.batch(bars).T, strict=True))
    assert np.isnan(matrix["spread"]).any()
    for name, source in (("jump", "spread"), ("smooth", "jump"), ("calm", "hourly_rsi")):
        defined = ~np.isnan(matrix[source])
        alone = bars[defined]
        alone["close"] = matrix[source][defined]
        spec = {key: value for key, value in SPECS[name].items() if key != "input"}
        assert same(matrix[name][defined], values(spec, alone)).all()
        assert np.isnan(matrix[name][~defined]).all()


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        (
            {"spread": {"type": "sma", "input": "smooth"}},
            "input",
            "smooth → jump → spread → smooth",
        ),
        ({"jump": {"type": "sma", "input": "jump"}}, ".input", "circle: jump → jump"),
        ({"jump": {"type": "sma", "input": "spraed"}}, "jump.input", "did you mean spread"),
        ({"jump": {"type": "sma", "input": "clsoe"}}, "jump.input", "did you mean close"),
        ({"jump": {"type": "sma", "perod": 3, "input": "spread"}}, "jump.perod", "period"),
        ({"calm": {"type": "gap", "input": "spread"}}, "calm.input", "gap takes no parameters"),
        (
            {"calm": {"type": "sma", "bars": 3600, "input": "spread"}},
            "calm.input",
            "'spread' is no field",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes, key, said):
    with pytest.raises(ConfigError) as told:
        feature_set({**SPECS, **changes}, BARS)
    assert key in (told.value.key or "")
    assert said in str(told.value)
