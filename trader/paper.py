"""A whole paper run as one function: load, recover, arm, trade, write. What `trader paper` calls.

Law: a table of contents. The run folder and its journal are there from the first moment; the
other files are written when the feed has ended. A run that was cut off goes on where it was.
"""

# house: module lines - assembly of one run; to be split into start, trade and result

import asyncio
import functools
import hashlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trader.core.book import Rules
from trader.core.schema import KillSwitchReason, Reason, TradingState
from trader.errors import HaltedError, KilledError, UsageError, VerificationError
from trader.feeds.bargate import BarGate
from trader.feeds.feed import load_history
from trader.feeds.replay_source import ReplayFeed
from trader.feeds.sessions import sessions_per_year
from trader.journal import entries as build
from trader.journal.log import Journal
from trader.journal.spool import ingest_spool
from trader.journal.store import FILE_NAME, read_records
from trader.journal.verify import verify
from trader.report.artifacts import DECISIONS, write_run
from trader.report.folder import create_live, run_id_stem, write_file
from trader.report.metrics import market_facts
from trader.report.parquet import DecisionWriter
from trader.report.provenance import code_sha256
from trader.report.result import RunResult
from trader.report.tally import DecisionTally
from trader.run.backtest import RowKeeper
from trader.run.hooks import Hooks
from trader.run.journaled import JournaledSlices, Passed, SentOrder
from trader.run.modelworker import ModelWorker, ThreadModel
from trader.run.paperloop import PaperLoop, Parts, Stopped
from trader.run.recorded import recorded_rules, rules_details
from trader.run.recover import Recovered, recovered
from trader.run.sliceengine import SliceEngine
from trader.runner import Finished, Order, model_facts
from trader.safety.lease import Lease, RunInfo, arm
from trader.safety.statedir import home_path
from trader.signals.model import load_model
from trader.wiring import build_features, build_rules, check_drivers, search_paths

CONFIG = "config.resolved.yaml"
INTERRUPTED = 130


def resumable(path: Path) -> Recovered:
    """What a journal holds, if trading may go on from it.

    Raises `VerificationError` for a damaged one, `KilledError` for a run that died between its
    kill and its end: the halt must outlive it.
    """
    report = verify(path)
    if not report.ok:
        raise VerificationError(
            f"{path} is damaged: {report.problems[0]}; nothing trades on it. "
            "Start a fresh run with --new"
        )
    found = recovered(read_records(path))
    if found.was_killed:
        raise KilledError(
            f"{path.parent.name} was killed and is not resumed; start a fresh run with --new"
        )
    return found


class RealClock:
    """The machine's clocks, for feed and journal."""

    def now_ns(self) -> int:
        return time.time_ns()

    wall_ns = now_ns

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep_until_ns(self, ts_ns: int) -> None:
        while (left_ns := ts_ns - self.now_ns()) > 0:
            await asyncio.sleep(left_ns / 1e9)


@dataclass
class Ended:
    """How a paper run ended; `finished` is None where it will go on."""

    run_id: str
    run_dir: Path
    exit_code: int
    how: str
    finished: Finished | None


def paper(order: Order, pace: float | None, new: bool, on_event: Callable[..., None]) -> Ended:
    """Run a config over its feed, or go on with the run that was cut off.

    `on_event` is registered for every hook event. Raises the errors of config, data and model,
    `KilledError` under a kill, `UsageError` where the run that would go on had another config.
    """
    run = _PaperRun(order, on_event)
    path = None if new else _unfinished(order)
    return run.go(path, pace)


def _unfinished(order: Order) -> Path | None:
    """The newest run of this name whose journal has no end."""
    stem = run_id_stem("paper", order.loaded.config.name, datetime.now(UTC))[16:]
    for path in sorted(order.parent.glob(f"*{stem}*/{FILE_NAME}"), reverse=True):
        if path.parent.name[16:].rstrip("0123456789").rstrip("-") not in (stem, stem.rstrip("-")):
            continue
        if next(read_records(path, types=("RUN_END",)), None) is not None:
            return None
        start = next(read_records(path))
        if start.data["config_sha"] != order.loaded.sha256:
            raise UsageError(
                f"{path.parent.name} was cut off and would go on, but the config is not the one "
                "it ran on: run the old config, or start fresh with --new"
            )
        return path
    return None


