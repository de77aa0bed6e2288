"""Reading config files: what is refused, and that a refusal says where and why."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config_demo import DEMO, demo, load, write
from tests.tiers import cases
from trader.config.load import load_config
from trader.config.yaml_nodes import MAX_BYTES
from trader.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("", "", "is empty"),
        ("# a comment alone\n", "", "is empty"),
        ("- a\n- b\n", ":1:1", "must be a mapping"),
        ("just text\n", ":1:1", "must be a mapping"),
        (DEMO + "---\nname: two\n", ":38:1", "more than one document"),
        ("name: demo\n\tseed: 1\n", ":2:1", "tab where YAML needs spaces"),
        ("name: [a\n", ":1:7", "is not valid YAML"),
        ("name: 'a\n", ":1:7", "is not valid YAML"),
        ("name: a: b\n", ":1:8", "is not valid YAML"),
        ("name: *nowhere\n", ":1:7", "undefined alias"),
        ("name: a\x00b\n", ":1:8", "'\\x00'"),
        ("a: b\nname: \x07\n", ":2:7", "'\\x07'"),
        (b"name: demo\nseed: caf\xe9\n", ":2:10", "not UTF-8 here: byte 0xe9"),
        ("\ufeff" + DEMO, ":1:1", "byte order mark"),
        (DEMO.encode("utf-16"), ":1:1", "byte order mark"),
        ("[" * 5000, "", "nested too deeply"),
        ("a: &a [*a]\n", "", "nested too deeply"),
        ("name: " + "[" * 40 + "]" * 40, "", "nested too deeply"),
        ("x" * (MAX_BYTES + 1), "", "larger than"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place(tmp_path, text, place, rule):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=re.escape(rule)) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{place}: ")


def test_aliases_that_multiply_are_refused_quickly(tmp_path):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ConfigError, match="repeats itself too often through aliases"):
        load(write(tmp_path, "\n".join(levels)))


def test_an_alias_reuses_a_value(tmp_path):
    text = demo(("type: bps, value: 1.0", "type: bps, value: &fee 2.0"))
    text = text.replace("{type: bps, value: 0.0}", "{type: bps, value: *fee}")
    assert load(write(tmp_path, text)).config.broker.slippage.value == 2.0


def test_a_missing_file_and_a_folder_are_both_reported(tmp_path):
    good = write(tmp_path, DEMO)
    with pytest.raises(ConfigError, match="2 problems") as caught:
        load_config([good, tmp_path / "none.yaml", tmp_path], environ={})
    assert f"{tmp_path / 'none.yaml'}: cannot be read: no such file" in str(caught.value)
    assert f"{tmp_path}: cannot be read: Is a directory" in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_reported(tmp_path):
    path = write(tmp_path, DEMO)
    path.chmod(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        load(path)


def test_no_file_at_all_is_reported():
    with pytest.raises(ConfigError, match="-c FILE"):
        load_config([], environ={})


def test_every_problem_is_reported_at_once_in_the_order_of_the_file(tmp_path):
    text = demo(
        ("name: demo", "nam: demo"),
        ("timezone: UTC", "timezone: Mars"),
        ("base_size: 100, ", ""),
        ("max_order_size: 500\n", "max_order_size: 500\n  max_order_size: 501\n"),
        ("min_order_size: 1", "min_order_size: 900"),
        ("cash: 100000", "cash: no"),
    )
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), "broker.colour=red", TRADER__SEED="x")
    lines = str(caught.value).splitlines()
    assert lines[0] == "9 problems in the config:"
    keys = [re.search(r"(?::\d+|--set|SEED): ([\w.]+): ", line)[1] for line in lines[1:]]
    assert keys == [
        "nam",
        "name",
        "feed.timezone",
        "position_sizing.base_size",
        "risk.max_order_size",
        "risk.min_order_size",
        "broker.cash",
        "seed",
        "broker.colour",
    ]
    assert caught.value.key == "nam"


def test_values_mean_what_their_field_says(tmp_path):
    text = demo(
        ("name: demo", "name: 010"),
        (
            "  - {symbol: ACME, tick_size: 0.01, lot_size: 1}",
            "  - NO\n  - 010\n  - {symbol: 1e5, lot_size: 010}\n  - BTC/USD\n  - 'on'\n  - 16:00",
        ),
        ("bar_period_seconds: 60", "bar_period_seconds: 6e1"),
        ("cash: 100000", "cash: 1e5"),
        ("max_daily_loss: 1000", "max_daily_loss: none"),
        ("volume_window: 20", "volume_window: 2.0e1"),
        ("cash: 1e5", "cash: '1e5'"),
    )
    config = load(write(tmp_path, text)).config
    assert config.name == "010"
    assert config.symbols == ("NO", "010", "1e5", "BTC/USD", "on", "16:00")
    assert config.instruments[2].lot_size == 10.0
    assert config.bar_period_seconds == 60.0
    assert config.period_ns == 60_000_000_000
    assert config.broker.cash == 1e5
    assert config.risk.max_daily_loss is None
    assert config.throttle.volume_window == 20
    assert {type(config.throttle.volume_window)} == {int}


def test_feature_parameters_follow_plain_rules(tmp_path):
    feature = """{type: x, a: 010, b: 1e5, c: -0.5, d: true, e: yes, f: none, g: '7', h: True,
        i: 16:00, j: [1, a], k: {l: 2}, m: 1_0, n: 0x1f, o: .5}"""
    text = demo(("{type: sma, period: 10}", feature))
    params = load(write(tmp_path, text)).config.features["sma_fast"].params
    assert params == {
        "a": 10, "b": 100000.0, "c": -0.5, "d": True, "e": "yes", "f": None, "g": "7",
        "h": "True", "i": "16:00", "j": (1, "a"), "k": {"l": 2}, "m": "1_0", "n": "0x1f", "o": 0.5,
    }  # fmt: skip
    assert type(params["a"]) is int
    assert type(params["e"]) is str


def test_windows_line_ends_and_block_text_are_read(tmp_path):
    text = demo(("  buy: sma_fast > sma_slow", "  buy: >\n    sma_fast >\n    sma_slow"))
    config = load(write(tmp_path, text.replace("\n", "\r\n"))).config
    assert config.model.buy == "sma_fast > sma_slow"


def test_naive_times_are_read_in_the_feeds_zone(tmp_path):
    text = demo(
        ("timezone: UTC", "timezone: America/New_York\n  start: 2019-02-11\n  end: 2019-02-12T00Z")
    )
    feed = load(write(tmp_path, text)).config.feed
    assert feed.start_ns == 1549861200 * 10**9  # 05:00 UTC
    assert feed.end_ns == 1549929600 * 10**9


def test_a_config_cannot_be_changed(tmp_path):
    config = load(write(tmp_path, DEMO)).config
    with pytest.raises(ValueError, match="frozen"):
        config.risk.max_daily_loss = 5


def test_locate_finds_the_value_or_what_is_around_it(tmp_path):
    path = write(tmp_path, DEMO)
    loaded = load(path, "seed=3")
    assert loaded.locate("features.sma_fast.period") == f"{path}:11:33"
    assert loaded.locate("risk.price_collar") == f"{path}:18:1"
    assert loaded.locate("instruments[0].tick_size") == f"{path}:3:31"
    assert loaded.locate("nothing.like.it") == f"{path}:1:1"
    assert loaded.locate("seed") == "--set"
    error = ConfigError("must be at least 2, got 10", key="features.sma_fast.period")
    explained = loaded.explain(error)
    assert explained == f"{path}:11:33: features.sma_fast.period: must be at least 2, got 10"
    assert loaded.explain(ConfigError("no key")) == "no key"


def test_the_relative_path_is_named_as_given(tmp_path, monkeypatch):
    write(tmp_path, "nam: x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"\brun.yaml:1:1: nam: unknown key"):
        load(Path("run.yaml"))


@settings(max_examples=cases(300), deadline=None)
@given(data=st.data())
def test_whatever_is_done_to_a_file_there_is_no_other_error(tmp_path_factory, data):
    """A slice of the demo replaced by anything loads, or is a ConfigError that names the file."""
    start = data.draw(st.integers(0, len(DEMO)))
    end = data.draw(st.integers(start, min(start + 30, len(DEMO))))
    odd = st.sampled_from(
        ["", "~", "[", "]", "{", "}", ":", "- ", "\n", "\n  ", "\t", "&a ", "*a", "!!x ", "<<: ",
         "'", '"', "|\n", "none", ".nan", "1e999", "[[]]", "{a: }", "\x00", "\ud800", "\ufeff", "?"]
    )  # fmt: skip
    pieces = data.draw(st.lists(odd | st.text(max_size=5), max_size=4))
    text = DEMO[:start] + "".join(pieces) + DEMO[end:]
    path = write(tmp_path_factory.mktemp("fuzz"), text.encode("utf-8", "surrogatepass"))
    try:
        loaded = load(path)
    except ConfigError as error:
        assert str(path) in str(error)  # noqa: PT017 - either way is right
    else:
        assert loaded.config.symbols


@pytest.mark.parametrize(("text", "is_told"), [("2592000", True), ("month", False), ("60", False)])
def test_seconds_that_are_taken_for_a_month_are_told_once(tmp_path, caplog, text, is_told):
    path = write(tmp_path, demo(("bar_period_seconds: 60", f"bar_period_seconds: {text}")))
    with caplog.at_level("INFO", "trader"):
        for _ in range(2):
            load_config([path]).tell()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == is_told
    assert all("bar_period_seconds: 2592000 is taken for a calendar month" in one for one in told)
    assert all(one.startswith(f"{path}:") for one in told)
