"""Seeded trading days of the real paper loop in made-up time, with everything going wrong.

    sim.py --days N [--first S] [--jobs J]    N days from seed S on
    sim.py --seed S                           one day, with what went wrong in it

A day is 390 minutes of one to four symbols through LiveSlices, BarGate, features, model, core,
gate and a real journal: faults of feed, model, disk, hooks and clock; crashes, interruptions and
kills with re-arms in between, each followed by a recovery that must find the same state. Prints
one JSON document; exit code 1 if an invariant broke. The same seed is the same day.

Law: the loop, the journal and the recovery are those of `trader paper`; time, feed and model are
made up (`virtualtime`, `sim_world`); what must hold stands in `sim_checks`.
"""

import argparse
import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.core_kit import START  # noqa: E402
from tests.harness.sim_checks import Broken, CheckedSlices, check_journal, same_state  # noqa: E402
from tests.harness.sim_listeners import PATIENCE_S, Listeners  # noqa: E402
from tests.harness.sim_world import (  # noqa: E402
    BARS,
    CLOCK_FAULTS,
    ResumeRequest,
    SimFeed,
    SimModel,
    chosen,
    day_bars,
    day_rules,
)
from tests.harness.virtualtime import (  # noqa: E402
    VirtualClock,
    VirtualExecutor,
    VirtualLoop,
    run_virtually,
)
from tests.paper_desk import Desk, new_journal  # noqa: E402
from trader.config.sections.feed import Quality  # noqa: E402
from trader.core.book import Book  # noqa: E402
from trader.core.schema import KillSwitchReason, Reason, TradingState  # noqa: E402
from trader.engine.answers import Ages, LiveSignals  # noqa: E402
from trader.engine.batch import RowKeeper  # noqa: E402
from trader.engine.hooks import Hooks  # noqa: E402
from trader.engine.loop import ExecutionLoop, StopCause  # noqa: E402
from trader.engine.recorded import rules_details  # noqa: E402
from trader.engine.recover import Recovery, folded  # noqa: E402
from trader.engine.slices import LiveSlices, SlicePlan  # noqa: E402
from trader.engine.supervise import ClockWatch, supervise  # noqa: E402
from trader.features.feature_set import FeatureSet  # noqa: E402
from trader.feeds.bargate import BarGate  # noqa: E402
from trader.journal import entries as build  # noqa: E402
from trader.journal.log import Journal  # noqa: E402
from trader.journal.records import Entry  # noqa: E402
from trader.journal.store import read_records  # noqa: E402

ENDINGS = {"crash": 0.3, "interrupt": 0.2, "kill": 0.3}  # of a life; others end by themselves
FEATURES = {"level": {"type": "sma", "period": 3}}
MOST_LIVES = 6


@dataclass
class DayReport:
    """What one day was like."""

    seed: int
    slices: int = 0
    lives: int = 0
    sent: int = 0  # orders
    faults: Counter[str] = field(default_factory=Counter)
    problem: str = ""


