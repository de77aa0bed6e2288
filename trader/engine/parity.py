"""A paper run's recorded bars through the whole batch path, compared decision by decision.

Law: features, actions and decisions are made anew, by the functions of a backtest; the journal
gives the bars alone. Two things a backtest cannot know are taken as recorded: a HOLD that came
from outside the model (a timeout, stale data), and that a run was stopped. Both are counted and
said; after an operator's kill or a refusal by the gate nothing more can be compared.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from trader.core.book import Inputs, Rules
from trader.core.schema import (
    BAR,
    DECISION,
    REQUEST,
    OrderKind,
    Reason,
    TradingAction,
    TradingState,
)
from trader.engine.batch import RowKeeper, run_history
from trader.engine.needs_position import answers_in_turn
from trader.engine.rebuild import TRADED
from trader.engine.recorded import Divergence, DivergenceError, OldRounding, Where
from trader.features.forward_prices import ForwardPrices
from trader.finer_bars import NO_DETAIL, Detail
from trader.journal import readback
from trader.journal.records import JournalError, Record
from trader.journal.rows import ACTION_ROW, Layouts, recorded_layouts
from trader.journal.store import read_records
from trader.models.model import Model, predict_actions
from trader.models.model_rows import HistoryRows, shape_of_model
from trader.models.prediction import Prediction, no_requests
from trader.record_arrays import joined, taken

SEEN = (TRADED, "history")  # `use` of the bars that features are made of
# reasons that come out of the batch path itself
OWN = tuple(map(int, (Reason.NONE, Reason.WARMUP, Reason.BELOW_THRESHOLD, Reason.FILTERED)))
STOPS = ("ORDER_ABORTED", "CANCEL_INTENT", "KILL")  # what a backtest cannot know of
READ = ("RUN_START", "BAR", "ACTION", "DECISION", "FILL", *STOPS)


class BatchFeatures(Protocol):
    """What parity needs of a FeatureSet."""

    def batch(self, bars: np.ndarray) -> np.ndarray: ...


@dataclass
class ParityReport:
    """What was compared. `divergence` is None if the backtest does what the run did."""

    run_id: str
    digest: str = ""  # of the batch path over the bars compared
    slices: int = 0
    bars: int = 0
    decisions: int = 0
    fills: int = 0
    recorded_bars: int = 0  # traded on in the whole run; more than `bars` after a stop
    held_from_outside: dict[str, int] = field(default_factory=dict)  # reason → bars
    stopped_at: int | None = None  # seq of the record after which nothing can be compared
    stopped_by: str | None = None
    divergence: Divergence | None = None
    rounded: Divergence | None = None  # as in `ReplayReport`

    @property
    def ok(self) -> bool:
        return self.divergence is None


@dataclass
class RecordedSlices:
    """A run's slices as recorded: one element of the lists per slice."""

    start: Record
    layouts: Layouts
    seen: list[np.ndarray] = field(default_factory=list)  # BAR, also bars not traded on
    bars: list[np.ndarray] = field(default_factory=list)  # BAR
    finer: list[np.ndarray] = field(default_factory=list)  # BAR: of each bar, not of each slice
    actions: list[np.ndarray] = field(default_factory=list)  # ACTION_ROW, in the bars' order
    requests: list[np.ndarray] = field(default_factory=list)  # REQUEST, the same
    asked: list[Record] = field(default_factory=list)  # the ACTION records
    decided: list[Record] = field(default_factory=list)  # the DECISION records
    fills: list[Record] = field(default_factory=list)
    stop: Record | None = None
    later_bars: int = 0  # traded on after the stop


def read_run(path: Path) -> RecordedSlices:
    """The slices of a journal up to the first stop that a backtest cannot know of."""
    records = read_records(path, types=READ)
    start = next(records, None)
    if start is None or start.type != "RUN_START":
        raise JournalError("the journal does not begin with RUN_START")
    run = RecordedSlices(start, recorded_layouts(start.data["layouts"]))
    bars: list[Record] = []
    fills: list[Record] = []
    asked: Record | None = None
    for record in records:
        if record.type == "BAR":
            use = record.data["use"]
            if use == TRADED and (asked is not None or _is_later(record, bars)):
                bars, asked = [], None  # inputs recorded again after a crash count once
            if use == TRADED:
                bars.append(record)
            elif use in SEEN:
                run.seen.append(readback.bars_of(record))
        elif record.type == "ACTION":
            asked = record
        elif record.type == "FILL" and "fill" in record.data:
            fills.append(record)
        elif record.type == "DECISION" and asked is not None:
            _add(run, bars, asked, record)
            run.fills += fills
            bars, fills, asked = [], [], None
        elif record.type in STOPS and not _halted_itself(run, record):
            run.stop = record
            run.later_bars = _traded_bars(records, bars)
            break
    return run


