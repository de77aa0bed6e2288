"""`model.type: signals`: reading files of actions and meeting them with bars."""

import gzip
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.model_kit import MINUTE, START, make_bars, make_model
from trader.errors import ModelError
from trader.models.model import predict_actions

OPEN = pd.to_datetime(START, utc=True)  # of the first bar


def load(path, feed=None, **sections):
    feed = {"type": "csv", "path": "bars.csv", "timestamp": "open"} | (feed or {})
    return make_model({"type": "signals", "path": str(path)}, (), feed=feed, **sections)


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def answers(model, rows=4, symbols=1):
    bars = make_bars(rows, symbols)
    return predict_actions(model, bars, np.empty((rows, 0)))[0].tolist()


HEAD = "timestamp,symbol,action\n"
ROWS = "2018-03-10T00:00:00Z,ACME,BUY\n2018-03-10T00:02:00Z,ACME,sell\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + ROWS,
        (HEAD + ROWS).replace("\n", "\r\n"),
        "\ufeff" + HEAD + ROWS,
        (HEAD + ROWS).rstrip("\n"),
        HEAD + "".join(reversed(ROWS.splitlines(keepends=True))),
        HEAD + ROWS + ROWS,
        "timestamp,action\n" + ROWS.replace(",ACME", ""),
        "why,action,timestamp\n,1,2018-03-10 00:00:00+00:00\nx,2,2018-03-10 01:02:00+01:00\n",
        HEAD + ROWS.replace("sell", " Sell ").replace("BUY", "1"),
        'timestamp,"symbol","action"\n' + ROWS.replace("ACME", '"ACME"'),
        HEAD + ROWS + "2018-03-10T00:01:00Z,ACME,HOLD\n",
        HEAD + ROWS + "2018-03-10T00:01:00Z,OTHER,BUY\n",
        (HEAD + ROWS).replace(",", ";"),
        (HEAD + ROWS).replace(",", "\t").encode("utf-16"),
        "time,symbol,action\n1520640000,ACME,1.0\n1520640120,ACME,2.0\n",
    ],
    ids=repr,
)
def test_csv_in_any_accepted_form_is_read(tmp_path, text):
    assert answers(load(write(tmp_path / "signals.csv", text))) == [1, 0, 2, 0]


def test_gzipped_csv_is_read_whatever_its_name(tmp_path):
    for name in ("signals.csv.gz", "signals.csv"):
        path = write(tmp_path / name, gzip.compress((HEAD + ROWS).encode()))
        assert answers(load(path)) == [1, 0, 2, 0]


@pytest.mark.parametrize(
    "times",
    [
        pd.Series([OPEN, OPEN + pd.Timedelta("2min")]),
        pd.Series([OPEN, OPEN + pd.Timedelta("2min")]).dt.tz_convert("America/New_York"),
        pd.Series([OPEN, OPEN + pd.Timedelta("2min")]).dt.as_unit("s"),
        pd.Series(["2018-03-10T00:00:00Z", "2018-03-10T00:02:00Z"]),
    ],
    ids=["utc", "new_york", "seconds", "text"],
)
@pytest.mark.parametrize(
    "actions",
    [
        pd.Series(["BUY", "sell"]),
        pd.Series(["BUY", "SELL"], dtype="category"),
        pd.Series([1, 2], dtype="int8"),
        pd.Series([1.0, 2.0]),
    ],
    ids=["names", "category", "int8", "whole floats"],
)
def test_parquet_types_are_read(tmp_path, times, actions):
    path = tmp_path / "signals.parquet"
    symbol = pd.Series(["ACME", "ACME"], dtype="category")
    pd.DataFrame({"timestamp": times, "symbol": symbol, "action": actions}).to_parquet(path)
    assert answers(load(path)) == [1, 0, 2, 0]


def test_stamp_is_the_feeds_stamp(tmp_path):
    """The same file under a feed that stamps the close belongs to other bars."""
    path = write(tmp_path / "signals.csv", HEAD + ROWS.replace(":00:00Z", ":01:00Z"))
    assert answers(load(path, {"timestamp": "close"})) == [1, 2, 0, 0]
    assert answers(load(path, {"timestamp": "open"})) == [0, 1, 2, 0]


def test_naive_times_are_in_the_feeds_zone(tmp_path):
    text = HEAD + "2018-03-09T19:00:00,ACME,BUY\n2018-03-09 19:02,ACME,SELL\n"
    path = write(tmp_path / "signals.csv", text)
    assert answers(load(path, {"timezone": "America/New_York"})) == [1, 0, 2, 0]


