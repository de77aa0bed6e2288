"""What a file can be instead of a file of bars: each ends in a message with its place."""

import gzip
import threading
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.feeds_kit import GOOD, HEADER, VALUES, config_of, csv_text, minutes
from trader.cli.outcome import exit_code_of
from trader.errors import ConfigError, DataError, TraderError
from trader.feeds.feed import load_history
from trader.feeds.raw import FileFingerprint

LATE = "2024-03-04T14:40:00Z,"
LONG = "x" * 10**6


def written(folder: Path, content: str | bytes, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path, *overrides: str) -> TraderError:
    with pytest.raises(TraderError) as caught:
        load_history(config_of(path, *overrides))
    assert str(path) in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.removesuffix("\n"),
        GOOD + "\n\n",
        GOOD.replace("1.5", '"1.5"'),
        GOOD.replace(",", ", "),
        HEADER + GOOD.removeprefix(HEADER).replace("\n", "\n\n"),
    ],
    ids=["plain", "BOM", "CRLF", "no-last-newline", "blank-end", "quoted", "spaces", "blank-lines"],
)
def test_harmless_form_gives_the_same_bars(tmp_path, content):
    bars = load_history(config_of(written(tmp_path, content))).bars
    assert bars.tobytes() == load_history(config_of(written(tmp_path, GOOD))).bars.tobytes()
    assert len(bars) == 4
    assert bars["close"].tolist() == [1.5] * 4
    assert str(bars["ts_ns"].view("datetime64[ns]")[0]) == "2024-03-04T14:31:00.000000000"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["the file is empty"]),
        (b"\xef\xbb\xbf", ["the file is empty"]),
        (b"\n\n", ["the file is empty"]),
        (HEADER, ["a header and no rows"]),
        (HEADER.strip(), ["a header and no rows"]),
        (GOOD.removeprefix(HEADER), ["line 1", "no header", "timestamp,open,high"]),
        (GOOD.replace("\n", "\r"), ["CR alone", "LF or CRLF"]),
        (GOOD.replace("volume", "Volum"), ["missing column 'volume'", "'Volum'", "feed.columns"]),
        (GOOD.replace("volume", "close"), ["line 1", "'close' appears twice"]),
        (f"{LONG}\n1\n", ["missing columns 'timestamp'"]),
        (GOOD[:-8], ["line 5", "the last line is cut off (4 of 6 cells)"]),
        (GOOD + f"{LATE}1,2,1,1,5,6\n", ["line 6", "7 cells where the header has 6"]),
        (HEADER + "1,2\n" + GOOD, ["line 2", "2 cells where the header has 6"]),
        (GOOD + f"{LATE}1,2,1,{LONG},5\n", ["line 6", "close is 1,000,000 characters long"]),
        (GOOD + f"{LONG},{VALUES}\n", ["line 6", "timestamp 'xxxx", "not an ISO-8601 time"]),
        (GOOD + "\0\n", ["line 6", "NUL byte"]),
        (GOOD + f"{LATE}1,2,None,1,5\n", ["line 6", "low 'None' is not a number"]),
        (GOOD + f'{LATE}1,"2,000",1,1,5\n', ["line 6", "high '2,000' is not a number"]),
        (GOOD + f"{LATE}1_0,2,1,1,5\n", ["line 6", "open '1_0' is not a number"]),
        (GOOD.encode() + LATE.encode() + b"1,2,1,1,5\xe9\n", ["line 6", "not UTF-8"]),
        (b"time\xe9," + GOOD.encode(), ["line 1", "not UTF-8"]),
    ],
)
def test_file_that_is_no_csv_of_bars_is_refused_with_its_place(tmp_path, content, parts):
    error = refusal(written(tmp_path, content))
    assert isinstance(error, DataError)
    assert [part for part in parts if part not in str(error)] == []
    assert len(str(error)) < 800


def test_number_of_a_million_digits_is_no_volume(tmp_path):
    error = refusal(written(tmp_path, GOOD + f"{LATE}1,2,1,1,{'9' * 10**6}\n"))
    assert "line 6" in str(error)
    assert "volume=inf" in str(error)
    assert len(str(error)) < 800


def test_lines_are_counted_with_the_blank_ones(tmp_path):
    content = GOOD.replace("\n", "\n\n") + f"{LATE}0,2,1,1,5\n"
    error = refusal(written(tmp_path, content))
    assert f"{tmp_path / 'bars.csv'} line 11: ACME at 2024-03-04T14:40:00Z" in str(error)


def test_last_line_without_an_end_is_read_and_said(tmp_path):
    quality = load_history(config_of(written(tmp_path, GOOD.removesuffix("\n")))).quality
    assert any("may have been cut off" in warning for warning in quality.warnings)
    assert quality.to_dict()["open_ended"] == [str(tmp_path / "bars.csv")]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("bars.csv.gz", gzip.compress(GOOD.encode() * 50)[:-20], ["not a whole gzip file"]),
        ("bars.csv.gz", GOOD, ["not a whole gzip file"]),
        ("bars.parquet", GOOD, ["not a whole Parquet file"]),
        ("bars.parquet", b"", ["not a whole Parquet file"]),
    ],
)
def test_damaged_binary_file_is_refused(tmp_path, name, content, parts):
    error = refusal(written(tmp_path, content, name))
    assert isinstance(error, DataError)
    assert all(part in str(error) for part in parts)


