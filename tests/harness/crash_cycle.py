"""One cycle of the crash harness: a run, its deaths, its end, and the judgement.

Law: the parent is warm and has one thread; every life of a run is a fork of it. Whatever a cycle
does follows from its seed.
"""

import gc
import os
import select
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.harness import crash_child as child
from tests.harness.crash_check import (
    Again,
    Deliveries,
    Uncut,
    judge_money,
    judge_orders,
    judge_sessions,
    rows_of,
)
from tests.harness.crash_scenes import Scene, join_threads, make_scenes
from tests.harness.crash_script import Fate, Step, script_of
from trader.core.schema import ACCOUNT
from trader.engine.crash_points import NAMES
from trader.engine.recorded import recorded_rules
from trader.engine.replay import replay
from trader.engine.sliceengine import warm_up
from trader.jobs import backtest as runs
from trader.jobs.paper.session import paper
from trader.jobs.paper.start import ResumeRequest
from trader.jobs.paper.trading import Watcher
from trader.journal import readback
from trader.journal.audit.verify import verify_here
from trader.journal.store import read_records
from trader.report.artifacts import MANIFEST
from trader.safety import rearm, stop
from trader.safety.pending import pending_kills

HUNG_S = 120.0
MOST_LIVES = 8  # that may follow a script before a run ends
REFUSED, KILLED, INTERRUPTED, HALTED, MISSED = 1, 7, 130, 6, 8
MAY_END = {  # exit codes of a fate that has happened; 0 and 6 are always possible
    "exit": {child.DIED},
    "sigkill": {-signal.SIGKILL},
    "delay": {-signal.SIGKILL},
    "trip": {KILLED},
    "flatten": {KILLED},
    "sigint": {INTERRUPTED, child.DIED},
    "sigint2": {INTERRUPTED},
    "full": {KILLED},
    "": set(),
}


class Torn(NamedTuple):
    """What a tear took: the files as they were, and what the broker had been handed by then."""

    files: dict[Path, bytes]
    orders: dict[str, str]
    kept: int  # records that are left


@dataclass
class Cycle:
    """One run from its start over its deaths to its end, and what was wrong with it."""

    seed: int
    lives: int = 0
    told: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


WAL_HEADER, WAL_FRAME = 32, 24 + 4096  # bytes; SQLite's file format, section 4


