"""docs/feature-types.md, made from the list of feature types.

`python -m trader.features.types_page docs/feature-types.md` rewrites it; a test compares.
"""

import sys
from pathlib import Path

from talib import abstract

from trader.features.feature_types import OWN, TALIB, USER, FeatureType, feature_types

OURS, FRIENDLY_ONES, CANDLES = "Our own", "Friendly names", "Pattern Recognition"
HEAD = """# Feature types

`bollinger(close, period=20, deviations=2.0) → upper, middle, lower` reads the close, has two
parameters with these defaults and three outputs; `output` names one, without it the first counts.
[`input` and `inputs`](features.md) name other fields.
Made by `python -m trader.features.types_page docs/feature-types.md`.
"""
NOTES = {
    OURS: """
- Without a field in the brackets the input is fixed. `volume_ratio`, `session_vwap` and
  `vwap_distance` need volume, `spread_bps` both quotes (negative where the book is crossed).
- A session is the trading day of `risk.market_hours`; a lunch break does not end it. Outside it
  the session's types have no value, and `gap` has none in the first.
""",
    FRIENDLY_ONES: """
The rest are TA-Lib's own names, parameters and outputs: `rsi: {type: RSI, timeperiod: 14}`.
""",
    "Overlap Studies": """
`MAVP` reads an average's period from a second column: name both in `inputs`.
""",
    CANDLES: """
All read open, high, low and close; their value is −200 to 200.
""",
}


def page() -> str:
    """The whole page: a table for each group of types, a row for each type but the user's own."""
    listed = [kind for kind in feature_types() if kind.group != USER]
    theirs = {_title(kind) for kind in listed if kind.group == TALIB}
    text = HEAD
    for title in (OURS, FRIENDLY_ONES, *sorted(theirs)):
        rows = "".join(row(kind) for kind in listed if _title(kind) == title)
        text += f"\n## {title}\n\n| type | is |\n|---|---|\n{rows}{NOTES.get(title, '')}"
    return text


def _title(kind: FeatureType) -> str:
    if kind.group == TALIB:
        return str(abstract.Function(kind.name).info["group"])
    return OURS if kind.group == OWN else FRIENDLY_ONES


def row(kind: FeatureType) -> str:
    """One line of a table: the type as a call with defaults, and what it is."""
    fixed = _title(kind) == CANDLES
    words = [*(() if fixed else kind.inputs), *(f"{n}={v}" for n, v in kind.params.items())]
    brackets = f"({', '.join(words)})" if words else ""
    outputs = f" → {', '.join(kind.outputs)}" if kind.outputs else ""
    return f"| `{kind.name}{brackets}{outputs}` | {kind.meaning} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