def _traded_bars(records: Iterator[Record], pending: list[Record]) -> int:
    """How many different bars were to be traded on at the stop (`pending`) and after it."""
    later = (one for one in records if one.type == "BAR" and one.data["use"] == TRADED)
    bars = [readback.bars_of(record) for record in itertools.chain(pending, later)]
    return len(np.unique(joined(bars, BAR)[["ts_ns", "symbol"]]))


def _halted_itself(run: RecordedSlices, record: Record) -> bool:
    """Whether a KILL only follows from a limit that the core had halted on: so does a backtest."""
    if record.type != "KILL" or not run.decided:
        return False
    account = readback.outcome_of(run.decided[-1], run.layouts).account
    return bool(account[0]["trading_state"] == TradingState.HALTED)


def _is_later(record: Record, bars: list[Record]) -> bool:
    return bool(bars) and record.event_ns != bars[-1].event_ns


def _add(run: RecordedSlices, shown: list[Record], asked: Record, decided: Record) -> None:
    bars = np.concatenate([readback.bars_of(record) for record in shown])
    finer = [part for record in shown for part in readback.finer_of(record)]
    places = np.argsort(bars["symbol"], kind="stable")
    bars = bars[places]
    actions = readback.actions_of(asked)
    order = np.argsort(actions["symbol"], kind="stable")
    actions = actions[order]
    requests = readback.requests_of(asked)
    if not np.array_equal(actions["symbol"], bars["symbol"]):
        raise JournalError(f"record {asked.seq}: actions are not for the bars before them")
    run.seen.append(bars)
    run.bars.append(bars)
    run.finer += [finer[place] for place in places.tolist()]
    run.actions.append(actions)
    run.requests.append(requests[order] if len(requests) else no_requests(len(actions)))
    run.asked.append(asked)
    run.decided.append(decided)


def parity(path: Path, rules: Rules, features: BatchFeatures, model: Model) -> ParityReport:
    """Send the bars of the journal at `path` through the batch path and compare.

    Raises `JournalError`, and what features and model raise.
    """
    run = read_run(path)
    report = ParityReport(run.start.data["run_id"], slices=len(run.bars))
    if run.stop is not None:
        report.stopped_at, report.stopped_by = run.stop.seq, run.stop.type
    try:
        _compare(run, (rules, features, model), report)
    except DivergenceError as diverged:
        report.divergence = diverged.divergence
    return report


def _compare(
    run: RecordedSlices, made_of: tuple[Rules, BatchFeatures, Model], report: ParityReport
) -> None:
    rules, features, model = made_of
    symbols = tuple(run.start.data["symbols"])
    bars = joined(run.bars, BAR)
    recorded = joined(run.actions, ACTION_ROW)
    report.bars = len(bars)
    report.recorded_bars = len(bars) + run.later_bars
    prices = ForwardPrices(rules.adjustments, int(rules.broker[0]["period_ns"]))
    outside = ~np.isin(recorded["reason"], OWN)
    detail = Detail.of(run.finer) if any(map(len, run.finer)) else NO_DETAIL
    known = Inputs(bars, recorded["action"], np.where(outside, recorded["reason"], 0))
    known = known._replace(finer=detail.finer, edges=detail.edges)
    actions, reasons, requests = _answers(run, known, features, (model, prices, rules))
    codes, counts = np.unique(recorded["reason"][outside], return_counts=True)
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        report.held_from_outside[Reason(code).name] = count
    actions[outside], reasons[outside] = recorded["action"][outside], recorded["reason"][outside]
    requests = _requests(run, requests, outside)
    _compare_actions(run, Prediction(actions, reasons, requests), symbols)
    kept: list[np.ndarray] = []
    keeper = RowKeeper(max(len(bars), 1), (lambda rows: kept.append(rows.copy()),))
    result = run_history(rules, Inputs(bars, actions, reasons, requests, *detail), keeper)
    report.digest = result.digest
    fills = result.fills[result.fills["kind"] != OrderKind.DELISTED]  # that is a cash flow
    made = joined(kept, DECISION), fills, result.equity
    report.rounded = _compare_slices(run, made, symbols)
    report.decisions, report.fills = len(bars), len(result.fills)


