"""Which run a start goes on with, by what is on record, and which runs are missed.

Law: the order of runs is that of their records (RUN_START names the run before it), not that of
the wall clock in a folder's name. What the registry, its status file or the config's own anchor
knows of a run is asked before it goes on, and before fresh cash takes its place.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trader.config.sections.running import SYSLOG
from trader.engine.run_facts import OVER
from trader.errors import VerificationError
from trader.jobs.backtest import Order
from trader.journal.anchor import Anchor, anchors_in, parsed_head
from trader.journal.records import JournalError
from trader.journal.store import FILE_NAME, read_records
from trader.report.artifacts import MANIFEST
from trader.report.folder import run_id_stem
from trader.safety import registry, statedir

STAMP_LENGTH = len("20240304T143000Z")


def runs_of_this_name(order: Order) -> list[Path]:
    """The folders of this config's paper runs, the newest name first."""
    found = []
    for folder in order.parent.absolute().glob(f"*{_stem(order)}*"):
        number = _number(folder.name, order)
        if number:
            found.append((folder.name[:STAMP_LENGTH], number, folder))
    return [folder for *_, folder in sorted(found, reverse=True)]


def _stem(order: Order) -> str:
    return run_id_stem("paper", order.loaded.config.name, datetime.now(UTC))[STAMP_LENGTH:]


def _number(run_id: str, order: Order) -> int:
    """Which of several runs of one second it is, from 1; 0 for a run of another config."""
    name, stem = run_id[STAMP_LENGTH:], _stem(order)
    if not name.startswith(stem):
        return 0
    number = name.removeprefix(stem)
    if not number:
        return 1
    is_one = number.startswith("-") and number[1:].isdecimal()
    return int(number[1:]) if is_one else 0  # else its name begins with ours


def journals_of(order: Order) -> list[Path]:
    """The journals of this config's runs, the newest first: each after those it goes back to."""
    paths = [folder / FILE_NAME for folder in runs_of_this_name(order)]
    paths = [path for path in reversed(paths) if path.exists()]
    parents = {path.parent.name: _parent(path) for path in paths}
    depths: dict[str, int] = {}
    for path in paths:
        name = path.parent.name
        depth, above, seen = 0, parents[name], {name}
        if above is None:  # not to be read: as new as any of an older name
            depths[name] = max(depths.values(), default=0)
            continue
        while above in parents and above not in seen:
            seen.add(above)
            depth, above = depth + 1, parents[above] or ""
        depths[name] = depth
    order_by = {path: (depths[path.parent.name], at) for at, path in enumerate(paths)}
    return sorted(paths, key=lambda path: order_by[path], reverse=True)


def _parent(path: Path) -> str | None:
    """The run before it, as RUN_START says; "" for none, None where that cannot be read."""
    try:
        start = next(read_records(path))
        return str(start.data.get("parent_run") or "")
    except (JournalError, OSError, ValueError, StopIteration):
        return None


def cut_off(order: Order) -> Path | None:
    """The journal of the newest run of this name, unless it is over."""
    for path in journals_of(order)[:1]:
        ends = list(read_records(path, types=("RUN_END", "RUN_RESUME")))
        is_over = bool(ends) and ends[-1].type == "RUN_END" and ends[-1].data["reason"] in OVER
        has_results = (path.parent / MANIFEST).exists()  # else it died while it wrote them
        return None if is_over and has_results else path
    return None


def known_heads(order: Order, run_id: str) -> list[Anchor]:
    """What is known of a run's journal from elsewhere: the anchor file, the registry's status."""
    place = order.loaded.config.audit.anchor
    known: list[Anchor] = []
    if isinstance(place, str) and place != SYSLOG and Path(place).is_file():
        known = [anchor for anchor in anchors_in(Path(place)) if anchor.run_id == run_id]
    folder = statedir.run_folder(statedir.home_path(), run_id)
    told = registry.read_json(os.path.join(folder, registry.STATUS)) or {}
    key = "journal_head" if _is_of_this_boot(told.get("ts_ns")) else "journal_durable"
    head = parsed_head(str(told.get(key)))
    if head is not None and head.seq:
        known.append(head._replace(run_id=run_id))
    return known


def _is_of_this_boot(ts_ns: object) -> bool:
    """Whether a moment is later than the last boot: a power cut loses what was not flushed."""
    booted_ns = time.time_ns() - time.clock_gettime_ns(_SINCE_BOOT)
    return isinstance(ts_ns, int) and ts_ns > booted_ns


_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class MissingRun:
    """A run of the registry that was not over, and whose journal is not where it was."""

    run_id: str
    run_dir: str
    told: dict[str, Any]  # its status.json

    @property
    def holds(self) -> str:
        """Positions and working orders, in words; "" for none."""
        positions = self.told.get("positions")
        rows = positions if isinstance(positions, list) else []
        held = [f"{row.get('qty'):g} {row.get('symbol')}" for row in rows if _is_held(row)]
        working = self.told.get("working_orders")
        if isinstance(working, int) and working > 0:
            held.append(f"{working} working order(s)")
        return ", ".join(held)

    def __str__(self) -> str:
        state = self.told.get("trading_state")
        what = f"held {self.holds}" if self.holds else "was flat"
        bound = f", {state}" if state in ("REDUCING", "HALTED") else ""
        gone = f"{FILE_NAME} is gone from {self.run_dir}"
        return f"run {self.run_id} was not over ({what}{bound}), and {gone}"


def _is_held(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("qty"), (int, float))


def missed_runs(order: Order) -> Iterator[MissingRun]:
    """Runs of this name and folder that the registry knows and the disk does not."""
    home = statedir.home_path()
    parent = os.path.realpath(order.parent)
    for run in registry.all_runs(home):
        entry = run.entry or registry.left(run)[0]
        run_dir = entry.get("run_dir")
        if run.alive or not isinstance(run_dir, str) or not _number(run.run_id, order):
            continue
        told = registry.read_json(os.path.join(run.folder, registry.STATUS)) or {}
        is_here = os.path.realpath(os.path.dirname(run_dir)) == parent
        if is_here and told and not os.path.exists(os.path.join(run_dir, FILE_NAME)):
            yield MissingRun(run.run_id, run_dir, told)


def require_none_missed(missed: list[MissingRun]) -> None:
    """`VerificationError` where a run that held something, or was limited, is gone."""
    for one in missed:
        if one.holds or one.told.get("trading_state") in ("REDUCING", "HALTED"):
            raise VerificationError(
                f"{one}: bring the folder back, or start fresh, with new cash, with --new"
            )
