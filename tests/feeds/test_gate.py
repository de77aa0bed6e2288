"""The data gate: each class of bad data under each policy, and what is written of it."""

import json

import numpy as np
import pytest

from tests.feeds_kit import GOOD, HEADER, config_of, csv_text, minutes
from trader.cli.console import json_value
from trader.errors import ConfigError, DataError
from trader.feeds.feed import load_history

T = "2024-03-04T14:{}:00Z,{}\n"
ROWS = {  # class -> a row that breaks it and no other, after GOOD (14:30 to 14:33)
    "duplicate": T.format(33, "1,2,1,1.5,5"),
    "revised": T.format(33, "1,2,1,1.6,5"),
    "disorder": T.format(32, "1,2,1,1.5,5"),
    "ohlc": T.format(34, "1,2,1,2.5,5"),
    "price": T.format(34, "1,2,-1,1.5,5"),
    "volume": T.format(34, "1,2,1,1.5,-5"),
    "jump": T.format(34, "150,150,150,150,5"),
    "gap": T.format(35, "1,2,1,1.5,5"),
}
SHOWN = {
    "duplicate": "the same stamp again",
    "revised": "the same stamp again",
    "disorder": "earlier than 2024-03-04T14:33:00Z above it",
    "ohlc": "open=1 high=2 low=1 close=2.5",
    "price": "low=-1",
    "volume": "volume=-5",
    "jump": "close 150 after 1.5",
    "gap": "1 bars missing before",
}


def loaded(folder, content, *overrides, **options):
    path = folder / "bars.csv"
    path.write_text(content)
    return load_history(config_of(path, *overrides, **options))


@pytest.mark.parametrize("kind", ROWS)
def test_error_names_row_rule_and_remedy(tmp_path, kind):
    with pytest.raises(DataError) as caught:
        loaded(tmp_path, GOOD + ROWS[kind], f"feed.quality.{kind}=error")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'bars.csv'} line 6: ACME at 2024-03-04T14:")
    assert SHOWN[kind] in message
    assert f"({kind}: " in message
    assert f"set feed.quality.{kind}: {'warn' if kind == 'gap' else 'drop'}" in message
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("kind", [kind for kind in ROWS if kind not in ("gap", "jump")])
def test_class_that_is_wrong_in_any_market_is_an_error_by_default(tmp_path, kind):
    with pytest.raises(DataError, match=rf"\({kind}: "):
        loaded(tmp_path, GOOD + ROWS[kind])


@pytest.mark.parametrize("kind", ["gap", "jump"])
def test_gap_and_jump_are_kept_and_said_by_default(tmp_path, kind):
    bar_set = loaded(tmp_path, GOOD + ROWS[kind])
    assert len(bar_set.bars) == 5
    assert bar_set.quality.counts[kind] == 1
    assert any(f"1 × {kind}" in line and "line 6" in line for line in bar_set.quality.warnings)


@pytest.mark.parametrize("kind", [kind for kind in ROWS if kind != "gap"])
def test_dropped_row_is_left_out_and_listed(tmp_path, kind):
    bar_set = loaded(tmp_path, GOOD + ROWS[kind], f"feed.quality.{kind}=drop")
    clean = loaded(tmp_path, GOOD)
    assert bar_set.bars.tobytes() == clean.bars.tobytes()
    document = json.loads(json.dumps(json_value(bar_set.quality.to_dict()), allow_nan=False))
    assert document["dropped_total"] == 1
    (row,) = document["dropped"]
    assert row["rule"] == kind
    assert row["place"] == f"{tmp_path / 'bars.csv'} line 6"
    assert row["symbol"] == "ACME"
    assert "close=" in row["detail"]
    assert document["classes"][kind]["count"] == 1
    assert document["classes"][kind]["policy"] == "drop"


def test_kept_disorder_is_sorted_with_its_own_values(tmp_path):
    rows = [T.format(31, "1,2,1,1.1,5"), T.format(30, "1,2,1,1.0,4"), T.format(32, "1,2,1,1.2,6")]
    bars = loaded(tmp_path, HEADER + "".join(rows), "feed.quality.disorder=warn").bars
    assert bars["close"].tolist() == [1.0, 1.1, 1.2]
    assert bars["volume"].tolist() == [4.0, 5.0, 6.0]
    assert np.all(np.diff(bars["ts_ns"]) > 0)


def test_revised_bar_keeps_the_first_values(tmp_path):
    bars = loaded(tmp_path, GOOD + ROWS["revised"], "feed.quality.revised=warn").bars
    assert bars["close"].tolist() == [1.5] * 4


