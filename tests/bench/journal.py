"""How long a durable append takes, and how fast a journal of a million records is verified.

    python tests/bench/journal.py [--records 1000000] [--dir FOLDER]

Exit 1 when verifying takes longer than 30 s for a million records.

The folder decides: on tmpfs a flush costs nothing, on a disk without a write cache milliseconds.
"""

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.core_kit import always_open, make_rules, random_bars
from tests.journal_kit import PaperRun, StepClock, limited_rules, slices, start_of
from trader.core import schema
from trader.core.book import NO_REQUESTS
from trader.journal import entries as build
from trader.journal.audit.verify import verify
from trader.journal.log import Journal
from trader.journal.records import Entry

SYMBOLS = 500
VERIFY_S_PER_MILLION = 30.0  # the budget
BATCH = 3_000  # records a transaction, while the million is written


def quantiles_ms(work: Callable[[], object], times: int) -> dict[str, float]:
    """p50, p99 and max of `work` in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    picks = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    last = len(took) - 1
    return {name: round(took[min(int(last * q + 0.5), last)], 3) for name, q in picks.items()}


def wide_slice() -> dict[str, list[Entry]]:
    """Entries of one slice of 500 symbols, every one of them ordering."""
    chance = np.random.default_rng(1)
    bars = np.zeros(SYMBOLS, schema.BAR)
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = chance.uniform(10, 500, SYMBOLS)
    bars["bid"] = bars["ask"] = np.nan
    bars["symbol"] = np.arange(SYMBOLS)
    zeros = np.zeros(SYMBOLS, np.int16)
    answer = build.ModelAnswer(bars["symbol"], zeros + 1, zeros, NO_REQUESTS, "f" * 64, 1)
    decisions = np.zeros(SYMBOLS, schema.DECISION)
    decisions["approved_qty"] = chance.uniform(1, 100, SYMBOLS)
    nothing = np.zeros(0, schema.THROTTLE), np.zeros(0, schema.EVENT)
    outcome = build.SliceOutcome(0, decisions, *nothing, np.zeros(1, schema.ACCOUNT))
    order = np.zeros(1, schema.ORDER)[0]
    ids = [f"{number:020d}" for number in range(SYMBOLS)]
    intents = [build.order_intent(i, "ACME", order, -1 - n) for n, i in enumerate(ids)]
    fills = [build.fill(i, i, "ACME", np.zeros(1, schema.FILL)[0]) for i in ids]
    return {
        "inputs_500": [build.bars(bars), build.actions(0, answer)],
        "outputs_500_no_order": [build.decisions(outcome)],
        "outputs_500_all_ordering": [build.decisions(outcome), *intents],
        "outputs_500_all_filled_and_ordering": [*fills, build.decisions(outcome), *intents],
        "outcomes_1000_not_flushed": [
            entry for i in ids for entry in (build.order_sent(i, 1.0, 0), build.order_ack(i, "B"))
        ],
    }


def append_latency(folder: Path) -> dict[str, dict[str, float]]:
    """Latency of appends of several sizes."""
    rules = make_rules(always_open(0, 1), 2)
    journal = Journal.create(folder / "latency.sqlite", start_of(rules), StepClock())
    note = build.alert("BENCH", "x" * 100)
    told = {
        "one_record": quantiles_ms(lambda: journal.append([note]), 500),
        "64_records": quantiles_ms(lambda: journal.append([note] * 64), 200),
    }
    for name, entries in wide_slice().items():
        durable = "not_flushed" not in name
        told[name] = quantiles_ms(lambda e=entries, d=durable: journal.append(e, d), 100)
    state = bytes(930_000)
    account = np.zeros(1, schema.ACCOUNT)
    told["snapshot_500"] = quantiles_ms(
        lambda: journal.append([build.snapshot(state, {}, account)]), 20
    )
    journal.close()
    return told


def big_journal(folder: Path, records: int) -> Path:
    """A real run of one symbol with about `records` records, written in large batches."""
    bars = random_bars(1, max(records // 3, 10), 1)
    run = PaperRun(folder, limited_rules(bars, 1))
    append, waiting = run.journal.append, []

    def in_batches(entries: list[Entry], durable: bool = True) -> int:
        waiting.extend(entries)
        if len(waiting) > BATCH:
            append(waiting, False)
            waiting.clear()
        return run.journal.head.seq

    run.journal.append = in_batches  # type: ignore[method-assign]
    chance = np.random.default_rng(1)
    for part in slices(bars):
        run.feed(part, chance.integers(0, 3, len(part)).astype(np.int8))
        if run.journal.head.seq >= records:
            break
    append(waiting)
    run.journal.append = append  # type: ignore[method-assign]
    run.end()
    return run.path


def main() -> int:
    """Measure and print one JSON document; the exit code."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=1_000_000)
    arguments.add_argument("--dir", type=Path, default=None)
    options = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="trader-bench-", dir=options.dir))
    try:
        told: dict[str, object] = {"machine": platform.platform(), "dir": str(folder)}
        told["append"] = append_latency(folder)
        path = big_journal(folder / "big", options.records)
        began = time.perf_counter()
        report = verify(path)
        took = time.perf_counter() - began
        assert report.ok, report.problems
        told["verify"] = {
            "records": report.records,
            "megabytes": round(path.stat().st_size / 1e6, 1),
            "seconds": round(took, 2),
            "records_per_s": round(report.records / took),
        }
        print(json.dumps(told, indent=2))
        return 0 if took <= VERIFY_S_PER_MILLION * max(1.0, report.records / 1e6) else 1
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
