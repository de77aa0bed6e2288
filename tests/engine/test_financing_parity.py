"""Credit through every path: batch, loop, slice by slice with a journal, replay, audit, restart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core_kit import MINUTE, START, random_bars
from tests.engine.test_exits_parity import as_batch
from tests.engine.test_replay import spoiled
from tests.journal_kit import slices
from tests.replay_kit import SYMBOLS, RecordedRun
from trader.core.book import Inputs
from trader.core.schema import CashflowKind, OrderKind, Reason
from trader.engine.replay import replay
from trader.journal.audit.verify import verify_here

EVENING = 23 * 60 * MINUTE
CREDIT = (
    "risk.max_position_concentration=none",
    "throttle.max_volatility=none",
    "risk.max_position_size=none",
    "risk.max_order_size=none",
    "throttle.max_order_size=none",
    "broker.cash=2000",
    "broker.margin={initial: 0.2, maintenance: 0.15}",
    "broker.borrow_rate=0.5",
    "broker.interest_rate=0.9",
    "risk.allow_margin=true",
    "risk.max_daily_loss=none",
    "throttle.max_spread_bps=none",
    "throttle.max_volume_participation=none",
    "position_sizing={mode: percent_equity, percent: 2.4, allow_short: true}",
)


def wild_bars(seed: int, power: float, count: int = 120) -> np.ndarray:
    """Bars of two symbols across midnight that move by some per cent."""
    bars = random_bars(seed, count, len(SYMBOLS))
    for name in ("open", "high", "low", "close"):
        bars[name] = np.round(100.0 * (bars[name] / 100.0) ** power, 2)
    bars["bid"] = bars["ask"] = np.nan
    bars["ts_ns"] += EVENING
    return bars


def funding(path: Path, bars: np.ndarray) -> Path:
    rows = ["timestamp,symbol,rate"]
    for number, symbol in enumerate((*SYMBOLS, "OTHER")):
        for minute in range(7, 110, 9):
            stamp = np.datetime64(START + EVENING + minute * MINUTE, "ns").astype("datetime64[s]")
            rows.append(f"{stamp}Z,{symbol},{0.0004 * (number - 0.5)}")
    path.write_text("\n".join(rows) + "\n")
    return path


COSTS = {CashflowKind.FUNDING, CashflowKind.BORROW_FEE, CashflowKind.MARGIN_INTEREST}


@pytest.mark.parametrize(
    ("power", "ends", "costs"),
    [(20.0, Reason.NONE, COSTS), (60.0, Reason.BANKRUPT, set())],
)
def test_every_path_gives_the_digest_and_the_cash_flows_of_the_batch(
    tmp_path: Path, power: float, ends: Reason, costs: set[CashflowKind]
) -> None:
    bars = wild_bars(3, power)
    file = funding(tmp_path / "funding.csv", bars)
    run = RecordedRun(tmp_path / "run", *CREDIT, f"broker.funding={file}", bars=bars)
    said = []
    for part in slices(bars):
        said.append(run.answers(part))
        run.feed(part, *said[-1])
        if run.book.account[0]["state_reason"] == Reason.BANKRUPT:
            break
    run.snapshot()
    run.end()
    file.unlink()  # the journal holds what it said
    actions, reasons = np.zeros(len(bars), np.int8), np.zeros(len(bars), np.int16)
    taken = sum(len(one.actions) for one in said)  # after a bankruptcy the batch takes no more
    actions[:taken] = np.concatenate([one.actions for one in said])
    reasons[:taken] = np.concatenate([one.reasons for one in said])
    batch = as_batch(run, Inputs(bars, actions, reasons))
    assert batch.book.account[0]["state_reason"] == ends
    kinds = {OrderKind(int(kind)) for kind in batch.fills["kind"]}
    assert OrderKind.LIQUIDATION in kinds
    assert costs <= {CashflowKind(int(kind)) for kind in batch.cashflows["kind"]}
    assert len(batch.cashflows) == sum(map(len, run.moved))
    assert b"".join(rows.tobytes() for rows in run.moved) == batch.cashflows.tobytes()
    report = replay(run.path)
    assert report.ok, report.divergence
    assert report.digest == batch.digest
    checked = verify_here(run.path)
    assert checked.ok, checked.problems


@pytest.mark.parametrize(("place", "told"), [(1, "is no cost"), (-2, "of symbol")])
def test_a_forged_fee_is_found_by_the_audit(tmp_path: Path, place: int, told: str) -> None:
    """A fee that is received; interest of a symbol."""
    run = RecordedRun(tmp_path / "forged", *CREDIT, bars=wild_bars(3, 20.0)).trade()
    run.end()

    def forge(data: dict[str, Any]) -> None:
        (row,) = [one for one in data["rows"] if one[-1] == CashflowKind.MARGIN_INTEREST]
        row[place] = 1.0 if place == 1 else 0

    spoiled(run.path, "CASHFLOW", forge)
    checked = verify_here(run.path)
    assert not checked.ok
    assert told in str(checked.problems), checked.problems
