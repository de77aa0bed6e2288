"""Paper runs of a few bars at the socket broker, cut off and gone on with: each life is a fork.

`python -m tests.brokers.paper_runs FIRST COUNT` plays so many seeds and prints what it saw.
"""

import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.brokers import plug_in
from tests.brokers.socket_broker import SocketBroker, exchange_process
from tests.harness.crash_scenes import bars_text
from trader.config.load import load_config
from trader.engine import broker_slices, crash_points
from trader.engine.replay import replay
from trader.errors import TraderError
from trader.jobs import backtest
from trader.jobs.paper import broker_start, ending
from trader.jobs.paper.session import paper
from trader.jobs.paper.start import ResumeRequest
from trader.jobs.paper.trading import Watcher
from trader.journal.audit.verify import verify_here
from trader.journal.store import read_records
from trader.report.artifacts import MANIFEST
from trader.safety import rearm, trip
from trader.safety.pending import pending_kills
from trader.safety.stop import StopOrder

CONFIG = """
name: outside
instruments: [A, B]
feed: {{type: csv, path: bars.csv, timestamp: close, timezone: UTC}}
bar_period_seconds: 60
features:
  fast: {{type: sma, period: 2}}
  slow: {{type: sma, period: 4}}
model: {{type: rule, buy: fast > slow + 0.1, sell: fast < slow - 0.1}}
position_sizing: {{mode: target, base_size: 8, allow_short: true}}
orders: {{entry: {entry}}}
risk:
  max_position_size: 60
  max_order_size: 60
  min_order_size: 1
  max_daily_loss: none
  max_drawdown_frac: none
  max_position_concentration: none
  market_hours: 24x7
throttle:
  max_volume_participation: none
  volume_window: 4
  max_spread_bps: none
  max_volatility: none
  volatility_window: 5
  max_order_size: none
broker:
  type: socket
  options: {{port: {port}, log: sent.log, silence_s: 0.02}}
  cash: 100000
execution: {{model_isolation: thread, model_timeout_seconds: 120, snapshot_every: 30}}
watchdog: {{soft_s: 120, hard_s: 240}}
report: false
"""
ENTRIES = ("{type: market}", "{type: limit, offset_bps: 5, expire_after_bars: 3}", "{type: moo}")
OFTEN = ("before_inputs", "after_inputs", "after_outputs")
PLACES = (
    *crash_points.NAMES,
    *("before_send", "after_send", "before_outcomes", "after_outcomes", "after_send") * 2,
)
DIED = 137
CASH = 100_000.0
KILLED, FLATTENED = "KILLED", "FLATTENED"


class Seen(NamedTuple):
    """What a session saw."""

    lives: int
    orders: int
    fills: int
    unknown: int  # ORDER_UNKNOWN records
    adopted: int
    kills: int


