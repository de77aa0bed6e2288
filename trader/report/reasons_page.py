"""docs/reasons.md, made from the reason codes and their notes.

`python -m trader.report.reasons_page docs/reasons.md` rewrites it; a test compares.
"""

import sys
from pathlib import Path

from trader.report.reasons import NOTES

HEAD = """# Reasons

Why an order was denied, cut, held or ended, and the config key that governs it.
Made by `python -m trader.report.reasons_page docs/reasons.md`.

"""


def page() -> str:
    """The whole page: a line for each reason but NONE."""
    width = max(len(reason.name) for reason in NOTES)
    lines = [
        f"{reason.name:{width}}  {words}{f' ({key})' if key else ''}"
        for reason, (words, key) in NOTES.items()
        if reason
    ]
    return HEAD + "\n".join(["```", *lines, "```", ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
