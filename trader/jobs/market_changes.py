"""A run's bars beside a later download: what `trader parity --history` tells.

It judges nothing: a market may correct a bar after it closed; a run has traded what was known.
"""

from pathlib import Path
from typing import Any

from trader.config.schema import Config
from trader.errors import DataError
from trader.feeds.revised import bar_key
from trader.jobs.history_store import NAMES, HistoryStore
from trader.journal import readback
from trader.journal.store import read_records
from trader.moments import iso_utc

SHOWN = 100
Values = list[float]


def market_changes(journal: Path, config: Config, folder: Path) -> dict[str, Any]:
    """What the bars under `folder` (`DIR/EXCHANGE` of a download) say otherwise than the journal.

    `told`: of those, the ones that the market corrected while the run was there to see it.
    """
    traded, told = _recorded(journal)
    compared, missing, changed = 0, 0, []
    for index, symbol in enumerate(config.symbols):
        store = HistoryStore(folder / symbol / f"{config.bar_period_seconds:g}s")
        rows = {bar.open_ns + config.period_ns: list(bar[1:]) for bar in store.bars()}
        if not rows:
            raise DataError(f"{store.folder} holds no bars of {symbol}: `trader data download`")
        for (of, close_ns), values in traded.items():
            if of != index:
                continue
            now = rows.get(close_ns)
            compared += now is not None
            missing += now is None
            if now is not None and now != values:
                pairs = zip(NAMES, values, now, strict=True)
                changed.append(
                    {
                        "symbol": symbol,
                        "close": iso_utc(close_ns),
                        "told": told.get((of, close_ns)) == now,
                        "run, history": {name: [a, b] for name, a, b in pairs if a != b},
                    }
                )
    return {
        "compared": compared,
        "not_in_history": missing,
        "changed": len(changed),
        "told": sum(one["told"] for one in changed),
        "changes": changed[:SHOWN],
    }


def _recorded(journal: Path) -> tuple[dict[tuple[int, int], Values], dict[tuple[int, int], Values]]:
    """(bars traded on, the newest correction of each), by symbol and close."""
    traded: dict[tuple[int, int], Values] = {}
    told: dict[tuple[int, int], Values] = {}
    for record in read_records(journal, types=("BAR",)):
        found = {"slice": traded, "revised": told}.get(record.data["use"])
        if found is not None:
            for row in readback.bars_of(record):
                found[bar_key(row)] = [float(row[name]) for name in NAMES]
    return traded, told