def _answers(
    run: RecordedSlices,
    known: Inputs,
    features: BatchFeatures,
    asked: tuple[Model, ForwardPrices, Rules],
) -> Prediction:
    """What the batch path says of the bars that were traded on. `known` are they, with their
    actions; those that were overruled from outside have a reason."""
    bars = known.bars
    seen = joined(run.seen, BAR)
    order = np.lexsort((seen["symbol"], seen["ts_ns"]))
    seen = taken(seen, order)
    again = (seen["ts_ns"][1:] == seen["ts_ns"][:-1]) & (seen["symbol"][1:] == seen["symbol"][:-1])
    seen = seen[np.concatenate([[True], ~again])] if len(seen) else seen
    matrix = features.batch(seen)
    keys = set(zip(bars["ts_ns"].tolist(), bars["symbol"].tolist(), strict=True))
    present = zip(seen["ts_ns"].tolist(), seen["symbol"].tolist(), strict=True)
    traded = np.array([key in keys for key in present], bool)
    model, prices, rules = asked
    shape = shape_of_model(model)
    questions = HistoryRows(shape, seen, matrix, np.flatnonzero(traded))
    if shape.needs_position:
        recorded = known._replace(requests=joined(run.requests, REQUEST))
        return answers_in_turn(rules, model, recorded, questions)
    return predict_actions(model, prices.take(seen)[traded], questions)


def _compare_actions(run: RecordedSlices, answers: Prediction, symbols: tuple[str, ...]) -> None:
    actions, reasons, requests = answers
    row = 0
    for slice_at, (recorded, record) in enumerate(zip(run.actions, run.asked, strict=True)):
        rows = slice(row, row + len(recorded))
        row = rows.stop
        for index in np.flatnonzero(
            (recorded["action"] != actions[rows]) | (recorded["reason"] != reasons[rows])
        ):
            mine = int(actions[rows][index]), int(reasons[rows][index])
            theirs = int(recorded[index]["action"]), int(recorded[index]["reason"])
            name = symbols[int(recorded[index]["symbol"])]
            Where(record, symbols).differs("action", _answer(*theirs), _answer(*mine), name)
        theirs_asked = run.requests[slice_at]
        mine_asked = requests[rows] if len(requests) else no_requests(len(recorded))
        Where(record, symbols).require_rows("request", theirs_asked, mine_asked)


def _requests(run: RecordedSlices, made: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """What came beside the actions, where it was from outside the model as recorded."""
    recorded = joined(run.requests, REQUEST)
    if not len(made) and not np.any(recorded.view(np.float64) == recorded.view(np.float64)):
        return made
    made = made if len(made) else no_requests(len(recorded))
    made[outside] = recorded[outside]
    return made


def _compare_slices(
    run: RecordedSlices, made: tuple[np.ndarray, np.ndarray, np.ndarray], symbols: tuple[str, ...]
) -> Divergence | None:
    """Decisions and account slice by slice, then fills, as the batch path made them; the first
    place where an older journal is rounded otherwise."""
    (decisions, fills, equity), row = made, 0
    rounding = OldRounding.of(run.start, run.layouts)
    for index, record in enumerate(run.decided):
        outcome, where = readback.outcome_of(record, run.layouts), Where(record, symbols, rounding)
        rows = slice(row, row + len(run.bars[index]))
        row = rows.stop
        where.require_rows("decision", outcome.decisions, decisions[rows])
        for name in ("ts_ns", "cash", "equity", "gross_exposure", "trading_state"):
            recorded, batch = outcome.account[0][name].item(), equity[index][name].item()
            where.require(f"account {name}", recorded, batch)
    for index, record in enumerate(run.fills):
        theirs = readback.fill_of(record, run.layouts)
        Where(record, symbols, rounding).require_rows("fill", theirs, fills[index : index + 1])
    if len(fills) > len(run.fills) and run.decided:
        where = Where(run.decided[-1], symbols)
        where.differs("number of fills", len(run.fills), len(fills))
    return None if rounding is None else rounding.first


def _answer(action: int, reason: int) -> str:
    name = TradingAction(action).name
    return name if reason == Reason.NONE else f"{name} ({Reason(reason).name})"