class Stage:
    """Everything that cycles share: a warm process, scenes, their uncut runs, counters."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plant: child.Plant | None = None  # a bug for every life from now on
        self.died, self.passed = child.Tally(), child.Tally()
        child.without_tables()
        self.scenes = make_scenes(root / "scenes")
        self._warm(self.scenes[1])
        self.uncut = {scene.name: self._uncut(scene) for scene in self.scenes}
        gc.collect()
        gc.freeze()

    def _warm(self, scene: Scene) -> None:
        """One run in this process: imports, compiled code, hashes that are made once."""
        cell = child.Cell(self.root / "warm")
        with child.placed(cell, scene):
            order = runs.Order(scene.loaded, [scene.config_file], "loop", cell.runs, ())
            paper(order, ResumeRequest(None), Watcher(child.nobody, child.nobody), child.nobody)
        join_threads()

    def _uncut(self, scene: Scene) -> Uncut:
        """Run a scene to its end, in forks, for what it should come to; warm up its core."""
        tally = child.Tally()
        cell = child.Cell(self.root / f"uncut-{scene.name}")
        for attempt in range(MOST_LIVES):
            life = child.Life(cell, scene, attempt, Fate())
            life.is_uncut = True
            code = wait(child.start_life(life, self.died, tally, None))
            rearm_all(cell)
            if code == 0:
                break
        else:
            raise RuntimeError(f"{scene.name}: {code}: {cell.errors.read_text()}")
        scene.passed = tally.read()
        assert cell.journal is not None
        uncut = uncut_run(cell, scene)
        warm_up(uncut.rules)
        began = time.monotonic()
        again = child.Cell(self.root / f"timed-{scene.name}")
        life = child.Life(again, scene, 0, Fate())
        wait(child.start_life(life, self.died, child.Tally(), None))
        scene.seconds = time.monotonic() - began
        return uncut

    def run(self, seed: int) -> Cycle:
        """One cycle."""
        scene = self.scenes[seed // len(NAMES) % len(self.scenes)]
        cell = child.Cell(self.root / f"cell-{seed}")
        cycle = Cycle(seed)
        try:
            Play(self, scene, cell, cycle).play(script_of(seed, scene))
        finally:
            shutil.rmtree(cell.root, ignore_errors=True)
        return cycle


class Play:
    """One cycle under way."""

    def __init__(self, stage: Stage, scene: Scene, cell: child.Cell, cycle: Cycle) -> None:
        self._stage, self._scene, self._cell, self._cycle = stage, scene, cell, cycle
        self._deliveries = Deliveries(cell.broker)
        self._torn: Torn | None = None

    def play(self, script: list[Step]) -> None:
        """The script, then lives without a fate until the run is over; then the judgement."""
        left = [*script, *[Step(Fate())] * MOST_LIVES]
        for step in left:
            code = self._live(step.fate)
            if step.tear >= 0.0 and code != 0:
                self._tear(step.tear)
            if step.kill_after and not self._is_over():
                kill(self._cell)
            if pending_kills(str(self._cell.home)):
                self._refused(step)
                rearm_all(self._cell)
            if self._is_over():
                break
        else:
            self._wrong("the run never came to its end")
            return
        self._judge()

    def _live(self, fate: Fate) -> int:
        sent = self._ids("ORDER_SENT")
        was_killed = bool(pending_kills(str(self._cell.home)))
        life = child.Life(self._cell, self._scene, self._cycle.seed + self._cycle.lives, fate)
        for path in (self._cell.errors, self._cell.left):  # of the life before
            path.unlink(missing_ok=True)
        stage = self._stage
        pid = child.start_life(life, stage.died, stage.passed, stage.plant)
        code = wait(pid, fate.nth / 1e6 if fate.how == "delay" else None)
        os.close(life.broker._fd)
        self._cycle.lives += 1
        errors = self._cell.errors.read_text() if self._cell.errors.exists() else ""
        self._cycle.told.append(f"{fate} → {code} {errors[-1500:]}")
        usual = {0, HALTED} if self._scene.halts else {0}
        if self._torn is not None and code == MISSED:
            self._bring_back()
            return code
        if self._torn is not None and len(rows_of(self._cell.journal)) > self._torn.kept:
            self._torn = None  # nothing that was acknowledged is missing: the run has gone on
        is_refused = fate.how == "full" and code == REFUSED and "This start is refused" in errors
        is_expected = is_refused or (was_killed and code == KILLED)
        if code not in MAY_END[fate.how] | usual and not is_expected:
            self._wrong(f"a life under {fate} ended with {code}: {errors[-1500:]}")
        is_open = not pending_kills(str(self._cell.home))
        if fate.how == "full" and is_open and "JournalError" in errors:
            self._wrong(f"a journal that cannot be written left the latch open: {errors}")
        self._deliveries.take_life(sent, self._ids("ORDER_INTENT"), was_killed)
        return code

    def _ids(self, kind: str) -> set[str]:
        """Orders that have a record of this type."""
        if self._cell.journal is None:
            return set()
        found = read_records(self._cell.journal, types=(kind,))
        return {record.data["client_order_id"] for record in found}

    def _tear(self, share: float) -> None:
        """Cut the write-ahead file, as a machine that lost power may."""
        journal = self._cell.journal
        if journal is not None:
            ahead = journal.with_name(journal.name + "-wal")
            if ahead.exists():
                files = {path: path.read_bytes() for path in (journal, ahead)}
                orders = dict(self._deliveries.orders)
                # A share of its frames and half a frame: how many there are does not hang on how
                # long the text of a clock or a path happens to be, so a seed tears alike anywhere.
                frames = int((ahead.stat().st_size - WAL_HEADER) // WAL_FRAME * share)
                os.truncate(ahead, max(0, WAL_HEADER + frames * WAL_FRAME - WAL_FRAME // 2))
                self._cycle.told.append(f"torn in frame {frames}")
                rows = rows_of(journal)
                self._torn = Torn(files, orders, len(rows))
                self._deliveries.rewound(rows)

    def _bring_back(self) -> None:
        """A start that misses records sends nothing; with the file put back the run goes on."""
        assert self._torn is not None
        if not self._deliveries.took_nothing():
            self._wrong("a start that misses records sent orders")
        for path in self._torn.files:
            path.with_name(path.name + "-shm").unlink(missing_ok=True)
        for path, content in self._torn.files.items():
            path.write_bytes(content)
        self._deliveries.orders = self._torn.orders
        self._torn = None

    def _refused(self, step: Step) -> None:
        """Under a kill a start must fail and send nothing."""
        if step.try_killed:
            code = self._live(Fate())
            if code != KILLED:
                self._wrong(f"a start under a kill ended with {code}")

    def _is_over(self) -> bool:
        """Whether the feed's end is the last word of the journal, and the results are written."""
        if self._cell.journal is None:
            return False
        ends = list(read_records(self._cell.journal, types=("RUN_END", "RUN_RESUME")))
        is_end = bool(ends) and ends[-1].type == "RUN_END" and ends[-1].data["reason"] == "end"
        return is_end and (self._cell.journal.parent / MANIFEST).exists()

    def _judge(self) -> None:
        path, uncut = self._cell.journal, self._stage.uncut[self._scene.name]
        assert path is not None
        report, again = verify_here(path), replay(path)
        if not report.ok:
            self._wrong(f"audit: {report.problems[0]}")
            return  # what it says cannot be worked out again
        if again.divergence is not None:
            self._wrong(f"replay: {again.divergence}")
        rows = rows_of(path)
        end = [data for _, kind, data in rows if kind == "RUN_END"][-1]
        redone = Again(uncut).run(rows)
        digest, book = redone.digest, b"".join(array.tobytes() for array in redone.book)
        if redone.missing or end["digest"] != digest:
            self._wrong(f"digest {end['digest']}, worked out {digest} {redone.missing}")
        if self._cell.left.exists():
            told, left = self._cell.left.read_bytes().split(b"\n", 1)
            if told.decode() == end["digest"] and left != book:
                self._wrong("the book at the end is not the one worked out")
        kinds = {kind for _, kind, _ in rows}
        if not kinds & {"KILL", "CANCEL_INTENT", "ORDER_ABORTED"}:
            self._judge_plain(digest, book, rows)
        if (bars := b"".join(b.tobytes() for b in bars_of(path))) != b"".join(
            one.tobytes() for one in uncut.bars
        ):
            self._wrong(f"{len(bars)} bytes of bars on record, not those of the files")
        for problem in (
            *judge_orders(rows),
            *judge_money(rows, end, ACCOUNT.names),
            *judge_sessions(rows, ACCOUNT.names),
            *self._deliveries.against(rows),
        ):
            self._wrong(problem)

    def _judge_plain(self, digest: str, book: bytes, rows: list[Any]) -> None:
        """Nothing but crashes happened: all must be as in the uncut run."""
        uncut = self._stage.uncut[self._scene.name]
        if digest != uncut.digest or book != uncut.book:
            self._wrong("not the end of the uncut run")
        if orders_of(rows) != uncut.orders:
            self._wrong("not the orders of the uncut run")

    def _wrong(self, text: str) -> None:
        self._cycle.problems.append(f"seed {self._cycle.seed} ({self._scene.name}): {text}")