def test_every_failing_class_is_named_at_once(tmp_path):
    content = GOOD + "".join(ROWS[kind] for kind in ("duplicate", "ohlc")) + ROWS["disorder"]
    with pytest.raises(DataError) as caught:
        loaded(tmp_path, content)
    for kind, line in (("duplicate", 6), ("ohlc", 7), ("disorder", 8)):
        assert f"line {line}: " in str(caught.value)
        assert f"set feed.quality.{kind}: drop" in str(caught.value)


def test_many_bad_rows_show_five_and_count_the_rest(tmp_path):
    with pytest.raises(DataError) as caught:
        loaded(tmp_path, csv_text(minutes(10, 21), "1,2,1,1.5,-1"))
    assert str(caught.value).count(" line ") == 5
    assert "and 7 more" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        *("nan,2,1,1,5", "1,inf,1,1,5", "1,2,-inf,1,5", "1,2,1,,5"),
        *("1,1e400,1,1,5", "0,2,1,1,5", "1,2,0,1,5"),
    ],
)
def test_price_that_is_no_finite_number_above_zero_is_refused(tmp_path, values):
    with pytest.raises(DataError, match=r"line 6: .*\(price: prices must be finite and above 0\)"):
        loaded(tmp_path, GOOD + T.format(34, values))


@pytest.mark.parametrize("volume", ["nan", "inf", "", "1e400", "-0.5"])
def test_volume_that_is_no_finite_number_from_zero_is_refused(tmp_path, volume):
    with pytest.raises(DataError, match=r"line 6: .*\(volume: volume must be finite"):
        loaded(tmp_path, GOOD + T.format(34, f"1,2,1,1.5,{volume}"))


@pytest.mark.parametrize(
    ("policy", "part"), [("gap=drop", "warn or error"), ("price=warn", "error or drop")]
)
def test_policy_that_cannot_be_is_a_config_error(tmp_path, policy, part):
    with pytest.raises(ConfigError, match=part) as caught:
        loaded(tmp_path, GOOD, f"feed.quality.{policy}")
    assert caught.value.key == f"feed.quality.{policy.partition('=')[0]}"


def test_spike_is_dropped_and_a_new_level_accepted(tmp_path):
    closes = [1, 1, 9, 1, 1, 5, 5, 5, 5, 5, 5, 5]
    rows = [
        T.format(10 + minute, f"{close},{close},{close},{close},5")
        for minute, close in enumerate(closes)
    ]
    bars = loaded(tmp_path, HEADER + "".join(rows), "feed.quality.jump=drop").bars
    assert bars["close"].tolist() == [1, 1, 1, 1, 5, 5]  # five bars of the new level are spent


def test_quotes_may_be_missing_but_not_wrong(tmp_path):
    header = HEADER.replace("volume", "volume,bid,ask")
    rows = ["1,2,1,1.5,5,1.4,1.6", "1,2,1,1.5,5,,1.6", "1,2,1,1.5,5,1.7,1.6"]
    text = header + "".join(T.format(30 + minute, row) for minute, row in enumerate(rows))
    bar_set = loaded(tmp_path, text)
    assert np.array_equal(bar_set.bars["bid"], [1.4, np.nan, 1.7], equal_nan=True)
    assert bar_set.quality.missing_quotes == 1
    assert bar_set.quality.crossed_quotes == 1
    with pytest.raises(DataError, match=r"line 5: .*bid=-1 .*\(price: "):
        loaded(tmp_path, text + T.format(33, "1,2,1,1.5,5,-1,1.6"))


def test_feed_start_and_end_cut_before_anything_is_judged(tmp_path):
    content = GOOD + ROWS["price"] + T.format(36, "1,2,1,1.5,-5")
    end = "feed.end=2024-03-04T14:34:00Z"
    bars = loaded(tmp_path, content, "feed.start=2024-03-04T14:31:00Z", end).bars
    assert len(bars) == 3
    with pytest.raises(DataError, match=r"no bar is left between feed\.start and feed\.end"):
        loaded(tmp_path, content, "feed.start=2025-03-04T14:31:00Z")


# --- several symbols ---

PANEL = HEADER.replace("\n", ",symbol\n")


def panel(*rows):
    """CSV text of (minute, close, symbol) in one file."""
    return PANEL + "".join(
        T.format(minute, f"{close},{close},{close},{close},5,{symbol}")
        for minute, close, symbol in rows
    )