class Day:
    """One seeded day. `run` it once."""

    slices_class: type[CheckedSlices] = CheckedSlices

    def __init__(self, seed: int, folder: Path) -> None:
        self.report = DayReport(seed)
        self.chance = np.random.default_rng(seed)
        self.path = folder / "journal.sqlite"
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, START)
        self.count = int(self.chance.integers(1, 5))
        self.symbols = tuple(f"S{number}" for number in range(self.count))
        self.rules = day_rules(self.chance, self.count)
        self.feed = SimFeed(self.chance, day_bars(self.chance, self.count), self.clock)
        self.model = SimModel(self.chance, 1.0)
        self.killed = False
        self.kills = 0
        self.is_on_record = False  # the kill in force
        self.sent: list[str] = []
        self._listeners: Listeners | None = None
        self.before: Book | None = None  # state that a recovery must find again

    def run(self) -> DayReport:
        """The whole day; a broken invariant or a crash of ours is its `problem`."""
        try:
            run_virtually(self.loop, self._lives())
        except (Broken, Exception) as error:
            self.report.problem = "".join(traceback.format_exception(error)[-3:])
        self.report.faults += self.feed.faults + self.model.faults
        self.report.sent = len(self.sent)
        return self.report

    async def _lives(self) -> None:
        """Start the run again and again until the feed ends."""
        for number in range(MOST_LIVES):
            self.report.lives += 1
            ending = chosen(self.chance, ENDINGS) if number < MOST_LIVES - 1 else ""
            if not await self._life(ending):
                return
        self.report.faults["given up"] += 1  # by the operator: a limit halts it each time

    async def _life(self, ending: str) -> bool:
        """One process' worth of trading; whether the run is to be started again."""
        self._listeners = None
        journal, slices, desk = self._opened()
        features = FeatureSet(FEATURES, self.count, self.rules.sessions, 60 * 10**9)
        stream = features.stream()
        gate = BarGate(self.count, 60 * 10**9, Quality(jump="drop"), self.rules.sessions)
        last_ns = self._shown(stream, gate)
        signals = LiveSignals(
            stream, ResumeRequest(self.model), desk.pool, self.clock.now_ns, Ages(120.0, 300.0)
        )
        plan = SlicePlan(self.count, 1.0, last_ns, is_timed=True)
        live = LiveSlices(self.feed, gate, plan, self._found.own_quarantine())
        loop = ExecutionLoop(
            slices, signals, Hooks(PATIENCE_S), lambda: self._guard(slices, signals)
        )
        listeners = self._disturb(loop)
        watch = asyncio.ensure_future(
            supervise([ClockWatch(loop, slices, self.clock).look, self._clock_fault], 60.0)
        )
        self._trading = asyncio.ensure_future(loop.run(aiter(live)))
        if ending:
            self.report.faults[ending] += 1
            after_s = float(self.chance.uniform(0, BARS * 60))
            asyncio.get_running_loop().call_later(after_s, self._strike, ending, (loop, slices))
        try:
            stopped = await self._trading
        except asyncio.CancelledError:
            stopped = StopCause("crash")
        finally:
            listeners.finish()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        self.report.slices += slices.engine.slices - self._before
        return await self._ended(stopped, (journal, slices, desk))

    def _opened(self) -> tuple[Journal, CheckedSlices, Desk]:
        """The journal, new or gone on with, and the slices where it ends."""
        disk = VirtualExecutor(self._disk_s)
        desk = Desk(self.symbols, disk, lambda order: self._gate())
        desk.snapshot_every = 300
        is_new = not self.path.exists()
        if is_new:
            journal = new_journal(self.path, self.rules, self.symbols, self.clock)
        else:
            journal = Journal.open(self.path, self.clock)
            who = build.Identity(journal.run_id, {"role": "test"}, self.rules.limits, *self._shas())
            journal.append([build.run_resume(who, rules_details(self.rules))])
        fold = folded(read_records(self.path), RowKeeper(0))
        engine, self._found, self._before = fold.engine, fold.facts, fold.engine.slices
        slices = self.slices_class(engine, journal, desk, fold)
        slices.truth, slices.is_killed = self.feed.truth, lambda: self.killed
        recovery = Recovery(slices, journal, fold)
        recovery.complete()
        if self.before is not None and not same_state(engine.snapshot().book, self.before):
            raise Broken("recovery found another state than the run had")
        self.before = None
        if self.killed:  # an operator has looked into it
            news = [] if self.is_on_record else [self._kill_entry(False)]
            news.append(build.rearm(f"K{self.kills}", "looked into it", {}))
            journal.append(news)
            recovery.take_in(news)
            self.killed = False
            self.model.health.note_success()
        recovery.finish()
        return journal, slices, desk

    def _disk_s(self) -> float:
        """How long the disk takes. In the middle of a slice, too, somebody may look on."""
        if self._listeners is not None:
            self._listeners.now_and_then(0.05)
        return 5.0 if self.chance.random() < 0.002 else 0.004

    def _kill_entry(self, flatten: bool) -> Entry:
        """The KILL that is in force now, which goes on record."""
        self.kills += 1
        self.is_on_record = True
        details = {"flatten": flatten, "mono_ns": self.clock.mono_ns()}
        return build.kill(f"K{self.kills}", KillSwitchReason.MANUAL_STOP, "an operator", details)

    def _shas(self) -> tuple[str, str, str]:
        start = next(read_records(self.path)).data
        return start["config_sha"], start["model_sha"], start["code_sha"]

    def _shown(self, stream: Any, gate: BarGate) -> int:
        """Warm what has a memory with the bars on record; close of the last one."""
        if not self._found.bars:
            return -(2**63)
        seen = np.concatenate(self._found.bars)
        stream.warm_up(seen)
        for bar in seen:
            gate.check(bar)
        return int(seen[-1]["ts_ns"])

    def _gate(self) -> Reason:
        return Reason.KILLED if self.killed else Reason.NONE

    def _guard(self, slices: CheckedSlices, signals: LiveSignals) -> StopCause | None:
        if slices.engine.book.account[0]["trading_state"] == TradingState.HALTED:
            return StopCause("halted", "a limit")
        if self.killed:
            return StopCause("killed", "an operator")
        if signals.model.health.consecutive_failures >= 3:
            return StopCause("fault", "the model")
        return None

    def _disturb(self, loop: ExecutionLoop) -> Listeners:
        """Whoever listens, and how badly."""

        def tell(problem: str) -> None:
            self.report.problem = self.report.problem or problem

        self._listeners = Listeners(loop, self.chance, tell)
        if self.report.seed % 25 == 7 and self.report.lives == 1:
            self._listeners.add_hooks()
        return self._listeners

    async def _clock_fault(self) -> None:
        fault = chosen(self.chance, CLOCK_FAULTS)
        self.report.faults[fault] += bool(fault)
        jumps = {"forward": 3_600.0, "back": -3_600.0, "tomorrow": 86_400.0}
        if fault == "still":
            self.clock.stand_still(1.0)
        elif fault:
            self.clock.jump(jumps[fault])

    def _strike(
        self, ending: str, parts: tuple[ExecutionLoop, CheckedSlices], patience: int = 60
    ) -> None:
        """End a life, if it can be while an order is working: that is when it matters."""
        loop, slices = parts
        if self._trading.done():
            return
        if patience and not any(True for _ in slices.engine.working()):
            later = asyncio.get_running_loop().call_later
            later(60.0, self._strike, ending, parts, patience - 1)
        elif ending == "crash":
            self._trading.cancel()
        elif ending == "kill":
            self.killed, self.is_on_record = (
                True,
                False,
            )  # the gate knows at once, the loop at its next look
        else:
            loop.request_stop("interrupted", "SIGINT")

    async def _ended(self, stopped: StopCause, parts: tuple[Journal, CheckedSlices, Desk]) -> bool:
        journal, slices, desk = parts
        self.sent += [order.order_id for order in desk.sent]
        if stopped.how == "crash":
            journal.close()
            return True
        if stopped.how == "interrupted":
            await slices.cancel_working(Reason.SHUTDOWN)
        elif stopped.how != "end":
            self.killed = True
            flatten = bool(self.chance.random() < 0.3)
            kill = self._kill_entry(flatten)
            await slices.halt(Reason.KILLED, [kill])
            if flatten:
                self.report.faults["flatten"] += await slices.flatten(f"K{self.kills}")
        record = slices.engine.record()
        self.before = slices.engine.snapshot().book
        positions = dict(zip(self.symbols, record.book.positions["qty"].tolist(), strict=True))
        details = {"digest": record.digest}
        end = build.RunEnd(stopped.how, 0, positions, record.book.account, details)
        journal.append([build.run_end(end)])
        journal.close()
        if stopped.how == "end" or self.report.lives == MOST_LIVES:
            check_journal(self.path, record.book, record.digest, self.sent)
        return stopped.how != "end"


