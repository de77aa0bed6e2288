"""How far two runs are apart: which round trips only one of them made, how their equity differs.

Law: a round trip is the same where symbol, side, times, quantity and prices are; equity is compared
at the instants that both curves have. Differences are the other run less the first.
"""

from pathlib import Path
from typing import Any

import numpy as np

from trader.moments import iso_utc
from trader.report.frames import FolderTables

SAME_TRADE = ("symbol", "side", "entry_time", "exit_time", "qty", "entry_price", "exit_price")
EXAMPLES = 3


def trades_apart(first: Path, other: Path) -> dict[str, Any]:
    """Counts and P&L of the round trips that both made, or one of them alone; the first few."""
    frames = [FolderTables(folder).trades() for folder in (first, other)]
    keys = list(SAME_TRADE)
    numbered = [frame.assign(again=frame.groupby(keys).cumcount()) for frame in frames]
    left, right = numbered
    joined = left.merge(
        right, on=[*keys, "again"], how="outer", indicator="where", suffixes=("", "_other")
    )
    alone = {
        "first": joined[joined["where"] == "left_only"],
        "other": joined[joined["where"] == "right_only"],
    }
    document: dict[str, Any] = {"shared": int((joined["where"] == "both").sum())}
    for name, found in alone.items():
        pnl = found["pnl" if name == "first" else "pnl_other"]
        rows = found.assign(pnl=pnl).sort_values(["entry_time", "symbol"])
        document[f"only_{name}"] = len(rows)
        document[f"only_{name}_pnl"] = float(pnl.sum())
        document[f"only_{name}_begin"] = [
            {
                "symbol": row["symbol"],
                "side": row["side"],
                "entry_time": iso_utc(row["entry_time"].value),
                "exit_time": iso_utc(row["exit_time"].value),
                "pnl": float(row["pnl"]),
            }
            for row in rows.head(EXAMPLES).to_dict("records")
        ]
    return document


def equity_apart(first: Path, other: Path) -> dict[str, Any]:
    """The largest difference of the equity curves, when it was, and the one at the end."""
    curves = [FolderTables(folder).equity() for folder in (first, other)]
    times, others = (frame["timestamp"].astype("int64").to_numpy() for frame in curves)
    shared, mine, theirs = np.intersect1d(times, others, assume_unique=True, return_indices=True)
    document: dict[str, Any] = {"shared_slices": len(shared), "largest": None, "largest_at": None}
    document |= {"at_end": None}
    if len(shared) == 0:
        return document
    values = [
        frame["equity"].to_numpy()[rows] for frame, rows in zip(curves, (mine, theirs), strict=True)
    ]
    gap = values[1] - values[0]
    row = int(np.argmax(np.abs(gap)))
    return document | {
        "largest": float(gap[row]),
        "largest_at": iso_utc(int(shared[row])),
        "at_end": float(gap[-1]),
    }