def test_naive_parquet_times_are_in_the_feeds_zone(tmp_path):
    times = pd.to_datetime(["2018-03-09T19:00", "2018-03-09T19:02"])
    path = tmp_path / "signals.parquet"
    pd.DataFrame({"timestamp": times, "action": ["BUY", "SELL"]}).to_parquet(path)
    assert answers(load(path, {"timezone": "America/New_York"})) == [1, 0, 2, 0]
    with pytest.raises(ModelError, match=r"has no time zone; set feed\.timezone"):
        load(path)


def test_daily_dates_meet_daily_bars(tmp_path):
    path = write(tmp_path / "signals.csv", "timestamp,action\n2018-03-10,BUY\n2018-03-12,SELL\n")
    model = load(path, {"timezone": "UTC"}, bar_period_seconds=86_400)
    bars = make_bars(3)
    bars["ts_ns"] = START + np.arange(1, 4) * 1440 * MINUTE
    assert model.predict(bars, np.empty((3, 0))).tolist() == [1, 0, 2]


def test_symbols_do_not_mix(tmp_path):
    text = HEAD + "2018-03-10T00:00Z,BETA,BUY\n2018-03-10T00:01Z,ACME,SELL\n"
    model = load(write(tmp_path / "s.csv", text), instruments=["ACME", "BETA"])
    assert answers(model, rows=6, symbols=2) == [0, 1, 2, 0, 0, 0]


def test_chunks_do_not_matter(tmp_path):
    rng = np.random.default_rng(3)
    bars = make_bars(3000, symbols=3)
    stamps = pd.to_datetime(bars["ts_ns"] - MINUTE, utc=True)
    wanted = rng.integers(0, 3, len(bars))
    names = np.array(["A", "B", "C"])[bars["symbol"]]
    frame = pd.DataFrame({"timestamp": stamps, "symbol": names, "action": wanted})
    path = tmp_path / "signals.csv"
    frame.sample(frac=1.0, random_state=1).to_csv(path, index=False)
    model = load(path, instruments=["A", "B", "C"])
    for chunk_rows in (1000, 7, 100_000):
        actions, _, _ = predict_actions(model, bars, np.empty((3000, 0)), chunk_rows)
        assert np.array_equal(actions, wanted)
    assert (model.signals, model.unmatched) == (3000, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (HEAD, "a header and no rows"),
        (b"\xff\xfe\x00garbage\n", "not UTF-16"),
        ("timestamp,symbol,signal\n2018-03-10T00:00Z,ACME,1\n", "column 'action'.*symbol, signal "),
        ("when,symbol,action\n2018-03-10T00:00Z,ACME,BUY\n", "missing column 'timestamp'"),
        ("timestamp,timestamp,action\n1,2,BUY\n", "column 'timestamp' appears twice"),
        (HEAD + ROWS + "2018-03-10T00:03Z,ACME,FLAT\n", r"row 2 \(from 0; line 4\).*'FLAT'"),
        (HEAD + ROWS + "2018-03-10T00:03Z,ACME,4\n", r"line 4\).*'4'"),
        (HEAD + ROWS + "2018-03-10T00:03Z,ACME,1.5\n", r"line 4\).*'1\.5'"),
        (HEAD + "\n\n" + ROWS + "2018-03-10T00:03Z,ACME,WAIT\n", r"row 2 \(from 0; line 6\)"),
        (HEAD + ROWS + "2018-03-10T00:03Z,ACME,\n", r"line 4\): action is empty"),
        (HEAD + ROWS + ",ACME,BUY\n", r"line 4\): timestamp is empty"),
        (HEAD + ROWS + "2018-03-10T00:03Z,,BUY\n", r"line 4\): symbol is empty"),
        (HEAD + ROWS + "soon,ACME,BUY\n", r"line 4\).*'soon' is not an ISO-8601"),
        (HEAD + ROWS + "2018-13-10T00:00Z,ACME,BUY\n", r"line 4\).*not an ISO-8601 time"),
        (HEAD + ROWS + "2018-03-10T00:03,ACME,BUY\n", r"line 4\).*has no time zone; set feed"),
        (HEAD + ROWS.replace("Z", ""), r"line 2\).*no time zone; set feed.timezone"),
        (HEAD + ROWS + "2018-03-10T00:02:00Z,ACME,BUY\n", r"line 4\): BUY.*line 3\) makes SELL"),
        (HEAD + ROWS + "2018-03-10T00:03Z,ACME\n", "line 4: 2 cells where the header has 3"),
        (HEAD + "9999-01-01T00:00Z,ACME,BUY\n", "the year 9999 is outside 1679 to 2260"),
    ],
    ids=repr,
)
def test_bad_csv_is_model_error_that_names_the_row(tmp_path, text, message):
    with pytest.raises(ModelError, match=message) as caught:
        load(write(tmp_path / "signals.csv", text))
    assert str(tmp_path / "signals.csv") in str(caught.value)


