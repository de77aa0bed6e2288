"""`trader paper` as a real process whose bars the test writes, one by one.

Law: nothing of it is doubled: a real command line, pipes, files, state folder and signals.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.harness import warm
from trader.journal.records import JournalError
from trader.journal.store import read_records

CONFIG = """
name: live
instruments: [{symbols}]
feed: {{type: stdin, timestamp: close, timezone: UTC}}
bar_period_seconds: 60
features:
  level: {{type: sma, period: 2}}
model: {{type: rule, buy: level > 50, sell: level < 50}}
position_sizing: {{mode: target, base_size: 10, allow_short: false}}
risk:
  max_position_size: 100
  max_order_size: 100
  min_order_size: 1
  max_daily_loss: none
  max_position_concentration: none
  market_hours: 24x7
throttle:
  max_volume_participation: none
  volume_window: 5
  max_spread_bps: none
  max_volatility: none
  volatility_window: 5
  max_order_size: none
broker:
  cash: 100000
  commission: {{type: bps, value: 1.0}}
  slippage: {{type: bps, value: 10.0}}
execution: {{model_isolation: thread}}
"""
START_NS = 1_709_548_200_000_000_000  # 2024-03-04T10:30:00Z


def stamp(minute: int) -> str:
    """ISO time of the close of bar `minute`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START_NS // 10**9 + 60 * minute))


def bar(minute: int, price: float, symbol: str = "ACME", **changes: Any) -> str:
    """One line for stdin: a bar that opens and closes at `price`."""
    values = dict.fromkeys(("open", "high", "low", "close"), price)
    fields = {"timestamp": stamp(minute), "symbol": symbol, **values, "volume": 1000, **changes}
    return json.dumps(fields) + "\n"


class Paper:
    """A folder with a config, and the runs that are started in it."""

    def __init__(self, folder: Path, *changes: tuple[str, str], symbols: str = "ACME") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        text = CONFIG.format(symbols=symbols)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (folder / "live.yaml").write_text(text)
        self.process: warm.Process | None = None
        self.piped = False  # whether stdout and stderr are pipes, which somebody must read

    @property
    def environ(self) -> dict[str, str]:
        """Of every process: a state folder of our own."""
        return {**os.environ, "TRADER_HOME": str(self.folder / "home")}

    def start(self, *words: str) -> "Paper":
        """Start `trader paper` on its config."""
        pipe = subprocess.PIPE
        with (self.folder / "out").open("w") as out, (self.folder / "err").open("w") as err:
            self.process = warm.Process(
                ["paper", "-c", "live.yaml", "--json", *words],
                cwd=self.folder,
                env=self.environ,
                streams=(pipe, pipe, pipe) if self.piped else (pipe, out, err),
            )
        return self

    def send(self, *lines: str) -> "Paper":
        """Write bars to its stdin."""
        assert self.process is not None
        assert self.process.stdin is not None
        for line in lines:
            self.process.stdin.write(line)
        self.process.stdin.flush()
        return self

    def until(self, kind: str, count: int = 1) -> "Paper":
        """Wait until the journal holds so many records of one type."""
        deadline = time.monotonic() + 60
        assert self.process is not None
        while True:
            # Whether it is over is asked before the count: a run writes its last record and goes.
            over = self.process.poll() is not None or time.monotonic() > deadline
            if self.count(kind) >= count:
                return self
            if over:
                raise AssertionError(f"no {count} × {kind}: {self.end()}")
            time.sleep(0.02)

    def end(self, timeout_s: float = 60.0) -> tuple[int, list[dict[str, Any]], str]:
        """Close its stdin and wait: exit code, the JSON lines of stdout, stderr."""
        assert self.process is not None
        self.process.communicate(timeout=timeout_s)
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the run."""
        assert self.process is not None
        self.process.send_signal(number)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Another command of `trader`, to its end."""
        return warm.run(words, cwd=self.folder, env=self.environ, timeout=60)

    @property
    def run_dir(self) -> Path:
        """The folder of the newest paper run."""
        return max(self.folder.glob("runs/*-paper-*"))

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(type, payload) of every record of the newest run."""
        for record in read_records(self.run_dir / "journal.sqlite"):
            yield record.type, record.data

    def count(self, kind: str) -> int:
        """How many records of one type there are; 0 before there is a journal."""
        if not list(self.folder.glob("runs/*-paper-*/journal.sqlite")):
            return 0
        try:
            return sum(1 for found, _ in self.records() if found == kind)
        except (JournalError, ValueError):
            return 0

    def assert_sound(self) -> None:
        """The newest run's journal is whole and reproduces itself."""
        name = self.run_dir.name
        for words in (("audit", "verify", name), ("replay", name)):
            done = self.run(*words)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