def uncut_run(cell: child.Cell, scene: Scene) -> Uncut:
    """What an uncut run left."""
    path = cell.journal
    assert path is not None
    rules = recorded_rules(next(read_records(path)))
    assert rules is not None
    answers = [readback.actions_of(one) for one in read_records(path, types=("ACTION",))]
    digest, book = cell.left.read_bytes().split(b"\n", 1)
    actions = [(one["action"].astype(np.int8), one["reason"].astype(np.int16)) for one in answers]
    orders = orders_of(rows_of(path))
    return Uncut(rules, scene.symbols, bars_of(path), actions, digest.decode(), book, orders)


def orders_of(rows: list[Any]) -> list[tuple[str, int, float]]:
    """Symbol, decision and qty of every intent, in order."""
    found = [data for _, kind, data in rows if kind == "ORDER_INTENT"]
    return [(data["symbol"], data["decision"], data["qty"]) for data in found]


def bars_of(path: Path) -> list[Any]:
    """BAR arrays of the slices on record."""
    bars = read_records(path, types=("BAR",))
    return [readback.bars_of(one) for one in bars if one.data["use"] == "slice"]


def kill(cell: child.Cell) -> None:
    """`trader kill` while nothing runs."""
    stop.shut(stop.Stop(str(cell.home), stop.StopOrder("operator", 7)))


def rearm_all(cell: child.Cell) -> None:
    """An operator looks into every kill and re-arms."""
    for one in pending_kills(str(cell.home)):
        rearm.rearm(str(cell.home), one["kill_id"], "looked into it")


def wait(pid: int, kill_after_s: float | None = None) -> int:
    """Exit code of a child, as `subprocess` gives it; killed after a delay, or when it hangs."""
    handle = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select(
            [handle], [], [], HUNG_S if kill_after_s is None else kill_after_s
        )
        if not ready:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(handle)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return child.FAULTY if kill_after_s is None and not ready else code
