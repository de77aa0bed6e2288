"""What an hour beside a loopback venue came to: figures, and what was wrong.

Wrong is: a bar twice or out of order; a bar of the venue's that is neither there nor told as a gap;
a bar with other values than the venue's that no REVISED tells, but for the last ones, which REST
has not been asked for again; a bar of a hole that was decided on; memory that grows; a run that did
not end as it was asked to.
"""

import json
from collections import Counter

from trader.core.schema import BAR_HISTORY, BAR_PROOF_BITS, BarProof, Reason
from trader.feeds.final_bars import REMEMBERED
from trader.feeds.revised import bar_key
from trader.journal import readback
from trader.journal.store import read_records

S = 1_000_000_000
INTERRUPTED = 130
WARM = 0.25  # share of the time since the first bar after which memory is to be flat
GROWTH_MB = 24.0


def share(values, part):
    """The value that `part` of them do not exceed."""
    ordered = sorted(values)
    return round(ordered[min(int(len(ordered) * part), len(ordered) - 1)], 1) if ordered else None


class Recorded:
    """What the journal of one run holds."""

    def __init__(self, path):
        self.bars = {}  # (symbol, close_ns) -> row traded on
        self.again, self.revised, self.alerts = [], {}, Counter()
        self.decided_ms, self.traded, self.newest = {}, {}, {}
        self.orders, self.is_begun = 0, False
        self.began_s = None  # by our clock; a start may have to compile
        rows, is_live = [], False
        for record in read_records(path):
            if record.type == "BAR":
                self.began_s = self.began_s or record.wall_ns / 1e9
                found = readback.bars_of(record)
                use = record.data["use"]
                if use == "slice":
                    rows = found
                    self._slice(found)
                elif use in ("revised", "late"):
                    for row in found:
                        self.revised[bar_key(row)] = values(row)
            elif record.type == "ACTION":
                is_live = self._actions(rows, readback.actions_of(record))
            elif record.type == "DECISION" and is_live:
                late_ms = (record.wall_ns - record.event_ns) / 1e6
                self.is_begun = self.is_begun or late_ms < 1000.0  # no longer the start's backlog
                if self.is_begun:
                    self.decided_ms.setdefault(worst_proof(rows), []).append(late_ms)
            elif record.type == "ORDER_SENT":
                self.orders += 1
            elif record.type == "ALERT":
                self.alerts[record.data["kind"]] += 1

    def _slice(self, rows):
        for row in rows:
            key = bar_key(row)
            if key in self.bars or key[1] < self.newest.get(key[0], 0):
                self.again.append(key)
            self.bars[key], self.newest[key[0]] = row, key[1]

    def _actions(self, rows, actions):
        """Which of the bars were decided on; whether all were."""
        for row, action in zip(rows, actions, strict=True):
            key = bar_key(row)
            self.traded[key] = int(action["reason"]) not in (Reason.DATA_HISTORY, Reason.WARMUP)
        return all(not row["flags"] & BAR_HISTORY for row in rows)


def values(row):
    return [float(row[name]) for name in ("open", "high", "low", "close", "volume")]


def holes(faults):
    """[(from_s, to_s)] in which neither line nor REST gave anything."""
    found, began_s = [], None
    for name, value, at_s in faults:
        if name == "maintenance":
            if value:
                began_s = at_s
            elif began_s is not None:
                found.append((began_s, at_s))
                began_s = None
    return found


def compared(recorded, truth, period_s=1):
    """(bars that are as the venue has them, why others differ, bars that are missing)"""
    equal, why, missing = 0, Counter(), []
    for symbol, rows in enumerate(truth):
        mine = {ts: row for (index, ts), row in recorded.bars.items() if index == symbol}
        if not mine:
            continue
        first, last = min(mine), max(mine)
        for open_s, *true in rows:
            close_ns = (open_s + period_s) * S
            if not first <= close_ns <= last:
                continue
            row = mine.pop(close_ns, None)
            if row is None:
                if true[4] > 0:
                    missing.append((symbol, open_s))
            elif values(row) == true:
                equal += 1
            elif recorded.revised.get((symbol, close_ns)) == true:
                why["revised, and recorded so"] += 1
            elif close_ns > last - REMEMBERED * period_s * S:
                why["to be asked again"] += 1
            else:
                why[f"other values, {proof_of(row)}"] += 1
        for ts in mine:
            why["of no bar of the venue"] += first <= ts <= last
    return equal, why, missing


def figures(folder):
    """(figures, [what is wrong]) of one venue's folder."""
    seen = json.loads((folder / "seen.json").read_text())
    (path,) = folder.glob("runs/*/journal.sqlite")
    recorded = Recorded(path)
    equal, why, missing = compared(recorded, seen["truth"], seen["period_s"])
    wrong = []
    if recorded.again:
        wrong.append(f"{len(recorded.again)} bars twice: {recorded.again[:3]}")
    for told, count in why.items():
        if count and told not in ("revised, and recorded so", "to be asked again"):
            wrong.append(f"{count} bars {told}")
    late_told = [
        key for key in missing if (key[0], (key[1] + seen["period_s"]) * S) in recorded.revised
    ]
    gone = sorted(set(missing) - set(late_told))
    if gone and not recorded.alerts["FEED_GAP"]:
        wrong.append(f"{len(gone)} bars are not there and no gap was told: {gone[:3]}")
    late = [
        key
        for from_s, to_s in holes(seen["faults"])
        for key, is_traded in recorded.traded.items()
        if is_traded and from_s < key[1] / S <= to_s - 0.2
    ]
    if late:
        wrong.append(f"{len(late)} bars of a hole were decided on: {late[:3]}")
    memory = [mb for _, mb in seen["memory"]]
    working = [mb for at_s, mb in seen["memory"] if at_s >= (recorded.began_s or 0.0)]
    warm = working[int(len(working) * WARM) :]
    growth = (warm[-1] - warm[0]) if warm else 0.0
    if growth > GROWTH_MB:
        wrong.append(f"memory grew by {growth:.0f} MiB")
    if seen["code"] != INTERRUPTED:
        wrong.append(f"exit code {seen['code']}")
    proofs = Counter(proof_of(row) for row in recorded.bars.values())
    found = {
        "venue": seen["venue"], "seed": seen["seed"], "bars": len(recorded.bars),
        "decided_on": sum(recorded.traded.values()), "orders": recorded.orders,
        "equal": equal, "differ": dict(why), "recorded_late": len(late_told), "missing": len(gone),
        "closed_known_by": dict(proofs), "alerts": dict(recorded.alerts),
        "faults": dict(Counter(name for name, value, _ in seen["faults"] if value)),
        "close_to_decided_ms": {
            proof: {f"p{round(part * 100)}": share(ms, part) for part in (0.5, 0.9, 0.99)}
            for proof, ms in recorded.decided_ms.items()
        },
        "memory_mb": {"first": round(memory[0]) if memory else None,
                      "after_quarter": round(warm[0]) if warm else None,
                      "last": round(warm[-1]) if warm else None},
        "requests": seen["counts"],
    }  # fmt: skip
    return found, wrong


def proof_of(row):
    """How a bar was known to be closed."""
    bits = int(row["flags"]) & BAR_PROOF_BITS
    return BarProof(bits).name if bits else "no proof"


def worst_proof(rows):
    """How the bar of a slice that took longest to be known was known: by REST, if any was."""
    proofs = {proof_of(row) for row in rows}
    return "REST" if "REST" in proofs else min(proofs)
