"""The config that is laid over a market's, so that a backtest runs on the history of it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trader.config.schema import Config
from trader.feeds.source import InstrumentFacts

LAYER = "history.yaml"
TAKEN = ("tick_size", "lot_size", "min_notional")


def instrument_keys(config: Config, facts: Sequence[InstrumentFacts]) -> list[dict[str, Any]]:
    """What the config says of each instrument, and the market's steps where it says nothing."""
    found = []
    for instrument, fact in zip(config.instruments, facts, strict=True):
        said = {name: getattr(fact, name) for name in TAKEN}
        steps = {name: float(value) for name, value in said.items() if value is not None}
        found.append(steps | instrument.model_dump(mode="json", exclude_unset=True))
    return found


def layer_text(
    instruments: Sequence[Mapping[str, Any]], path: str, adjustments: str | None = None
) -> str:
    """The YAML of a history at `path`, with a file of corporate actions where there is one."""
    lines = ["# laid over the config of the market: trader backtest -c CONFIG -c THIS"]
    if instruments:
        lines.append("instruments:")
        lines += [f"  - {json.dumps(one, ensure_ascii=False)}" for one in instruments]
    lines += ["feed:", "  type: parquet", f"  path: {json.dumps(path)}", "  timestamp: open"]
    if adjustments is not None:
        lines.append(f"  adjustments: {json.dumps(adjustments)}")
    return "\n".join(lines) + "\n"