def run_day(seed: int, kind: type[Day] = Day) -> DayReport:
    """One day in a folder of its own."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="sim-", dir=place))
    try:
        return kind(seed, folder).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_days(first: int, count: int) -> dict[str, Any]:
    """Days of seeds `first` on, one after the other."""
    run_day(10**6)  # compiles, loads
    began = time.monotonic()
    reports = [run_day(seed) for seed in range(first, first + count)]
    seconds = time.monotonic() - began
    faults: Counter[str] = Counter()
    for report in reports:
        faults += report.faults
    return {
        "days": count,
        "slices": sum(report.slices for report in reports),
        "lives": sum(report.lives for report in reports),
        "sent": sum(report.sent for report in reports),
        "faults": dict(faults),
        "failed": {report.seed: report.problem for report in reports if report.problem},
        "seconds": round(seconds, 2),
    }


def run_jobs(first: int, count: int, jobs: int) -> dict[str, Any]:
    """The same in several processes; `seconds` is that of the slowest."""
    edges = [first + count * job // jobs for job in range(jobs + 1)]
    words = [sys.executable, __file__, "--jobs", "1"]
    running = [
        subprocess.Popen(
            [*words, "--first", str(low), "--days", str(high - low)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for low, high in itertools.pairwise(edges)
    ]
    parts = [json.loads(one.communicate()[0]) for one in running]
    faults: Counter[str] = Counter()
    for part in parts:
        faults += Counter(part["faults"])
    return {
        "days": count,
        "slices": sum(part["slices"] for part in parts),
        "lives": sum(part["lives"] for part in parts),
        "sent": sum(part["sent"] for part in parts),
        "faults": dict(faults),
        "failed": {seed: why for part in parts for seed, why in part["failed"].items()},
        "seconds": max(part["seconds"] for part in parts),
    }


def main() -> int:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    if asked.seed is not None:
        asked.first, asked.days, asked.jobs = asked.seed, 1, 1
    run = run_jobs if asked.jobs > 1 else lambda first, days, jobs: run_days(first, days)
    found = run(asked.first, asked.days, asked.jobs)
    if found["seconds"]:
        found["times_real_time"] = round(asked.days * BARS * 60 / found["seconds"])
    print(json.dumps(found, indent=None if asked.jobs == 1 else 2))
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
