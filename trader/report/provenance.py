"""manifest.json: what exactly ran, on what, where, and how it ended.

Law: enough to run it again and to know that it was the same: versions, hashes of config, data,
model and code, seed, fill rule, digest. No user or host name: a run folder can be handed on.
"""

import hashlib
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import trader
from trader.config.registry import packages_used
from trader.report.document import timing_block
from trader.report.result import RunResult

FORMAT = 1  # of the run folder; raised when an old reader would misread it
PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "skops",
    "TA-Lib",
    "exchange_calendars",
    "pydantic",
)
SOURCES_ROOT = Path(__file__).resolve().parents[1]


def manifest(result: RunResult, timing: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The manifest of a run, as a JSON-ready mapping."""
    return {
        "format": FORMAT,
        "run_id": result.run_id,
        "name": result.config.name,
        "command": result.command,
        "engine": result.engine,
        "command_line": list(result.command_line),
        "started_at": _wall_clock(result.started_at),
        "finished_at": _wall_clock(result.finished_at),
        "exit_code": result.exit_code,
        "trading_state": result.risk["trading_state"],
        "digest": result.digest,
        "seed": result.config.seed,
        "fill_rule": result.config.broker.fill,
        "market_hours": result.config.risk.market_hours,
        "symbols": list(result.symbols),
        "config_sha256": result.config_sha256,
        "code_sha256": code_sha256(),
        "model": dict(result.model),
        **({} if result.model_card is None else {"model_card": dict(result.model_card)}),
        **({} if result.in_sample is None else {"in_sample": dict(result.in_sample)}),
        "data": [dict(source) for source in result.sources],
        "counts": {
            "bars": result.bars,
            "slices": result.slices,
            "decisions": result.tally.decisions,
            "orders": result.orders,
            "fills": len(result.fills),
            "denied": result.tally.denied,
            "throttled": result.tally.throttled,
        },
        "risk": result.risk,
        "timing": timing_block({**result.timing, **(timing or {})}),
        "versions": versions(),
        "host": host_facts(),
    }


def _wall_clock(moment: Any) -> str:
    return str(moment.isoformat(timespec="microseconds").replace("+00:00", "Z"))


@cache
def code_sha256() -> str:
    """SHA-256 over every Python source of this package: path, length and bytes, sorted by path."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES_ROOT.rglob("*.py")):
        source = path.read_bytes()
        name = path.relative_to(SOURCES_ROOT).as_posix()
        digest.update(f"{name}\0{len(source)}\0".encode())
        digest.update(source)
    return digest.hexdigest()


def versions() -> dict[str, str | None]:
    """Python and the packages that can change a result; None where one is not installed."""
    own = {"trader": trader.__version__, "python": platform.python_version()}
    return own | {name: _version(name) for name in PACKAGES} | packages_used()


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def host_facts() -> dict[str, Any]:
    """Operating system, processor and memory."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gib": _memory_gib(),
    }


def _processor() -> str:
    """Model name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