def test_gzip_gives_the_bars_of_the_plain_file(tmp_path):
    zipped = written(tmp_path, gzip.compress(GOOD.encode()), "bars.csv.gz")
    bars = load_history(config_of(zipped)).bars
    assert bars.tobytes() == load_history(config_of(written(tmp_path, GOOD))).bars.tobytes()


def frame(**changes: object) -> pd.DataFrame:
    columns = {
        "timestamp": pd.to_datetime(minutes(30, 32)),
        **{name: [1.0, 1.0, 1.0] for name in ("open", "high", "low", "close", "volume")},
    }
    return pd.DataFrame({**columns, **changes})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("as_index", [False, True])
def test_parquet_stamps_of_any_unit_in_a_column_or_the_index(tmp_path, unit, as_index):
    bars = frame(timestamp=pd.to_datetime(minutes(30, 32)).as_unit(unit))
    path = tmp_path / "bars.parquet"
    (bars.set_index("timestamp") if as_index else bars).to_parquet(path)
    loaded = load_history(config_of(path)).bars
    assert loaded["ts_ns"][0] == pd.Timestamp("2024-03-04T14:31:00Z").value
    assert np.diff(loaded["ts_ns"]).tolist() == [60 * 10**9] * 2


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"timestamp": [60, 120, 180]}, ["row 0", "does not say its unit", "feed.time_unit"]),
        ({"close": ["1.5", "b", "c"]}, ["bars.parquet row 1: close is 'b', which is not a number"]),
        (
            {"close": pd.Categorical(["1", "2", "x"])},
            ["row 2: close is 'x'", "the column holds text"],
        ),
        ({"close": [True, True, True]}, ["column 'close' is of type bool", "store numbers"]),
        ({"symbol": [None] * 3}, ["no bars for ACME; the data has rows without a symbol"]),
        ({"close": [[1.0], [2.0], [3.0]]}, ["column 'close' is of type list<", "store numbers"]),
        (
            {"timestamp": pd.to_datetime(["2024-03-04", None, "2024-03-05"], utc=True)},
            ["row 1", "timestamp is empty"],
        ),
        (
            {"timestamp": pd.to_datetime(minutes(30, 32)).tz_localize(None)},
            ["row 0", "has no time zone", "feed.timezone"],
        ),
        ({"low": [1.0, np.nan, 1.0]}, ["row 1", "low=nan", "price"]),
        (
            {"timestamp": pd.to_datetime(["1600-01-01"] * 3, utc=True).as_unit("us")},
            ["row 0", "the year 1600 is outside 1679 to 2260"],
        ),
    ],
)
def test_parquet_that_holds_something_else_is_refused(tmp_path, changes, parts):
    frame(**changes).to_parquet(tmp_path / "bars.parquet")
    error = refusal(tmp_path / "bars.parquet")
    assert isinstance(error, DataError)
    assert [part for part in parts if part not in str(error)] == []


def test_parquet_without_a_row_or_a_column_is_refused(tmp_path):
    path = tmp_path / "bars.parquet"
    frame()[:0].to_parquet(path)
    assert "columns and no rows" in str(refusal(path))
    frame().drop(columns="volume").to_parquet(path)
    assert "missing column 'volume'" in str(refusal(path))


def test_path_that_is_no_file_is_a_config_error_of_feed_path(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, part in (("nope.csv", "does not exist"), ("folder", "is a folder")):
        error = refusal(tmp_path / name)
        assert isinstance(error, ConfigError)
        assert error.key == "feed.path"
        assert part in str(error)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_history(config_of(tmp_path / "x.csv", "feed.path=/dev/null"))


def test_file_that_grows_while_it_is_read_is_refused(tmp_path):
    path = written(tmp_path, GOOD)
    watched = FileFingerprint(path)
    with path.open("a") as stream:
        stream.write(f"{LATE}{VALUES}\n")
    with pytest.raises(DataError, match=r"bars\.csv changed while it was being read"):
        watched.source(4)


def test_load_beside_a_writer_never_returns_bars_it_did_not_hash(tmp_path):
    stamps = pd.date_range("2020-01-01", periods=60_000, freq="min").strftime("%Y-%m-%dT%H:%M:%SZ")
    path = written(tmp_path, csv_text(stamps))
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.001):
            path.touch()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        code = exit_code_of(lambda: load_history(config_of(path)))
    finally:
        done.set()
        writer.join()
    assert code == 4


def test_file_is_known_by_its_hash_size_and_rows(tmp_path):
    import hashlib

    source = load_history(config_of(written(tmp_path, GOOD))).sources[0]
    assert source.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
    assert (source.bytes, source.rows) == (len(GOOD), 4)


def test_parquet_decimals_are_the_floats_a_csv_gives(tmp_path):
    texts = ["118.35", "118.49", "1234567.891"]
    bars = frame()
    for name in ("open", "high", "low", "close"):
        bars[name] = [Decimal(text) for text in texts]
    bars.to_parquet(tmp_path / "bars.parquet")
    loaded = load_history(config_of(tmp_path / "bars.parquet")).bars
    assert loaded["close"].tolist() == [float(text) for text in texts]


def test_parquet_column_that_stands_twice_is_refused(tmp_path):
    table = pa.Table.from_pandas(frame(), preserve_index=False)
    doubled = pa.table([*table.columns, table["close"]], names=[*table.column_names, "close"])
    pq.write_table(doubled, tmp_path / "bars.parquet")
    with pytest.raises(DataError, match=r"bars\.parquet: column 'close' appears twice"):
        load_history(config_of(tmp_path / "bars.parquet"))
