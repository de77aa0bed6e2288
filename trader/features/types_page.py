"""docs/feature-types.md, made from the list of feature types.

`python -m trader.features.types_page docs/feature-types.md` rewrites it; a test compares.
"""

import sys
import textwrap
from pathlib import Path

from talib import abstract

from trader.features.feature_types import OWN, TALIB, USER, FeatureType, feature_types

OURS, FRIENDLY_ONES = "Our own", "Friendly names"
CANDLES, TRANSFORMS, OPERATORS = "Pattern Recognition", "Math Transform", "Math Operators"
IN_A_ROW = (CANDLES, TRANSFORMS)  # their names alone, several a line
UNTITLED = (*IN_A_ROW, OPERATORS, "Price Transform", "Statistic Functions")  # names say it all
WIDTH, COLUMN = 100, 44
HEAD = """# Feature types

`bollinger(close, period=20, deviations=2.0) → upper, middle, lower`: it reads the close, has two
parameters with defaults and three outputs; `output` names one, else the first counts.
[`input` and `inputs`](features.md) name other fields.

Made by `python -m trader.features.types_page docs/feature-types.md`.
"""
NOTES = {
    OURS: """
- Without a field in the brackets the input is fixed; `spread_bps` needs both quotes.
- A session is the trading day of `risk.market_hours`, a lunch break included. Outside it the
  session's types have no value.
""",
    FRIENDLY_ONES: """
The rest are TA-Lib's own: `rsi: {type: RSI, timeperiod: 14}`.
""",
    "Overlap Studies": """
`MAVP` reads the period from a second column: name both in `inputs`.
""",
    TRANSFORMS: """
All read the close.
""",
    CANDLES: """
All read open, high, low and close; their value is −200 to 200.
""",
}


def page() -> str:
    """The whole page: a block for each group of types, a line for most types but the user's own."""
    listed = [kind for kind in feature_types() if kind.group != USER]
    theirs = {_title(kind) for kind in listed if kind.group == TALIB}
    text = HEAD
    for title in (OURS, FRIENDLY_ONES, *sorted(theirs)):
        rows = [row(kind) for kind in listed if _title(kind) == title]
        body = "\n".join(rows)
        if title in IN_A_ROW:
            body = textwrap.fill(" ".join(rows), WIDTH, break_on_hyphens=False)
        text += f"\n## {title}\n\n```\n{body}\n```\n{NOTES.get(title, '')}"
    return text


def _title(kind: FeatureType) -> str:
    if kind.group == TALIB:
        return str(abstract.Function(kind.name).info["group"])
    return OURS if kind.group == OWN else FRIENDLY_ONES


def row(kind: FeatureType) -> str:
    """The type as a call with defaults, its outputs, and what it is."""
    title = _title(kind)
    read = () if title in IN_A_ROW else kind.inputs
    words = [*read, *(f"{name}={value}" for name, value in kind.params.items())]
    brackets = f"({', '.join(words)})" if words else ""
    outputs = f" → {', '.join(kind.outputs)}" if kind.outputs else ""
    call = f"{kind.name}{brackets}{outputs}"
    return call if title in UNTITLED else f"{call:{COLUMN}}  {kind.meaning.replace('`', '')}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
