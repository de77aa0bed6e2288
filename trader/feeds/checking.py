"""A file through the gate without a config: symbols are what the file says.

Law: builds the plainest config that reads the file, and hands it to the gate; judges nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from trader.config.schema import Config
from trader.feeds.feed import load_history
from trader.feeds.quality import QualityReport

LIMITS_OFF = {
    "risk": dict.fromkeys(
        ("max_position_size", "max_order_size", "max_daily_loss", "max_position_concentration"),
        "none",
    ),
    "throttle": dict.fromkeys(
        ("max_volume_participation", "max_spread_bps", "max_volatility", "max_order_size"), "none"
    ),
}


@dataclass(frozen=True)
class FileTerms:
    """What a file does not say of itself."""

    period_s: float
    market_hours: str
    timezone: str | None


def check_file(path: Path, terms: FileTerms) -> QualityReport:
    """The gate's report on one file; `DataError` if it does not pass."""
    kind = "parquet" if path.suffix == ".parquet" else "csv"
    symbols = symbols_in(path, kind) or [path.name.partition(".")[0]]
    config = Config.model_validate(
        {
            "name": "check",
            "instruments": symbols,
            "feed": {"type": kind, "path": str(path), "timezone": terms.timezone or "none"},
            "bar_period_seconds": str(terms.period_s),
            "model": {"type": "rule", "buy": "close > 0", "sell": "close < 0"},
            "position_sizing": {"base_size": "1"},
            "risk": LIMITS_OFF["risk"] | {"market_hours": terms.market_hours},
            "throttle": LIMITS_OFF["throttle"],
            "broker": {"cash": "1"},
        }
    )
    return load_history(config).quality


def symbols_in(path: Path, kind: str) -> list[str]:
    """Distinct values of the file's `symbol` column; none where it has none or cannot be read."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as pq

    try:
        if kind == "parquet":
            column = pq.read_table(path, columns=["symbol"])["symbol"]
        else:
            options = arrow_csv.ConvertOptions(include_columns=["symbol"])
            column = arrow_csv.read_csv(path, convert_options=options)["symbol"]
    except (pa.ArrowException, OSError, KeyError):
        return []  # the gate will say what is wrong with the file
    return sorted({str(name) for name in column.unique().to_pylist() if name})
