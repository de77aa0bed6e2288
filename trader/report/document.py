"""The one JSON document of a run: what `--json` prints and `trader runs show --json` repeats.

Law: exactly the keys of the public contract, in its order; finite numbers only. `in_sample` stands
where the model has a card that says what it was trained on.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trader.report.result import RunResult

TIMING_KEYS = ("load_s", "features_s", "model_s", "core_s", "report_s", "total_s")


def summary_document(
    result: RunResult, timing: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The summary of `result`. `timing`, where given, adds to or replaces the result's own."""
    return {
        "run_id": result.run_id,
        "run_dir": str(result.run_dir),
        "digest": result.digest,
        "bars": result.bars,
        "slices": result.slices,
        "orders": result.orders,
        "fills": len(result.fills),
        "denied": result.tally.denied,
        "throttled": result.tally.throttled,
        "start_equity": result.metrics["start_equity"],
        "final_equity": result.metrics["final_equity"],
        "metrics": result.metrics,
        "risk": result.risk,
        "timing": timing_block({**result.timing, **(timing or {})}),
        "engine": result.engine,
        **({} if result.in_sample is None else {"in_sample": result.in_sample}),
    }


def timing_block(timing: Mapping[str, float]) -> dict[str, float]:
    """Seconds by stage, every stage present; a stage that did not run took 0."""
    stages = {name: round(float(timing.get(name, 0.0)), 6) for name in TIMING_KEYS}
    return stages | {name: value for name, value in timing.items() if name not in stages}


def json_text(document: Mapping[str, Any]) -> str:
    """The document as indented JSON, in ASCII; NaN and infinity are a bug and raise ValueError."""
    return json.dumps(document, indent=2, allow_nan=False, default=_plain)


def _plain(value: object) -> object:
    """NumPy numbers, paths and mappings that `json` does not know."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"not JSON: {type(value).__name__}")
