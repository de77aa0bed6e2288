"""What a stop leaves: orders cancelled, the kill on record, results written.

    stop      by its reason: cancel (Ctrl-C), or trip the latch and halt (limit, model, feed, kill)
    finish    RUN_END, the other files of the run folder

Law: the gate is shut before anything else is done; the journal is written before files are. A run
that was interrupted or killed has its results, too, and goes on from its journal when started
again.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trader.core.schema import EventKind, KillSwitchReason, Reason
from trader.engine.batch import RunRecord
from trader.engine.crash_points import reached
from trader.engine.loop import ExecutionLoop, StopCause
from trader.errors import DataError, HaltedError, KilledError, TraderError
from trader.feeds.bargate import BarGate
from trader.feeds.quality import RULES, QualityReport
from trader.feeds.sessions import sessions_per_year
from trader.jobs.backtest import WrittenRun, model_facts
from trader.jobs.paper.facts import config_with_steps
from trader.jobs.paper.guard import (
    CAUGHT_UP,
    CLOCK,
    CLOSED,
    CONNECTIVITY,
    END,
    FAULT,
    HALTED,
    INTERRUPTED,
    KILLED,
    LOST,
    TERMINATED,
)
from trader.jobs.paper.opening import SPOOLS, OpenRun
from trader.jobs.paper.start import Start
from trader.jobs.paper.trading import make_gate, show_in_order
from trader.jobs.report import write_report
from trader.journal import entries as build
from trader.journal import readback
from trader.journal.records import Entry, RecordType
from trader.journal.spool import ingest_spool
from trader.journal.store import read_records
from trader.models.model_card import card_of
from trader.report.artifacts import write_run
from trader.report.breach import breach_text
from trader.report.html.source import Market
from trader.report.metrics import MarketFacts
from trader.report.result import RunResult
from trader.safety import latch, pending
from trader.safety.events import RiskEventHandler, kill_switch_reason

EXIT_CODES = {
    END: 0,
    CLOSED: 0,
    LOST: TraderError.exit_code,  # the one that a supervisor starts again after
    CAUGHT_UP: DataError.exit_code,
    CLOCK: DataError.exit_code,
    TERMINATED: 0,
    INTERRUPTED: 130,
    HALTED: HaltedError.exit_code,
    KILLED: KilledError.exit_code,
    FAULT: KilledError.exit_code,
    CONNECTIVITY: KilledError.exit_code,
}


@dataclass
class PaperResult:
    """How a paper run ended, and what it left."""

    run_id: str
    run_dir: Path
    exit_code: int
    stopped: StopCause
    finished: WrittenRun
    head: str  # of the journal: kept elsewhere, it shows that nothing was cut off or rewritten

    @property
    def is_latched(self) -> bool:
        """Whether a kill holds until it is re-armed."""
        return self.stopped.how in (HALTED, KILLED, FAULT, CONNECTIVITY)


async def stop(opened: OpenRun, loop: ExecutionLoop, stopped: StopCause) -> StopCause:
    """Leave nothing working: what `stopped` asks for, on record. Returns it in plain words."""
    how, text = stopped
    if how in (INTERRUPTED, TERMINATED):
        await loop.cancel_working(Reason.SHUTDOWN)
        return stopped
    if how in (LOST, CLOCK):
        await loop.cancel_working(Reason.FEED_LOST)
    if how in (END, LOST, CLOSED, CLOCK, CAUGHT_UP):
        return stopped
    handler = RiskEventHandler(opened.lease)
    if how == HALTED:
        reason = Reason[text]
        handler.emergency_stop(f"{_limit_reached(opened, reason)}, run {opened.run_id}", reason)
    elif how == CONNECTIVITY:
        handler.emergency_stop(text, KillSwitchReason.CONNECTIVITY_LOSS)
    elif how == FAULT:
        handler.emergency_stop(text, KillSwitchReason.SYSTEM_ERROR)
    await opened.slices.record()  # an error in a backlog leaves slices that are not written
    kills = _in_force(opened, text)
    loop.tell_halted(await opened.slices.halt(Reason.KILLED, _kills(opened, kills)))
    for kill in kills:
        told = {key: kill.get(key) for key in ("kill_id", "code", "reason", "scope", "source")}
        loop.hooks.emit("emergency_stop", **told)
    asking = opened.lease.flatten_asked_by()
    if asking:
        closed = await opened.slices.flatten(asking, loop.tell_closed)
        loop.hooks.emit("error", kind="FLATTENED", text=f"{closed} position(s) closed")
    loop.publish()
    return StopCause(how, _in_words(opened, kills[0]))


def _limit_reached(opened: OpenRun, reason: Reason) -> str:
    """The limit that halted the core: what was observed, what was allowed, its config key."""
    events = opened.slices.engine.record().events
    breaches = events[(events["kind"] == EventKind.LIMIT_BREACH) & (events["reason"] == reason)]
    if not len(breaches) or reason == Reason.KILLED:  # halted from outside: no limit of ours
        return f"trading was halted by {reason.name}"
    return breach_text(reason.name, breaches[-1]["value"], breaches[-1]["limit"])


def _in_force(opened: OpenRun, cause: str) -> list[dict[str, Any]]:
    """The kills in force, oldest first, never none: the core halts, and what halts it is a record.

    A state folder that is gone tells of none, nor does a latch that was opened again meanwhile:
    then it is a stop of this run without a record, which a later start finds in the journal.
    """
    lease = opened.lease
    unrecorded = pending.unrecorded(lease.run_id, lease.folder, [cause])
    kills = lease.kills() or [unrecorded]
    if any(kill["kill_id"] == unrecorded["kill_id"] for kill in kills):
        latch.raise_own_halt(lease.folder, cause)  # where there is a folder still
    return kills


def _in_words(opened: OpenRun, first: dict[str, Any]) -> str:
    """The first kill in force, and how to clear it."""
    again = f"to trade again: trader rearm {first['kill_id']} --reason TEXT"
    if not Path(opened.lease.folder).exists():
        again = f"the state folder {opened.lease.home} is gone: start again, which halts; {again}"
    return f"{first['code']}: {pending.shown(str(first['reason']))}; {again}"


def _kills(opened: OpenRun, kills: list[dict[str, Any]]) -> list[Entry]:
    """KILL records for a stop that no spool file tells of: none if one has been taken in."""
    home = Path(opened.lease.home)
    taken = ingest_spool(opened.journal, *(home / name for name in SPOOLS))
    if any(entry.type == RecordType.KILL for entry in taken):  # an ALERT halts nothing
        return []
    asking = opened.lease.flatten_asked_by()
    return [
        build.kill(
            kill["kill_id"],
            kill_switch_reason(kill["code"]),
            str(kill["reason"]),
            {
                "scope": kill["scope"],
                "source": kill.get("source") or "human",
                "flatten": kill["kill_id"] == asking,
            },
        )
        for kill in kills
    ]


def finish(begun: Start, opened: OpenRun, stopped: StopCause, gate: BarGate) -> PaperResult:
    """RUN_END and the files of the run folder."""
    record = opened.slices.engine.record()
    if opened.earlier is not None:
        record = opened.earlier.whole(record)
    code = EXIT_CODES[stopped.how]
    positions = record.book.positions["qty"].tolist()
    held = dict(zip(begun.config.symbols, positions, strict=True))
    details = {"digest": record.digest, "text": stopped.text}
    reached("before_end")
    end = build.RunEnd(stopped.how, code, held, record.book.account, details)
    opened.journal.append([build.run_end(end)])
    head = str(opened.journal.head)
    reached("after_end")
    opened.journal.close()
    if opened.decisions is not None:
        opened.decisions.close()
    elif opened.earlier is not None:
        opened.earlier.write_decisions(opened.folder, opened.slices.symbols, opened.tally)
    result = _result(begun, opened, record, code, _quality(begun, opened, gate))
    finished = WrittenRun(result, write_run(opened.folder, result))
    if begun.config.report:
        bars = readback.bars_before(opened.journal.path, opened.journal.next_seq)
        market = Market(bars, begun.rules.sessions, begun.config.period_ns)
        write_report(opened.folder, result, market)
    return PaperResult(opened.run_id, opened.folder, code, stopped, finished, head)


def _quality(begun: Start, opened: OpenRun, gate: BarGate) -> dict[str, Any]:
    """data_quality.json: of the files, or of what came live."""
    if begun.history is not None:
        return begun.history.quality.to_dict()
    if begun.snapshot_seq:  # the gate of this process has counted from here on
        before = make_gate(begun)
        seen = readback.bars_before(
            opened.journal.path, begun.facts.last_seq + 1, ("slice", "invalid")
        )
        show_in_order(before, list(seen))
        gate.take_counts(before)
    document = QualityReport(begun.config.feed.quality).to_dict()
    for kind, count in gate.counts.items():
        document["classes"][kind]["count"] = count
        if count:
            document["warnings"].append(f"{count} × {kind} ({RULES[kind]})")
    if begun.feed.skipped:
        text = f"{begun.feed.skipped} × bars up to the last one before the restart, left out"
        document["warnings"].append(text)
    if begun.feed.forming:
        text = f"{begun.feed.forming} × bars that had not closed yet, left out"
        document["warnings"].append(text)
    if begun.feed.untraded:
        text = f"{begun.feed.untraded} × bars of before the start: they warmed features"
        document["warnings"].append(f"{text}, and nothing was decided on them (feed.trade_history)")
    counted = {"missing_bars": gate.missing_bars, "equal_by_last_bit": gate.equal_by_last_bit}
    return {**document, **counted}


def _market(begun: Start, opened: OpenRun, record: RunRecord) -> MarketFacts:
    """First open and last close of every symbol, from the journal and the book."""
    first_open = np.full(len(begun.config.symbols), np.nan)
    for entry in read_records(opened.journal.path, types=("BAR",)):
        for bar in readback.bars_of(entry) if entry.data["use"] == "slice" else ():
            if np.isnan(first_open[bar["symbol"]]):
                first_open[bar["symbol"]] = bar["open"]
        if not np.isnan(first_open).any():
            break
    marks = record.book.positions["mark"]
    last_close = np.where(record.book.positions["bars"] > 0, marks, np.nan)
    return MarketFacts(sessions_per_year(begun.config.risk.market_hours), first_open, last_close)


def _curve(record: RunRecord) -> np.ndarray:
    """EQUITY rows, the last one as it is at the end: after what a kill with `flatten` closed."""
    if not len(record.equity):
        return record.equity
    curve, account = record.equity.copy(), record.book.account[0]
    for name in ("cash", "equity", "gross_exposure"):
        curve[-1][name] = account[name]
    return curve


def _result(
    begun: Start, opened: OpenRun, record: RunRecord, code: int, quality: dict[str, Any]
) -> RunResult:
    order = begun.order
    sources = () if begun.history is None else begun.history.sources
    return RunResult(
        run_id=opened.run_id,
        run_dir=opened.folder,
        command="paper",
        engine="loop",
        command_line=order.command_line,
        started_at=begun.started_at,
        finished_at=datetime.now(UTC),
        exit_code=code,
        config=config_with_steps(begun.config, begun.rules.instruments),
        config_sha256=order.loaded.sha256,
        resolved_yaml=order.loaded.resolved_yaml(),
        sources=[asdict(source) for source in sources],
        model=model_facts(order.loaded, begun.model.files),
        quality=quality,
        bars=int(record.book.account[0]["decisions"]),
        orders=record.orders,
        digest=record.digest,
        tally=opened.tally,
        account=record.book.account[0],
        positions=record.book.positions,
        limits=begun.rules.limits[0],
        fills=record.fills,
        equity=_curve(record),
        events=record.events,
        order_rows=record.order_rows,
        cashflows=record.cashflows,
        fees_due=record.fees_due,
        sessions=begun.rules.sessions,
        market=_market(begun, opened, record),
        timing={},
        model_card=card_of(begun.config),
    )