class _PaperRun:
    """The parts of one paper run while they are put together."""

    def __init__(self, order: Order, on_event: Callable[..., None]) -> None:
        self.order, self.config = order, order.loaded.config
        self.clock = RealClock()
        self.started_at = datetime.now(UTC)
        self.hooks = Hooks()
        from trader.run.hooks import EVENTS

        for event in EVENTS:
            self.hooks.register_hook(event, on_event)
        self.kept: list[np.ndarray] = []

    def go(self, path: Path | None, pace: float | None) -> Ended:
        """Everything in order."""
        if self.config.feed.type == "stdin":
            raise UsageError("paper replays csv and parquet feeds so far; stdin is not wired yet")
        history = load_history(self.config)
        check_drivers(self.config, history.bars)
        rules = build_rules(self.config, history.sessions)
        found = Recovered()
        if path is None:
            folder = create_live(
                self.order.parent, "paper", self.config.name, self.started_at
            ).final
            write_file(folder / CONFIG, self.order.loaded.resolved_yaml())
        else:
            folder = path.parent
            found = resumable(path)
            rules = recorded_rules(next(read_records(path))) or rules
        home = str(home_path())
        try:
            lease = arm(home, folder.name, RunInfo("paper", str(folder), path is not None))
        except BaseException:
            if path is None:  # it never began: nothing to find under its name
                shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            gate = lease.open_gate()
            journal = self._journal(folder, rules, path)
            ingest_spool(journal, *(Path(home) / name for name in ("kills", "rearms")))
            with DecisionWriter(folder / DECISIONS, self.config.symbols) as decisions:
                tally = DecisionTally()
                rows = len(history.bars) + len(found.slices) + 1
                keeper = RowKeeper(rows, (decisions.write, tally.add))
                engine = SliceEngine(rules, keeper)

                def send(sent: SentOrder) -> Passed:
                    passage = gate.send(sent, self)
                    return Passed(Reason[passage.reason], passage.detail)

                slices = JournaledSlices(
                    engine, journal, self.config.symbols, send, self.clock.mono_ns
                )
                slices.recover(found)
                last_ns = int(found.slices[-1].bars[0]["ts_ns"]) if found.slices else None
                feed = ReplayFeed(history, self.clock, pace, last_ns)
                stopped = asyncio.run(self._trade(feed, slices, journal, lease, found, rules))
                record = engine.record()
            how = stopped.how
            if how == "interrupted":
                journal.close()
                return Ended(folder.name, folder, INTERRUPTED, how, None)
            halted = record.book.account[0]["trading_state"] == TradingState.HALTED
            code = HaltedError.exit_code if halted else 0
            if how in ("killed", "model"):
                code = KilledError.exit_code
            held = dict(
                zip(self.config.symbols, record.book.positions["qty"].tolist(), strict=True)
            )
            details = {"digest": record.digest, "refused_bars": stopped.refused}
            end = build.RunEnd(how, code, held, record.book.account, details)
            journal.append([build.run_end(end)])
            journal.close()
            result = self._result(folder, history, record, tally, (code, rules))
            return Ended(
                folder.name, folder, code, how, Finished(result, write_run(folder, result))
            )
        finally:
            lease.close()

    def send(self, order: Any) -> None:
        """The simulated broker takes every order: it fills at the next bar, in the core."""

    def _journal(self, folder: Path, rules: Rules, path: Path | None) -> Journal:
        model = repr(model_facts(self.order.loaded)).encode()
        actor = {"uid": os.getuid(), "pid": os.getpid(), "host": socket.gethostname()}
        who = build.Identity(
            folder.name,
            {**actor, "role": "runner"},
            rules.limits,
            self.order.loaded.sha256,
            hashlib.sha256(model).hexdigest(),
            code_sha256(),
        )
        if path is not None:
            journal = Journal.open(path, self.clock)
            journal.append([build.run_resume(who, rules_details(rules))])
            return journal
        paths = [str(place) for place in search_paths(self.order.config_files)]
        details = {**rules_details(rules), "search_paths": paths}
        cash = self.config.broker.cash
        start = build.RunStart(
            who, folder.name, "paper", self.config.symbols, cash, details=details
        )
        return Journal.create(folder / FILE_NAME, start, self.clock)

    async def _trade(
        self,
        feed: ReplayFeed,
        slices: JournaledSlices,
        journal: Journal,
        lease: Lease,
        found: Recovered,
        rules: Rules,
    ) -> Stopped:
        config = self.config
        paths = search_paths(self.order.config_files)
        features = build_features(config, rules.sessions, paths)
        stream = features.stream()
        gate = BarGate(len(config.symbols), config.period_ns, config.feed.quality, rules.sessions)
        last_ns = -(2**63)
        if found.slices:
            seen = np.concatenate([one.bars for one in found.slices])
            stream.warm_up(seen)
            for bar in seen:
                gate.check(bar)
            last_ns = int(seen[-1]["ts_ns"])
        load = functools.partial(load_model, config, features.names, config.symbols, paths)
        timeout_s = config.execution.model_timeout_seconds
        with ThreadPoolExecutor(config.execution.feature_max_workers) as pool:
            thread = config.execution.model_isolation == "thread"
            model: Any = (
                ThreadModel(load(), timeout_s, pool)
                if thread
                else ModelWorker(load, timeout_s, pool)
            )
            await model.start()
            try:
                grace_s = config.execution.slice_grace_seconds
                parts = Parts(
                    feed,
                    gate,
                    stream,
                    model,
                    slices,
                    journal,
                    pool,
                    self.hooks,
                    lease.stop_cause,
                    len(config.symbols),
                    len(features.names),
                    grace_s,
                    last_ns,
                )
                loop = PaperLoop(parts)
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(number, loop.interrupt)
                stopped = await loop.run()
            finally:
                model.close()
        if stopped.how in ("killed", "model"):
            self._halt(stopped, slices, journal, lease)
        return stopped

    def _halt(
        self, stopped: Stopped, slices: JournaledSlices, journal: Journal, lease: Lease
    ) -> None:
        """Working orders end; the kills are on record, those of the latch or our own."""
        if stopped.how == "model":
            lease.trip("SYSTEM_ERROR", stopped.text, everything=False)
        home = Path(lease.home)
        taken = ingest_spool(journal, home / "kills", home / "rearms")
        kills = (
            []
            if taken
            else [
                build.kill(
                    "-", KillSwitchReason.SYSTEM_ERROR, stopped.text, {"scope": lease.run_id}
                )
            ]
        )
        slices.halt(Reason.KILLED, kills)

    def _result(
        self, folder: Path, history: Any, record: Any, tally: DecisionTally, end: tuple[int, Rules]
    ) -> RunResult:
        config = self.config
        done = history.bars[history.bars["ts_ns"] <= record.book.account[0]["ts_ns"]]
        per_year = sessions_per_year(config.risk.market_hours)
        return RunResult(
            run_id=folder.name,
            run_dir=folder,
            command="paper",
            engine="loop",
            command_line=self.order.command_line,
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            exit_code=end[0],
            config=config,
            config_sha256=self.order.loaded.sha256,
            resolved_yaml=self.order.loaded.resolved_yaml(),
            sources=[asdict(source) for source in history.sources],
            model=model_facts(self.order.loaded),
            quality=history.quality.to_dict(),
            bars=len(done),
            orders=record.orders,
            digest=record.digest,
            tally=tally,
            account=record.book.account[0],
            positions=record.book.positions,
            limits=end[1].limits[0],
            fills=record.fills,
            equity=record.equity,
            events=record.events,
            sessions=history.sessions,
            market=market_facts(done, len(config.symbols), per_year),
            timing={},
        )
