"""docs/reasons.md, made from the reason codes and their notes.

`python -m trader.report.reasons_page docs/reasons.md` rewrites it; a test compares.
"""

import sys
from pathlib import Path

from trader.report.reasons import NOTES

HEAD = """# Reasons

Why an order was denied, cut, held or ended, and the key that governs it. Made from the program by
`python -m trader.report.reasons_page docs/reasons.md`.

| reason | because | config key |
|---|---|---|
"""


def page() -> str:
    """The whole page: a row for each reason but NONE."""
    rows = []
    for reason, (words, key) in NOTES.items():
        if reason:
            rows.append(f"| `{reason.name}` | {words} | {f'`{key}`' if key else ''} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