def test_symbols_of_one_file_are_sorted_by_time_then_config_order(tmp_path):
    content = panel((30, 7, "B"), (30, 1, "A"), (31, 1, "A"), (32, 7, "B"), (33, 1, "A"))
    bar_set = loaded(tmp_path, content, symbols="A,B")
    assert bar_set.bars["symbol"].tolist() == [0, 1, 0, 1, 0]
    assert bar_set.bars["close"].tolist() == [1, 7, 1, 7, 1]
    assert bar_set.quality.missing_bars == 2  # A lacks 14:32, B 14:31
    assert {gap["symbol"] for gap in bar_set.quality.largest_gaps} == {"A", "B"}
    assert all(type(name) is str for name in bar_set.quality.symbols)


def test_later_listing_is_no_gap(tmp_path):
    bar_set = loaded(
        tmp_path, panel((30, 1, "A"), (31, 1, "A"), (32, 1, "A"), (32, 7, "B")), symbols="A,B"
    )
    assert bar_set.quality.missing_bars == 0
    assert bar_set.quality.symbols["B"]["first"] == "2024-03-04T14:33:00Z"


def test_rows_of_other_symbols_are_left_out_and_said(tmp_path):
    bar_set = loaded(tmp_path, panel((30, 1, "ACME"), (30, 7, "OTHER"), (31, 7, "OTHER")))
    assert len(bar_set.bars) == 1
    assert bar_set.quality.unknown_symbols == {"OTHER": 2}
    assert any("OTHER" in warning for warning in bar_set.quality.warnings)


def test_instrument_without_a_row_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(DataError, match="no bars for BTC/USD; the data has BTCUSD"):
        loaded(tmp_path, panel((30, 1, "ACME"), (30, 7, "BTCUSD")), symbols="ACME,BTC/USD")


def test_several_instruments_in_a_file_without_symbols_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no symbol column and there are 2 instruments") as caught:
        loaded(tmp_path, GOOD, symbols="A,B")
    assert caught.value.key == "feed.path"


def test_file_per_symbol(tmp_path):
    (tmp_path / "A.csv").write_text(csv_text(minutes(30, 33)))
    (tmp_path / "B.csv").write_text(csv_text(minutes(32, 35), "7,7,7,7,7"))
    path = tmp_path / "{symbol}.csv"
    bar_set = load_history(config_of(path, symbols="A,B"))
    assert bar_set.bars["symbol"].tolist() == [0, 0, 0, 1, 0, 1, 1, 1]
    assert [source.rows for source in bar_set.sources] == [4, 4]
    with pytest.raises(ConfigError, match=r"C\.csv does not exist"):
        load_history(config_of(path, symbols="A,C"))


def test_bad_rows_of_several_files_are_counted_together(tmp_path):
    (tmp_path / "A.csv").write_text(GOOD + ROWS["duplicate"])
    (tmp_path / "B.csv").write_text(GOOD + ROWS["duplicate"])
    with pytest.raises(DataError) as caught:
        load_history(config_of(tmp_path / "{symbol}.csv", symbols="A,B"))
    assert "A.csv line 6: A at" in str(caught.value)
    assert "B.csv line 6: B at" in str(caught.value)


def test_real_panel_gives_each_symbol_its_own_bars(real_data, tmp_path):
    path = real_data / "US24_1m_2019-02-11_15_panel.csv"
    settings = (f"feed.path={path}", "risk.market_hours=XNYS")
    config = config_of(tmp_path / "x.csv", *settings, symbols="UGA,AAPL,PPLT")
    bar_set = load_history(config)
    assert bar_set.quality.symbols["AAPL"]["rows"] == 1948
    assert len(bar_set.quality.unknown_symbols) == 21
    counts = np.bincount(bar_set.bars["symbol"])
    assert counts.tolist() == [bar_set.quality.symbols[n]["rows"] for n in ("UGA", "AAPL", "PPLT")]
    missing = 5 * 390 * 3 - len(bar_set.bars)
    assert bar_set.quality.missing_bars <= missing  # a symbol's first and last bars may lack too


def test_prices_below_zero_are_read_where_the_instrument_says_so(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text(csv_text(minutes(30, 31)) + csv_text(minutes(32, 33), "-1,2,-40,-37.63,5")
                    .partition("\n")[2])  # fmt: skip
    with pytest.raises(DataError, match="price: prices must be finite and above 0"):
        load_history(config_of(path))
    setting = "instruments=[{symbol: ACME, allow_negative_prices: true}]"
    history = load_history(config_of(path, setting))
    assert history.bars["close"].tolist() == [1.5, 1.5, -37.63, -37.63]
