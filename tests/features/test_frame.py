"""`type: frame`: a user's pandas function, the same over a history and bar by bar."""

import sys

import numpy as np
import pandas as pd
import pytest

from tests.features_kit import PERIOD, feature_set, same, streamed, walk_bars
from trader.errors import ConfigError
from trader.features.frame_features import SHORTEST_BLOCK
from trader.features.python_feature import FeatureError, FutureUseError
from trader.moments import iso_utc

PAIR = walk_bars(300, symbols=2)
HEAD = "import numpy as np, pandas as pd\ndef make(df, **more):\n    "


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A config's folder; modules and the import path are put back afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def make(folder, body, bars=PAIR, others=None, **params):
    (folder / "my.py").write_text(body if body.startswith("import") else HEAD + body)
    spec = {"type": "frame", "target": "my:make", "window": 40, **params}
    return feature_set({"mine": spec, **(others or {})}, bars, search_paths=(folder,))


GOOD = """
def make(df, span=8):
    out = pd.DataFrame(index=df.index)
    out["change"] = df["close"].pct_change(5)
    out["trend"] = df["close"].rolling(10).mean() / df["close"].ewm(span=span).mean() - 1
    out["noise"] = out["change"].rolling(20).std()
    out["hour"] = df.index.hour
    return out.dropna()
"""
GOOD = "import pandas as pd\n" + GOOD


@pytest.mark.long
def test_history_and_stream_give_the_same_bits_for_every_symbol(folder):
    features = make(folder, GOOD, window=200, others={"fast": {"type": "sma", "period": 3}})
    assert features.names == ("change", "trend", "noise", "hour", "fast")
    assert same(features.batch(PAIR), streamed(features, PAIR)).all()


@pytest.mark.long
def test_a_stream_over_several_blocks_gives_the_bits_of_the_history(folder):
    bars = walk_bars(SHORTEST_BLOCK + 260, seed=3)
    features = make(folder, GOOD, bars=bars, window=150)
    stream = features.stream()
    stream.warm_up(bars[: SHORTEST_BLOCK - 50])
    rows = np.array([stream.update(bar) for bar in bars[SHORTEST_BLOCK - 50 :]])
    assert same(features.proved_batch(bars)[SHORTEST_BLOCK - 50 :], rows).all()


def test_a_later_bar_changes_no_row(folder):
    bars = walk_bars(SHORTEST_BLOCK + 300, seed=4)
    features = make(folder, GOOD, bars=bars, window=150)
    whole = features.batch(bars)
    for rows in (1, 7, 1500, SHORTEST_BLOCK, SHORTEST_BLOCK + 1, SHORTEST_BLOCK + 299):
        assert same(features.batch(bars[:rows]), whole[:rows]).all()


def test_values_are_those_that_the_function_gives_over_the_whole_history(folder):
    bars = walk_bars(SHORTEST_BLOCK + 300, seed=4)
    features = make(folder, GOOD, bars=bars, window=150)
    stamps = pd.DatetimeIndex(bars["ts_ns"].view("M8[ns]")).tz_localize("UTC")
    frame = pd.DataFrame({"close": bars["close"]}, index=stamps)
    scope: dict = {}
    exec(GOOD, scope)  # noqa: S102 - the test's own text
    expected = scope["make"](frame).reindex(stamps).to_numpy()
    np.testing.assert_allclose(features.batch(bars), expected, rtol=1e-7, atol=1e-12)


def test_the_index_is_the_close_or_where_asked_the_open(folder):
    text = 'return pd.DataFrame({"at": df.index.as_unit("ns").asi8 / 1e9}, index=df.index)'
    bars = PAIR[PAIR["symbol"] == 0]
    by_close = make(folder, text, bars=bars).batch(bars)[:, 0]
    assert np.array_equal(by_close, bars["ts_ns"] / 1e9)
    by_open = make(folder, text, bars=bars, index="open").batch(bars)[:, 0]
    assert np.array_equal(by_open, (bars["ts_ns"] - PERIOD) / 1e9)


@pytest.mark.parametrize(
    "body",
    [
        'df["mine"] = df.close.diff(); return df',
        "return df.close.diff()",
        'return df.close.diff().rename("mine")',
        "return df.close.diff().to_numpy()",
        'return df.assign(mine=df.close.diff()).iloc[::-1][["mine"]]',
        'return pd.DataFrame({"mine": df.close.diff()}).dropna()',
    ],
)
def test_what_notebooks_return_is_one_column(folder, body):
    features = make(folder, body)
    assert features.names == ("mine",)
    for symbol in (0, 1):
        rows = PAIR["symbol"] == symbol
        expected = pd.Series(PAIR["close"][rows]).diff().to_numpy()
        assert same(features.batch(PAIR)[rows, 0], expected).all()