def test_first_of_several_clashes_in_file_order_is_told(tmp_path):
    minute = "2018-03-10T00:0{}Z,ACME,{}\n".format
    text = HEAD + "".join(minute(m, a) for m, a in [(5, "BUY"), (1, "BUY"), (5, "SELL"), (1, "0")])
    with pytest.raises(ModelError, match=r"line 4\): SELL.*00:05:00Z, which.*line 2\) makes BUY"):
        load(write(tmp_path / "signals.csv", text))


def test_local_time_that_happens_twice_or_never_is_refused(tmp_path):
    for time in ("2018-11-04T01:30", "2018-03-11T02:30"):
        path = write(tmp_path / "signals.csv", f"timestamp,action\n{time},BUY\n")
        with pytest.raises(ModelError, match=r"(twice|does not exist).* in America/New_York"):
            load(path, {"timezone": "America/New_York"})


def test_bad_parquet_is_model_error(tmp_path):
    path = tmp_path / "signals.parquet"
    pq.write_table(pa.table({"timestamp": [1.5], "action": ["BUY"]}), path)
    with pytest.raises(ModelError, match="number that does not say its unit"):
        load(path)
    times = pa.array([START], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"timestamp": times, "action": [0.5]}), path)
    with pytest.raises(ModelError, match=r"row 0 \(from 0\): action 0\.5 is not an action"):
        load(path)
    pq.write_table(pa.table({"timestamp": times, "action": [True]}), path)
    with pytest.raises(ModelError, match="action True is not an action"):
        load(path)
    pq.write_table(pa.table({"timestamp": times, "action": pa.array([None], pa.int8())}), path)
    with pytest.raises(ModelError, match="action is empty"):
        load(path)
    path.write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(ModelError, match="not a whole Parquet file"):
        load(path)


def test_missing_file_and_missing_symbol_column_are_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.csv")
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        load(tmp_path)
    path = write(tmp_path / "s.csv", "timestamp,action\n2018-03-10T00:00Z,BUY\n")
    with pytest.raises(ModelError, match="missing column 'symbol'"):
        load(path, instruments=["ACME", "BETA"])


def test_unmatched_signals_are_counted_and_told(tmp_path, caplog):
    text = HEAD + ROWS + "2019-01-01T00:00Z,ACME,BUY\n2018-03-10T00:00Z,OTHER,BUY\n"
    model = load(write(tmp_path / "signals.csv", text))
    with caplog.at_level(logging.WARNING):
        assert answers(model) == [1, 0, 2, 0]
    assert (model.signals, model.unmatched) == (4, 2)
    assert "2 of 4 signals meet no bar; not instruments: OTHER" in caplog.text


def every_third(bars):
    """Bars three minutes apart, so that no bar opens where another closes."""
    bars["ts_ns"] = START + MINUTE + np.arange(len(bars)) * 3 * MINUTE
    return bars


@pytest.mark.parametrize(("stamp", "other"), [("open", "close"), ("close", "open")])
def test_file_stamped_at_the_other_end_of_the_bar_is_told_so(tmp_path, stamp, other):
    bars = every_third(make_bars(50))
    stamps = bars["ts_ns"] if other == "close" else bars["ts_ns"] - MINUTE
    frame = pd.DataFrame({"timestamp": pd.to_datetime(stamps, utc=True), "action": "BUY"})
    frame.to_csv(tmp_path / "s.csv", index=False)
    model = load(tmp_path / "s.csv", {"timestamp": stamp})
    with pytest.raises(ModelError) as caught:
        predict_actions(model, bars, np.empty((50, 0)))
    assert f"the file stamps the {other} of its bars" in str(caught.value)
    assert "none of the 50 signals meets a bar" in str(caught.value)
    assert "ACME at 2018-03-10T00:0" in str(caught.value)


def test_file_in_another_time_zone_is_told_so(tmp_path):
    bars = every_third(make_bars(50))
    stamps = pd.to_datetime(bars["ts_ns"] - MINUTE, utc=True).tz_convert("Asia/Kolkata")
    frame = pd.DataFrame({"timestamp": stamps.tz_localize(None), "action": "SELL"})
    frame.to_csv(tmp_path / "s.csv", index=False)
    model = load(tmp_path / "s.csv", {"timezone": "UTC"})
    with pytest.raises(ModelError, match=r"Moved by -5\.5 hours.*another time zone"):
        model.check_history(bars)


def test_file_of_other_symbols_or_dates_is_told_so(tmp_path):
    path = write(tmp_path / "s.csv", HEAD + ROWS.replace("ACME", "ACNE"))
    with pytest.raises(ModelError, match=r"no symbol in the file \(ACNE\).*instruments \(ACME\)"):
        answers(load(path))
    path = write(tmp_path / "s.csv", HEAD + ROWS.replace("2018", "2012"))
    with pytest.raises(ModelError, match=r"stamped 2018-03-10T00:00:00Z to 2018-03-10T00:03:00Z"):
        answers(load(path))
