"""The same bars as each vendor writes them give the same bits, and are told."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.feeds_kit import config_of
from trader.core.schema import BAR
from trader.errors import ConfigError, DataError
from trader.feeds.feed import load_history
from trader.feeds.jsonbar import BarParser

NO_LIMIT = "throttle.max_volume_participation=none"
UTC = "feed.timezone=UTC"
OPENS = pd.date_range("2025-12-30 22:30", periods=130, freq="min", tz="UTC")  # over a midnight
WAVE = np.round(10.5 + 1.25 * np.sin(np.arange(130) / 7), 2)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "open": WAVE,
            "high": WAVE + 0.5,
            "low": WAVE - 0.5,
            "close": WAVE + 0.25,
            "volume": np.arange(130) + 7.0,
        },
        index=OPENS,
    ).round(2)


def expected() -> np.ndarray:
    bars = np.zeros(len(OPENS), BAR)
    for name in frame().columns:
        bars[name] = frame()[name]
    bars["ts_ns"] = OPENS.as_unit("ns").asi8 + 60 * 10**9
    bars["bid"] = bars["ask"] = np.nan
    return bars


def text(bars: pd.DataFrame, head: str, times: list[str], mark: str = ",", comma=False) -> str:
    rows = [
        mark.join([time, *(repr(v).replace(".", ",") if comma else repr(v) for v in row)])
        for time, row in zip(times, bars.to_numpy().tolist(), strict=True)
    ]
    return "\n".join([*([head] if head else []), *rows]) + "\n"


def stamped(form: str) -> list[str]:
    return OPENS.strftime(form).tolist()


def counts(unit: str) -> list[str]:
    return [str(count) for count in OPENS.as_unit(unit).asi8]


def binance(unit: str) -> str:
    bars = frame()
    for name in ("close_time", "quote", "count", "taker", "taker_quote", "ignore"):
        bars[name] = 0
    rows = text(bars, "", counts(unit)).replace(",0.0,0.0,0.0,0.0,0.0,0.0", ",{},1.5,3,1,1,0")
    ends = OPENS.as_unit(unit).asi8 + 59_999
    return (
        "\n".join(
            row.replace("{}", str(end)) for row, end in zip(rows.split("\n"), ends, strict=False)
        )
        + "\n"
    )


def late_midnight() -> list[str]:
    """Midnight written as the end of the day before."""
    return [
        (t - pd.Timedelta("1D")).strftime("%Y-%m-%d 24:00")
        if t.hour == t.minute == 0
        else t.strftime("%Y-%m-%d %H:%M")
        for t in OPENS
    ]


YAHOO = ["close", "high", "low", "open", "volume"]
PLAIN = "timestamp,open,high,low,close,volume"
ISO = "%Y-%m-%d %H:%M:%S+00:00"
VENDORS: dict[str, Callable[[], str]] = {
    "plain": lambda: text(frame(), PLAIN, stamped(ISO)),
    "capitals": lambda: text(frame(), "Datetime,Open,High,Low,Close,Vol", stamped(ISO)),
    "short names": lambda: text(frame(), "Date,O,H,L,C,V", stamped(ISO)),
    "yahoo": lambda: text(
        frame().assign(adj=1.5)[["open", "high", "low", "close", "adj", "volume"]],
        "Date,Open,High,Low,Close,Adj Close,Volume",
        stamped(ISO),
    ),
    "yahoo, three rows": lambda: text(
        frame()[YAHOO],
        "Price,Close,High,Low,Open,Volume\nTicker,X,X,X,X,X\nDatetime,,,,,",
        stamped(ISO),
    ),
    "yahoo, two rows": lambda: text(
        frame()[YAHOO], "Datetime,Close,High,Low,Open,Volume\n,X,X,X,X,X", stamped(ISO)
    ),
    "alpha vantage": lambda: text(
        frame(), "timestamp,1. open,2. high,3. low,4. close,5. volume", stamped(ISO)
    ),
    "s": lambda: text(frame(), "time,open,high,low,close,volume", counts("s")),
    "ms": lambda: text(frame(), "t,o,h,l,c,v", counts("ms")),
    "us": lambda: text(frame(), "ts_event,open,high,low,close,volume", counts("us")),
    "ns": lambda: text(frame(), "window_start,open,high,low,close,volume", counts("ns")),
    "s as floats": lambda: text(frame(), PLAIN, [f"{count}.0" for count in counts("s")]),
    "binance ms": lambda: binance("ms"),
    "binance us": lambda: binance("us"),
    "mt5": lambda: text(
        frame().assign(vol=0, spread=2),
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
        stamped("%Y.%m.%d\t%H:%M:%S"),
        "\t",
    ),
    "mt4": lambda: text(frame(), "", stamped("%Y.%m.%d,%H:%M")),
    "stooq": lambda: text(
        frame(), "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>", stamped("%Y%m%d,%H%M%S")
    ),
    "histdata": lambda: text(frame(), "", stamped("%Y%m%d %H%M%S"), ";"),
    "semicolons, decimal commas": lambda: text(
        frame(), "Datum;Open;High;Low;Close;Volumen", stamped("%d.%m.%Y %H:%M"), ";", True
    ),
    "dukascopy": lambda: text(
        frame(), "Gmt time,Open,High,Low,Close,Volume", stamped("%d.%m.%Y %H:%M:%S.000")
    ),
    "month first, AM and PM": lambda: text(frame(), PLAIN, stamped("%m/%d/%Y %I:%M %p")),
    "month by name": lambda: text(frame(), PLAIN, stamped("%d-%b-%Y %H:%M")),
    "cryptodatadownload": lambda: text(
        frame(),
        "https://www.CryptoDataDownload.com\nunix,date,open,high,low,close,Volume",
        [f"{c},{t}" for c, t in zip(counts("ms"), stamped("%Y-%m-%d %H:%M"), strict=True)],
    ),
    "24:00": lambda: text(frame(), PLAIN, late_midnight()),
    "UTC behind the time": lambda: text(frame(), PLAIN, stamped("%Y-%m-%d %H:%M:%S UTC")),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendors_file_gives_the_same_bits_and_is_told(tmp_path, vendor):
    path = tmp_path / "bars.csv"
    path.write_text(VENDORS[vendor]())
    history = load_history(config_of(path, NO_LIMIT, UTC))
    assert history.bars.tobytes() == expected().tobytes()
    told = history.quality.to_dict()["recognised"]
    assert len(told) == (0 if vendor == "plain" else 1)
    assert all(str(path) in line and "\n" not in line for line in told)
    known = next((f for f in ("yahoo", "binance", "mt4", "histdata") if f in vendor), None)
    assert known is None or f"read as {known}" in told[0]


@pytest.mark.parametrize("pack", ["gzip", "zip", "utf-16"])
def test_packed_text_gives_the_same_bits_whatever_its_name(tmp_path, pack):
    plain = VENDORS["mt5"]()
    content = plain.encode("utf-16" if pack == "utf-16" else "utf-8")
    if pack == "gzip":
        content = gzip.compress(content)
    if pack == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("bars.csv", content)
        content = stream.getvalue()
    path = tmp_path / "bars.csv"
    path.write_bytes(content)
    assert load_history(config_of(path, NO_LIMIT, UTC)).bars.tobytes() == expected().tobytes()


def arrow(times: pa.Array, kind: pa.DataType | None = None) -> pa.Table:
    bars = frame()
    columns = {name: pa.array(bars[name]) for name in bars}
    if kind is not None:
        columns = {name: pa.array(map(str, bars[name])).cast(kind) for name in bars}
    return pa.table({"timestamp": times} | columns)


TEXTS = pa.array(OPENS.strftime(ISO).tolist())
PARQUET: dict[str, Callable[[], pa.Table]] = {
    **{
        f"timestamp {unit} {zone}": lambda unit=unit, zone=zone: arrow(
            pa.array(OPENS.tz_convert(zone or "UTC").tz_localize(None) if not zone else OPENS).cast(
                pa.timestamp(unit, zone)
            )
        )
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Asia/Tokyo")
    },
    "string": lambda: arrow(TEXTS),
    "large string": lambda: arrow(TEXTS.cast(pa.large_string()), pa.large_string()),
    "string view": lambda: arrow(TEXTS.cast(pa.string_view()), pa.string_view()),
    "binary": lambda: arrow(TEXTS.cast(pa.binary())),
    "dictionary": lambda: arrow(TEXTS.dictionary_encode()),
    "decimals": lambda: arrow(TEXTS, pa.decimal128(12, 2)),
    "int64 ms": lambda: arrow(pa.array(OPENS.as_unit("ms").asi8)),
    "float s": lambda: arrow(pa.array(OPENS.as_unit("s").asi8.astype(float))),
    "date and time": lambda: (
        arrow(pa.array([t.date() for t in OPENS]))
        .rename_columns(["Date", "Open", "High", "Low", "Close", "Volume"])
        .append_column("Time", pa.array([t.time() for t in OPENS]))
    ),
    "index without a name": lambda: pa.Table.from_pandas(frame()),
    "yahoo": lambda: pa.Table.from_pandas(
        pd.concat({"X": frame().rename(columns=str.capitalize)}, axis=1)
        .swaplevel(axis=1)
        .rename_axis("Datetime")
    ),
}


@pytest.mark.parametrize("form", PARQUET)
def test_parquet_of_every_type_gives_the_same_bits(tmp_path, form):
    path = tmp_path / "bars.parquet"
    pq.write_table(PARQUET[form](), path)
    assert load_history(config_of(path, NO_LIMIT, UTC)).bars.tobytes() == expected().tobytes()


def refusal(tmp_path, content: str, *overrides: str) -> str:
    path = tmp_path / "bars.csv"
    path.write_text(content)
    with pytest.raises((DataError, ConfigError)) as caught:
        load_history(config_of(path, NO_LIMIT, UTC, *overrides))
    return str(caught.value)


ROW = ",1,2,1,1.5,5\n"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("time,open,high,low,close,volume\n03/04/2024" + ROW, ["line 2", "feed.date_order"]),
        ("time,open,high,low,close,volume\n1" + ROW, ["line 2", "feed.time_unit", "s, ms, us"]),
        (
            f"time,open,high,low,close,volume\n1709562600{ROW}1709562660000{ROW}",
            ["line 3", "looks like ms", "like s"],
        ),
        ("time,open,high,low,close,volume\n202403041430" + ROW, ["feed.time_unit", "ISO-8601"]),
        ("Open,OPEN,high,low,close,time,volume\n" + "1,1,1,1,1,1,1\n", ["'Open' or 'OPEN'"]),
        (
            "close_time,open,high,low,close,volume\n1709562600" + ROW,
            ["'close_time'", "feed.timestamp: close"],
        ),
        (
            f"2024-03-04T14:30Z{ROW}2024-03-04T14:31Z{ROW}",
            ["line 1", "no header", "binance, mt4, histdata"],
        ),
        (
            "Price,Close,Close,High,High\nTicker,A,B,A,B\nDate,,,,\n2024-03-04,1,1,1,1\n",
            ["2 tickers side by side (A, B)", "{symbol}"],
        ),
        (
            "time;open;high;low;close;volume\n2024-03-04;1,234;1,234;1,234;1,234;5\n",
            ["line 2", "1,234", "feed.decimal"],
        ),
    ],
)
def test_what_could_be_two_things_is_refused_with_the_choices(tmp_path, content, parts):
    message = refusal(tmp_path, content)
    assert [part for part in parts if part not in message] == []


def test_key_settles_what_could_be_two_things(tmp_path):
    path = tmp_path / "bars.csv"
    for content, override, open_ns in (
        ("03/04/2024", "feed.date_order=month_first", pd.Timestamp("2024-03-04").value),
        ("03/04/2024", "feed.date_order=day_first", pd.Timestamp("2024-04-03").value),
        ("120", "feed.time_unit=s", 120 * 10**9),
        ("120", "feed.time_unit=ms", 120 * 10**6),
    ):
        path.write_text("time,open,high,low,close,volume\n" + content + ROW)
        bars = load_history(config_of(path, NO_LIMIT, UTC, override)).bars
        assert bars["ts_ns"].tolist() == [open_ns + 60 * 10**9]
    path.write_text("time;open;high;low;close;volume\n2024-03-04;1,234;1,234;1,234;1,234;5\n")
    bars = load_history(config_of(path, NO_LIMIT, UTC, "feed.decimal=','")).bars
    assert bars["close"].tolist() == [1.234]


def test_format_that_is_named_and_not_there_is_refused(tmp_path):
    message = refusal(tmp_path, VENDORS["mt5"](), "feed.format=binance")
    assert "feed.format is binance, but the file looks like mt5" in message
    message = refusal(tmp_path, VENDORS["capitals"](), "feed.format=plain")
    assert "missing columns 'timestamp', 'open'" in message


def test_volume_may_be_missing_where_nothing_needs_it(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text("timestamp,open,high,low,close\n2024-03-04T14:30Z,1,2,1,1.5\n")
    history = load_history(config_of(path, NO_LIMIT))
    assert history.bars["volume"].tolist() == [0.0]
    assert "no volume: 0" in history.quality.recognised[0]
    with pytest.raises(DataError, match=r"'volume' \(throttle.max_volume_participation needs it"):
        load_history(config_of(path))
    feature = "features={busy: {type: volume_ratio}}"
    with pytest.raises(DataError, match=r"'volume' \(features.busy needs it"):
        load_history(
            config_of(path, NO_LIMIT, feature, "model={type: rule, buy: busy > 1, sell: busy < 1}")
        )


def test_price_beside_another_by_the_last_bit_is_equal_to_it_and_counted(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text(
        "timestamp,open,high,low,close,volume\n"
        "2024-03-04T14:30Z,1.5,1.9999999999999998,1,2,5\n2024-03-04T14:31Z,1.5,2,1,2,5\n"
    )
    history = load_history(config_of(path))
    assert history.quality.equal_by_last_bit == 1
    assert history.bars["high"][0] == 1.9999999999999998
    assert "off by the last bit" in "".join(history.quality.warnings)
    message = refusal(tmp_path, path.read_text().replace("1.9999999999999998", "1.98"))
    assert "ohlc" in message


def test_split_that_nobody_adjusted_for_is_said_first(tmp_path):
    path = tmp_path / "bars.csv"
    days = pd.bdate_range("2020-08-20", periods=20).strftime("%Y-%m-%d")
    prices = [400.0] * 8 + [101.0] * 12
    rows = [f"{d},{p},{p},{p},{p},9\n" for d, p in zip(days, prices, strict=True)]
    path.write_text("Date,Open,High,Low,Close,Volume\n" + "".join(rows))
    found = load_history(config_of(path, UTC, "bar_period_seconds=86400")).quality.warnings
    assert "line 10: ACME" in found[0]
    assert "split of 4:1" in found[0]
    spike = [*rows[:8], rows[8], *(row.replace("101.0", "400.0") for row in rows[9:])]
    path.write_text("Date,Open,High,Low,Close,Volume\n" + "".join(spike))
    found = load_history(config_of(path, UTC, "bar_period_seconds=86400")).quality.warnings
    assert not any("split of" in warning for warning in found)


def lines_of(rename: Callable[[str], str], value: Callable[[float], object], stamp: str) -> bytes:
    rows = []
    for when, row in frame().iterrows():
        fields: dict[str, object] = {rename(name): value(v) for name, v in row.items()}
        fields[rename("timestamp")] = (
            int(when.timestamp()) * 1000 if stamp == "ms" else when.strftime(stamp)
        )
        rows.append(json.dumps(fields))
    return ("\n".join(rows) + "\n").encode()


@pytest.mark.parametrize(
    ("rename", "value", "stamp"),
    [
        (str, float, "%Y-%m-%dT%H:%M:%SZ"),
        (str.capitalize, str, "ms"),
        (lambda name: {"timestamp": "t"}.get(name, name[0]), str, "%Y.%m.%d %H:%M"),
    ],
    ids=["plain", "texts, ms", "letters, dots"],
)
def test_lines_of_a_stream_give_the_same_bits(tmp_path, rename, value, stamp):
    told: list[str] = []
    config = config_of(tmp_path / "bars.csv", NO_LIMIT, UTC)
    parser = BarParser(config, told.append)
    bars = [parser.parse(line, 0) for line in lines_of(rename, value, stamp).splitlines()]
    assert b"".join(bar.tobytes() for bar in bars) == expected().tobytes()
    assert len(told) == {"plain": 0, "ms": 2}.get("plain" if rename is str else stamp, 1)


def test_number_of_another_unit_than_the_first_is_no_stamp(tmp_path):
    parser = BarParser(config_of(tmp_path / "bars.csv", NO_LIMIT))
    fields = {"open": 1, "high": 1, "low": 1, "close": "1", "time": 1_709_562_600}
    assert parser.parse(json.dumps(fields).encode(), 0)["volume"] == 0.0
    fields["time"] *= 1000
    assert (
        "looks like ms, those before it like s"
        in parser.parse(json.dumps(fields).encode(), 0).reason
    )


@pytest.mark.parametrize("pack", ["one symbol", "blocks", "mixed"])
def test_newest_row_first_is_turned_round_and_told(tmp_path, pack):
    path = tmp_path / "bars.csv"
    rows = [f"2024-03-04T14:3{i}Z,{{}},1,2,1,1.{i},5\n" for i in range(4)]
    if pack == "one symbol":
        lines = [row.format("ACME") for row in reversed(rows)]
    elif pack == "blocks":
        lines = [row.format(name) for name in ("B", "ACME") for row in reversed(rows)]
    else:
        lines = [row.format(name) for row in reversed(rows) for name in ("B", "ACME")]
    path.write_text("time,symbol,open,high,low,close,volume\n" + "".join(lines))
    history = load_history(config_of(path, NO_LIMIT))
    assert history.bars["close"].tolist() == [1.0, 1.1, 1.2, 1.3]
    assert history.quality.recognised[0].endswith("; the newest row stands first")
    (tmp_path / "bars.csv").write_text(path.read_text().replace("1,2,1,1.2,5", "1,2,1,9,5"))
    line = {"one symbol": 3, "blocks": 7, "mixed": 5}[pack]
    with pytest.raises(DataError, match=f"line {line}: ACME at 2024-03-04T14:32"):
        load_history(config_of(path, NO_LIMIT))


def test_one_row_out_of_order_is_no_newest_first_and_sorting_is_the_remedy(tmp_path):
    rows = [f"2024-03-04T14:3{i}Z,1,2,1,1.{i},5\n" for i in (3, 1, 2, 0)]
    message = refusal(tmp_path, "time,open,high,low,close,volume\n" + "".join(rows), NO_LIMIT)
    assert "disorder" in message
    assert "set feed.quality.disorder: drop (warn sorts the rows)" in message


def test_dates_with_points_have_the_day_first_unless_a_number_says_otherwise(tmp_path):
    path = tmp_path / "bars.csv"
    for text, date in (("04.03.2024", "2024-03-04"), ("03.14.2024", "2024-03-14")):
        path.write_text(f"time,open,high,low,close,volume\n{text} 14:30{ROW}")
        history = load_history(config_of(path, NO_LIMIT, UTC))
        wanted = pd.Timestamp(f"{date}T14:31Z").value
        assert history.bars["ts_ns"].tolist() == [wanted]
    path.write_text(f"time,open,high,low,close,volume\n04.03.2024 14:30{ROW}")
    assert "day.month.year" in load_history(config_of(path, NO_LIMIT, UTC)).quality.recognised[0]


def test_the_one_column_that_is_some_volume_is_it_and_of_two_none(tmp_path):
    path = tmp_path / "bars.csv"
    head = "time,open,high,low,close"
    row = "2024-03-04T14:30Z,1,2,1,1.5"
    path.write_text(f"{head},Volume BTC,Quote Volume\n{row},5,7\n")
    history = load_history(config_of(path, NO_LIMIT))
    assert history.bars["volume"].tolist() == [5.0]
    assert "'Volume BTC' is volume" in history.quality.recognised[0]
    path.write_text(f"{head},Volume BTC,Volume USD\n{row},5,7\n")
    history = load_history(config_of(path, NO_LIMIT))
    assert history.bars["volume"].tolist() == [0.0]
    assert "'Volume BTC' or 'Volume USD': none is used" in history.quality.recognised[0]
    with pytest.raises(DataError, match=r"'Volume BTC' or 'Volume USD'.*feed\.columns\.volume"):
        load_history(config_of(path))