FUTURE = {
    "centred": 'return df.close.rolling(5, center=True).mean().rename("x")',
    "scaler": 'return ((df.close - df.close.mean()) / df.close.std()).rename("x")',
    "label": 'return (df.close.shift(-1) / df.close - 1).rename("x")',
    "backward fill": 'return df.close.rolling(10).mean().bfill().rename("x")',
    "quotes filled backwards": 'return df.bid.bfill().rename("x")',
    "labelled left": 'return df.close.resample("2h").mean().reindex(df.index, method="ffill")'
    '.rename("x")',
}


@pytest.mark.parametrize("body", FUTURE.values(), ids=FUTURE)
def test_the_future_is_told_with_column_time_and_both_values(folder, body):
    features = make(folder, body)
    with pytest.raises(FutureUseError, match="The future was used") as caught:
        features.proved_batch(PAIR)
    told, seen = str(caught.value), caught.value.seen
    assert seen.column == "x"
    assert seen.time in told
    assert seen.over_history != seen.as_newest
    assert "column x of symbol" in told
    assert any(iso_utc(int(ts)) in told for ts in PAIR["ts_ns"])
    assert "over a history," in told


@pytest.mark.parametrize(
    "body",
    [
        'return df.close.expanding().mean().rename("x")',
        'return df.close.cumsum().rename("x")',
        'return df.close.ewm(span=200).mean().rename("x")',
        'return df.close.rolling(60).mean().rename("x")',
    ],
)
def test_a_window_too_short_is_told_with_column_time_and_both_values(folder, body):
    bars = walk_bars(400, flat=False)
    features = make(folder, body, bars=bars)
    with pytest.raises(FeatureError, match="The window is too short") as caught:
        features.proved_batch(bars)
    told = str(caught.value)
    assert "column x of symbol 0" in told
    assert "features.mine.window" in told


def test_parameters_are_arguments_of_the_function(folder):
    features = make(folder, 'return pd.Series(float(more["k"]), index=df.index, name="k")', k=3)
    assert (features.batch(PAIR) == 3.0).all()


@pytest.mark.parametrize(
    ("body", "params", "error", "told"),
    [
        ("return df", {}, FeatureError, "gives no column beside those of the bars"),
        ("return 1", {}, FeatureError, "returned a int; it must return a DataFrame"),
        ("return df.close * 0", {"target": "my:nothing"}, ConfigError, "there is no 'nothing'"),
        ("return df.close * 0", {"target": "my"}, ConfigError, "must be module:function"),
        ("return df.close * 0", {"window": 0}, ConfigError, "whole number from 1"),
        ("df['close'] += 1; return df", {}, FeatureError, "changes close, a field of the bar"),
        ("raise ValueError('no')", {}, FeatureError, "raised ValueError: no"),
        ("return df.reset_index()[['low']].add_suffix('x')", {}, FeatureError, "rows that are no"),
        ("return df.close.to_frame(1)", {}, FeatureError, "names are texts"),
        (
            "return df.close.astype(str).to_frame('a').map('x'.__add__)",
            {"columns": ["a"]},
            None,
            "",
        ),
    ],
)
def test_what_cannot_be_used_is_said(folder, body, params, error, told):
    if error is None:
        with pytest.raises(FeatureError, match="has no numbers in a"):
            make(folder, body, **params).batch(PAIR)
        return
    with pytest.raises(error, match=told.replace("(", r"\(")):
        make(folder, body, **params)


def test_a_window_is_required_and_a_name_taken_twice_refused(folder):
    (folder / "my.py").write_text(HEAD + 'return df.close.diff().rename("a")')
    spec = {"type": "frame", "target": "my:make"}
    with pytest.raises(ConfigError, match="how many bars") as caught:
        feature_set({"mine": spec}, PAIR, search_paths=(folder,))
    assert caught.value.key == "features.mine.window"
    both = {"mine": {**spec, "window": 5}, "a": {"type": "sma", "period": 2}}
    with pytest.raises(ConfigError, match="another feature has that name"):
        feature_set(both, PAIR, search_paths=(folder,))
