"""Runs of equal refusals, whatever parts the decisions come in, against a slow twin."""

import numpy as np
import pytest

from tests.report_kit import FIRST_DAY
from trader.core.schema import DECISION, Reason, ThrottleStage
from trader.report.html import refusals as module
from trader.report.html.refusals import refusals
from trader.report.parquet import decision_table
from trader.report.tally import stage_names

NS_PER_MS = 1_000_000
NAMES = ["ACME", "OTHER", "THIRD"]


def random_decisions(seed, count):
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, DECISION)
    rows["ts_ns"] = (FIRST_DAY * 86_400_000 + 60_000 * np.arange(count) // 3) * NS_PER_MS
    rows["symbol"] = rng.integers(0, len(NAMES), count)
    rows["reason"] = rng.choice([0, Reason.WARMUP, Reason.AT_TARGET, Reason.SPREAD], count)
    rows["requested_qty"] = rng.choice([0.0, 0.0, 5.0], count)
    rows["approved_qty"] = rows["requested_qty"] * rng.choice([0.0, 1.0], count)
    rows["throttle"] = rng.choice([0, 0, 0, int(ThrottleStage.SPREAD)], count)
    rows["observed"] = rng.random(count)
    return rows


def parts_of(rows, cuts):
    import pyarrow as pa

    symbols = pa.array(NAMES)
    return [decision_table(part, symbols) for part in np.split(rows, cuts)]


def naive(rows):
    """Every run as the dictionary of its row, in order of its first decision; and how many."""
    found, running, total = [], {}, 0
    for row in rows:
        reason = "" if row["reason"] == Reason.NONE else Reason(row["reason"]).name
        stage = stage_names(int(row["throttle"]))
        if not reason and not stage:
            continue
        total += 1
        if row["requested_qty"] == 0.0:
            outcome = "held"
        elif row["approved_qty"] == 0.0:
            outcome = "denied"
        else:
            outcome = "throttled" if stage else "trimmed"
        symbol, same = NAMES[row["symbol"]], (reason, stage, outcome)
        if symbol in running and running[symbol][0] == same:
            run = running[symbol][1]
            run["to"], run["decisions"] = row["ts_ns"] // NS_PER_MS, run["decisions"] + 1
            continue
        run = {"from": row["ts_ns"] // NS_PER_MS, "to": row["ts_ns"] // NS_PER_MS}
        run |= {"symbol": symbol, "outcome": outcome, "reason": reason or stage, "decisions": 1}
        run |= {"requested": row["requested_qty"], "approved": row["approved_qty"]}
        run |= {"observed": row["observed"], "limit": row["limit"]}
        running[symbol] = same, run
        found.append(run)
    return found, total


def as_rows(found):
    names = list(found.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*found.columns.values(), strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_runs_are_those_of_the_twin_wherever_the_parts_end(seed):
    rows = random_decisions(seed, 400)
    rng = np.random.default_rng(seed + 100)
    cuts = np.sort(rng.integers(0, len(rows), rng.integers(0, 12)))
    found = refusals(parts_of(rows, cuts))
    expected, total = naive(rows)
    assert as_rows(found) == expected
    assert (found.total, found.left_out) == (total, 0)


@pytest.mark.parametrize("most", [1, 20, 90])
def test_what_cost_an_order_is_kept_before_what_held(monkeypatch, most):
    monkeypatch.setattr(module, "MOST_REFUSALS", most)
    rows = random_decisions(3, 400)
    found = refusals(parts_of(rows, [50, 51, 200]))
    expected, _ = naive(rows)
    ranked = sorted(range(len(expected)), key=lambda at: expected[at]["outcome"] == "held")
    assert as_rows(found) == [expected[at] for at in sorted(ranked[:most])]
    assert found.left_out == len(expected) - most


def test_no_decisions_are_no_rows():
    for parts in ([], parts_of(np.zeros(0, DECISION), [])):
        found = refusals(parts)
        assert (found.total, found.left_out) == (0, 0)
        assert set(map(len, found.columns.values())) == {0}
