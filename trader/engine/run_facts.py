"""What a run must remember beside its book: kills in force, bad bars, which bars it traded on.

Law: it follows from the records, in their order, whether they are read again (`take`) or are being
written (`take_slice`, `refuse`). A SNAPSHOT carries what is left of it for the next process.
"""

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from trader.engine.quarantine import Quarantine
from trader.journal import readback
from trader.journal.records import Record

TRADED = "slice"  # `use` of the bars that were traded on
OVER = ("end", "caught_up")  # reasons of a RUN_END that nothing follows; others are taken up again


class RunFacts:
    """Facts of a run so far."""

    def __init__(self, keeps_bars: bool = False) -> None:
        """`keeps_bars`: those of the records read, in `bars` and `refused`."""
        self.bars: list[np.ndarray] = []  # BAR, a slice each
        self.refused: list[tuple[str, np.ndarray]] = []  # use, BAR row
        self.quarantine = Quarantine()
        self.kills: dict[str, Mapping[str, Any]] = {}  # in force: id → its record
        self.end = ""  # reason of a RUN_END that nothing follows
        self.traded = 0  # bars
        self.last_ns: int | None = None  # close of the last slice
        self.last_wall_ns = 0  # when its actions were recorded
        self.last_seq = 0
        self.session: int | None = None  # of the newest snapshot; without one, of the first slice
        self._keeps_bars = keeps_bars
        self._sha: Any = hashlib.sha256()  # None until the bars before a snapshot are shown
        self._sha_before = ""
        self._refused_symbol = -1

    def take(self, record: Record, data: dict[str, Any]) -> None:
        """One record that is read; of the slices only what `take_slice` does not see."""
        self.last_seq = record.seq
        kind = record.type
        if kind == "BAR":
            self.end = ""
            if data["use"] != TRADED:
                rows = readback.bars_of(record)
                self._refused_symbol = int(rows[0]["symbol"])
                if self._keeps_bars:
                    self.refused.append((data["use"], rows))
        elif kind == "ACTION":
            self.last_wall_ns = record.wall_ns
        elif kind == "ALERT" and data["kind"] == "BAD_BAR":
            # a journal of before they named the symbol: that of the bar before
            self.refuse(data.get("symbol", self._refused_symbol))
        elif kind in ("KILL", "REARM"):
            self.take_stop(kind, data)
        elif kind in ("RUN_RESUME", "RUN_END"):
            self.end = data["reason"] if kind == "RUN_END" else ""

    def take_stop(self, kind: str, data: Mapping[str, Any]) -> None:
        """A KILL or a REARM."""
        if kind == "KILL":
            self.kills[data["kill_id"]] = data
        else:
            self.kills.pop(data["kill_id"], None)

    def take_slice(self, bars: np.ndarray) -> None:
        """The bars of a slice that is run."""
        self.quarantine.accept()
        self.quarantine.held(bars["symbol"].tolist())
        self.show(bars)
        if self._keeps_bars:
            self.bars.append(bars)

    def show(self, bars: np.ndarray) -> None:
        """Bars that were traded on, in order: they count, and are hashed."""
        if self._sha is not None:
            self._sha.update(bars.tobytes())
        self.traded += len(bars)
        if len(bars):
            self.last_ns = int(bars[-1]["ts_ns"])

    def refuse(self, symbol: int) -> None:
        """A bad bar came, of that symbol."""
        self.quarantine.refuse(symbol)

    def go_on_from(self, bars: int, bars_sha: str) -> None:
        """Begin at a SNAPSHOT, which says so of the bars before it."""
        self.traded, self._sha, self._sha_before = bars, None, bars_sha

    def show_earlier(self, bars: np.ndarray) -> bool:
        """The bars before the snapshot; False if they are not those that were traded on."""
        sha = hashlib.sha256(bars.tobytes())
        if sha.hexdigest() != self._sha_before:
            return False
        for later in self.bars:
            sha.update(later.tobytes())
        self._sha = sha
        return True

    def keep_bars(self) -> None:
        """Keep the bars of what comes."""
        self._keeps_bars = True

    def forget_bars(self) -> None:
        """Whoever goes on has seen them: no more are kept."""
        self.bars, self.refused, self._keeps_bars = [], [], False

    @property
    def is_over(self) -> bool:
        """Whether the feed had ended: there is nothing to go on with."""
        return self.end in OVER

    def own_quarantine(self) -> Quarantine:
        """The bad bars so far, for somebody who goes on counting by himself."""
        return copy.deepcopy(self.quarantine)

    def snapshot_fields(self) -> dict[str, Any]:
        """What a SNAPSHOT says of them."""
        fields: dict[str, Any] = {"bars": self.traded, **self.quarantine.fields()}
        if self._sha is not None:
            fields["bars_sha"] = self._sha.copy().hexdigest()
        return fields