class Session:
    """One run with its broker, by seed."""

    def __init__(self, folder: Path, port: int, seed: int, bars: int = 16) -> None:
        self.folder, self.port, self.seed = folder, port, seed
        self.chance = Random(seed)
        folder.mkdir(parents=True)
        entry = ENTRIES[seed % len(ENTRIES)]
        (folder / "outside.yaml").write_text(CONFIG.format(entry=entry, port=port))
        (folder / "bars.csv").write_text(bars_text(seed, bars, ("A", "B"), "2024-03-04T10:00:00"))
        self.ask("begin", seed, CASH)

    def ask(self, *request: object) -> list:
        """The exchange takes one connection at a time: none is kept."""
        broker = SocketBroker(self.port)
        try:
            return broker.ask(*request)
        finally:
            broker.close()

    @property
    def journal(self) -> Path | None:
        found = sorted((self.folder / "runs").glob("*/journal.sqlite"))
        return found[0] if found else None

    def play(self) -> Seen:
        """Live until the run is over, and check what it left."""
        lives = kills = 0
        while True:
            assert lives < 30, "it does not end"
            code = self.live(self.fate())
            lives += 1
            if code == 7:
                kills += 1
                self.rearm()
            elif code == 0:
                break
            else:
                assert code == DIED, f"exit {code}: {self.error()}"
        return self.judged(lives, kills)

    def fate(self) -> tuple[str, int, str]:
        """Where a life ends and how; ("", …) for not."""
        if self.chance.random() < 0.25:
            return "", 0, ""
        how = self.chance.choice(["sigkill"] * 4 + ["trip", "flatten"])
        place = self.chance.choice(PLACES)
        return place, self.chance.randint(1, 12 if place in OFTEN else 4), how

    def live(self, fate: tuple[str, int, str]) -> int:
        """A process that trades until it ends; its exit code, 137 for SIGKILL."""
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = self._trade(fate)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        return DIED if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _trade(self, fate: tuple[str, int, str]) -> int:
        os.chdir(self.folder)
        os.environ["TRADER_HOME"] = str(self.folder / "home")
        with open("out", "a") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        broker_slices.AGAIN_S = broker_slices.CALM_STEP_S = 0.0
        broker_slices.CALM_S = 0.1
        broker_start.WAIT_S = 0.0
        broker_start.TRIES = 50
        ending._result = lambda begun, opened, record, *more: record.digest  # type: ignore
        ending.write_run = _write_manifest  # type: ignore[assignment]
        self._meet(fate)
        loaded = load_config([Path("outside.yaml")], ())
        order = backtest.Order(loaded, [Path("outside.yaml")], "loop", Path("runs"), ("x",))
        try:
            ended = paper(order, ResumeRequest(None), Watcher(_nobody, _nobody), print)
        except TraderError as error:
            key = getattr(error, "key", "")
            Path("error").write_text(f"{type(error).__name__}: {key} {error}")
            return error.exit_code
        except BaseException:
            Path("error").write_text(traceback.format_exc())
            return 99
        Path("error").write_text(str(ended.stopped))
        return ended.exit_code

    def _meet(self, fate: tuple[str, int, str]) -> None:
        where, left, how = fate

        def observer(place: str) -> None:
            nonlocal left
            if place != where:
                return
            left -= 1
            if left == 0 and how == "sigkill":
                os.kill(os.getpid(), signal.SIGKILL)
            if left == 0:
                kill = StopOrder("script", 7, source="engine", flatten=how == "flatten")
                assert trip.Tripwire(os.environ["TRADER_HOME"]).trip(kill).durable
                with open("sent.log", "a") as log:
                    log.write(f"{FLATTENED if kill.flatten else KILLED}\n")

        crash_points.observer = observer

    def error(self) -> str:
        path = self.folder / "error"
        return path.read_text() if path.exists() else ""

    def rearm(self) -> None:
        home = str(self.folder / "home")
        for one in pending_kills(home):
            rearm.rearm(home, one["kill_id"], "looked into it")
        with (self.folder / "sent.log").open("a") as log:
            log.write("REARMED\n")

    def judged(self, lives: int, kills: int) -> Seen:
        """The journal is sound and is the broker's own book; nothing was doubled, lost or sent
        after a kill."""
        path = self.journal
        assert path is not None
        found = verify_here(path)
        assert found.ok, found.problems
        again = replay(path)
        assert again.ok, again.divergence
        records = list(read_records(path))
        kinds = [record.type for record in records]
        end = records[-1] if kinds[-1] == "RUN_END" else records[-2]
        assert end.type == "RUN_END", kinds[-3:]
        theirs = SocketBroker.parsed(self.ask("book"))
        held = {name: qty for name, qty in theirs.positions.items() if qty}
        assert end.data["positions"] == held
        layouts = [name for name, _ in records[0].data["layouts"]["ACCOUNT"]]
        cash = end.data["account"][layouts.index("cash")]
        assert abs(cash - theirs.cash) < 1e-6, (cash, theirs.cash)
        self.ask("calm")
        arrived = {one.order_id: one for one in SocketBroker.parsed(self.ask("book")).orders}
        meant = {
            record.data["client_order_id"]: record.data
            for record in records
            if record.type == "ORDER_INTENT"
        }
        assert set(arrived) <= set(meant), "an order that nobody meant"
        for name, order in arrived.items():
            assert (order.symbol, order.qty) == (meant[name]["symbol"], meant[name]["qty"])
            assert abs(order.filled_qty) <= abs(order.qty)
        fills = [record.data for record in records if record.type == "FILL"]
        assert len({fill["execution_id"] for fill in fills}) == len(fills)
        self._require_none_lost(records, set(arrived))
        self._require_silence_after_kills(meant)
        adopted = sum(r.type == "ORDER_ACK" and r.data.get("adopted", False) for r in records)
        unknown = kinds.count("ORDER_UNKNOWN")
        return Seen(lives, len(meant), len(fills), unknown, adopted, kills)

    def _require_none_lost(self, records: list, arrived: set[str]) -> None:
        """What left for certain arrived; what did not arrive is on record as UNKNOWN or kept."""
        stands: dict[str, str] = {}
        for record in records:
            if record.type.startswith("ORDER_"):
                stands[record.data["client_order_id"]] = record.type
        for name, kind in stands.items():
            if name in arrived:
                assert kind != "ORDER_ABORTED", f"{name} arrived, and counts as not sent"
            else:
                assert kind in ("ORDER_ABORTED", "ORDER_UNKNOWN", "ORDER_SENT"), (name, kind)
        fills = {r.data["execution_id"] for r in records if r.type == "FILL"}
        shown = SocketBroker.parsed(self.ask("book"))
        assert fills == {one.execution_id for one in shown.executions}

    def _require_silence_after_kills(self, meant: dict) -> None:
        mark = ""
        for line in (self.folder / "sent.log").read_text().splitlines():
            if line in (KILLED, FLATTENED, "REARMED"):
                mark = line
                continue
            assert mark != KILLED, f"{line} was sent after a kill"
            assert mark != FLATTENED or meant[line]["purpose"] == "flatten"


def _nobody(said: object) -> None:
    """Nobody listens."""


def _write_manifest(folder: Path, result: object) -> dict[str, float]:
    (folder / MANIFEST).touch()
    return {}


def installed_here(folder: Path) -> None:
    """The broker's package, for this process and its forks."""
    sys.path.insert(0, str(plug_in.install(folder)))


def main(first: int, count: int) -> int:
    failed, seen = [], []
    with tempfile.TemporaryDirectory() as home, exchange_process() as port:
        installed_here(Path(home) / "site")
        for seed in range(first, first + count):
            session = Session(Path(home) / str(seed), port, seed)
            try:
                seen.append(session.play())
            except AssertionError as error:
                failed.append(seed)
                print(f"seed {seed}: {str(error)[-1500:]}", flush=True)
    sums = [sum(column) for column in zip(*seen, strict=True)] or [0] * len(Seen._fields)
    print(f"seeds {first}-{first + count - 1}: {len(failed)} failed {failed[:20]}")
    print(dict(zip(Seen._fields, sums, strict=True)))
    return len(failed)


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]), int(sys.argv[2])) else 0)
