"""Where a `trader.Run` has its numbers from: this process, or a folder."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trader.core.schema import DECISION
from trader.jobs.backtest import WrittenRun
from trader.record_arrays import copied, joined
from trader.report.document import summary_document
from trader.report.frames import FolderTables, MemoryTables, RunTables
from trader.report.result import RunResult
from trader.report.runs import StoredRun


class DecisionKeeper:
    """A sink that keeps the rows of a run."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        self._parts.append(copied(rows))

    def all(self) -> np.ndarray:
        return joined(self._parts, DECISION)


class FinishedRun:
    """A run that this process made."""

    def __init__(self, finished: WrittenRun, decisions: DecisionKeeper) -> None:
        self.result: RunResult = finished.result
        self.path = self.result.run_dir if self.result.run_dir != Path() else None
        self.tables: RunTables = MemoryTables(self.result, decisions.all)
        self.digest = self.result.digest
        self._timing = finished.timing
        self._market = finished.market
        self._decisions = decisions

    def page(self) -> str:
        from trader.jobs.report import memory_report

        return memory_report(self.result, self._decisions.all(), self._market)

    @cached_property
    def document(self) -> dict[str, Any]:
        return summary_document(self.result, self._timing)


class RunOnDisk:
    """A run read from its folder."""

    def __init__(self, stored: StoredRun) -> None:
        self.path: Path | None = stored.path
        self.document = stored.document()
        self.digest = str(self.document["digest"])
        self.tables: RunTables = FolderTables(stored.path)
        self._stored = stored

    def page(self) -> str:
        from trader.jobs.report import stored_report

        return stored_report([self._stored])
