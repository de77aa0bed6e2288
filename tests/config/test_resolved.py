"""A config written out: it loads back equal, and equal configs have equal hashes."""

import pickle
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.config_demo import DEMO, demo, load, write
from tests.tiers import cases
from trader.config.schema import Config

number = st.one_of(st.integers(0, 2**53), st.floats(0, 1e300, allow_nan=False))
positive = st.floats(min_value=1e-6, max_value=1e6)
or_none = {"limit": st.none() | number}
text = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cn"]), min_size=1
)
symbols = st.lists(text.filter(lambda word: len(word) <= 64), min_size=1, max_size=4, unique=True)
tricky = st.sampled_from(
    ["010", "1e5", "NO", "true", "none", "~", "", "null", ".nan", "16:00", "- a", "a: b", "#x",
     "'", '"', "\\", "a\nb", "\t", "{", "é", "\U0001f600", "inf", "+1", "0x1f", " a "]
)  # fmt: skip
param = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False) | tricky | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
name = st.from_regex(r"\Af_[A-Za-z0-9_]{0,8}\Z")
free = st.dictionaries(
    st.from_regex(r"\A[a-z]{1,8}\Z").filter(lambda key: key != "type"), param, max_size=3
)
feature = st.builds(lambda kind, params: {"type": kind, **params}, text, free)
moment = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)) | st.datetimes(
    datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)
)


@st.composite
def configs(draw):
    limits = {key: draw(or_none["limit"]) for key in LIMITS}
    model = draw(
        st.one_of(
            st.builds(lambda a, b: {"type": "rule", "buy": a, "sell": b}, text, text),
            st.builds(lambda a, p: {"type": "python", "target": "a.b:c", "params": p}, text, free),
            st.builds(lambda path: {"type": "signals", "path": path}, text),
        )
    )
    return Config.model_validate(
        {
            "name": draw(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")),
            "seed": draw(st.integers(0, 2**32 - 1)),
            "instruments": draw(symbols),
            "feed": {"type": "csv", "path": draw(text), "start": draw(st.none() | moment)},
            "bar_period_seconds": draw(positive),
            "features": draw(st.dictionaries(name, feature, max_size=3)),
            "model": model,
            "train": draw(st.none() | st.builds(lambda p: {"estimator": "a.B", "params": p}, free)),
            "position_sizing": {"base_size": draw(positive)},
            "risk": {**limits, "max_order_size": None, "market_hours": "24x7"},
            "throttle": {
                "max_volume_participation": draw(st.none() | st.floats(0, 1)),
                "max_spread_bps": draw(or_none["limit"]),
                "max_volatility": draw(or_none["limit"]),
                "max_order_size": draw(or_none["limit"]),
            },
            "broker": {"cash": draw(positive)},
            "hooks": draw(st.lists(st.sampled_from(["a:b", {"event": "bar", "target": "a:c"}]))),
            "audit": {"anchor": draw(st.none() | text | st.just({"command": ["logger", "-t"]}))},
        }
    )


LIMITS = ("max_position_size", "max_daily_loss", "max_position_concentration", "max_order_notional")


@settings(max_examples=cases(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(config=configs())
def test_a_resolved_config_loads_back_equal(tmp_path_factory, config):
    from trader.config.resolved import sha256, sha256_of_yaml, to_yaml

    path = write(tmp_path_factory.mktemp("resolved"), to_yaml(config))
    again = load(path)
    assert again.config == config
    assert again.sha256 == sha256(config) == sha256_of_yaml(to_yaml(config))
    assert again.resolved_yaml() == to_yaml(config)
    assert list(again.config.features) == list(config.features)
    assert "default" not in again.origins.values()


def test_the_same_values_from_other_places_have_the_same_hash(tmp_path):
    plain = load(write(tmp_path, demo(("cash: 100000", "cash: 5"))))
    layered = load(write(tmp_path, DEMO), "broker.cash=5.0", TRADER__SEED="0")
    assert layered.config == plain.config
    assert layered.sha256 == plain.sha256
    assert layered.resolved_yaml() == plain.resolved_yaml()


def test_another_value_or_order_of_features_has_another_hash(tmp_path):
    one = load(write(tmp_path, DEMO))
    swapped = DEMO.replace("  sma_fast: {type: sma, period: 10}\n", "").replace(
        "model:\n", "  sma_fast: {type: sma, period: 10}\nmodel:\n", 1
    )
    assert load(write(tmp_path, DEMO), "seed=1").sha256 != one.sha256
    assert load(write(tmp_path, swapped)).sha256 != one.sha256


def test_the_order_of_parameters_means_nothing(tmp_path):
    one = load(write(tmp_path, demo(("{type: sma, period: 10}", "{type: x, a: 1, b: 2}"))))
    two = load(write(tmp_path, demo(("{type: sma, period: 10}", "{b: 2, type: x, a: 1}"))))
    assert one.sha256 == two.sha256


def test_a_config_survives_a_pickle(tmp_path):
    config = load(write(tmp_path, DEMO)).config
    assert pickle.loads(pickle.dumps(config)) == config
