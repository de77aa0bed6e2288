"""Files for the feed tests: good bars, and what can be wrong with them."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests import config_demo
from tests.harness import warm
from trader.config.schema import Config

ROOT = Path(__file__).resolve().parent.parent
HEADER = "timestamp,open,high,low,close,volume\n"
VALUES = "1,2,1,1.5,5"


def csv_text(stamps: Iterable[str], values: str = VALUES) -> str:
    return HEADER + "".join(f"{stamp},{values}\n" for stamp in stamps)


def minutes(first: int, last: int) -> list[str]:
    """Stamps of 2024-03-04 14:`first` up to and with 14:`last`, UTC."""
    return [f"2024-03-04T14:{minute:02d}:00Z" for minute in range(first, last + 1)]


GOOD = csv_text(minutes(30, 33))


def config_of(path: Path, *overrides: str, symbols: str = "ACME") -> Config:
    """The demo's config on `path`; symbols separated by commas."""
    return config_demo.load(config_file(path, symbols), *overrides).config


def config_file(path: Path, symbols: str = "ACME") -> Path:
    """A config file beside `path` that reads it."""
    kind = "parquet" if path.suffix == ".parquet" else "csv"
    names = ", ".join(f'"{name}"' for name in symbols.split(","))
    text = config_demo.demo(
        (
            "instruments:\n  - {symbol: ACME, tick_size: 0.01, lot_size: 1}",
            f"instruments: [{names}]",
        ),
        ("type: csv", f"type: {kind}"),
        ("path: data/acme.csv", f'path: "{path}"'),
        ("timezone: UTC", "timezone: none"),
    )
    folder = path.parent if path.parent.is_dir() else path.parent.parent
    return config_demo.write(folder, text)


def trader(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """`python -m trader …` as a real process in `folder`."""
    return warm.run([*map(str, arguments)], cwd=folder, env={**os.environ, "COLUMNS": "100"})
