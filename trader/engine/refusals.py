"""What the journal says of bars that are not traded on.

Law: each is recorded with its reason; a bad one also as an ALERT that names its symbol, from which
`recover` knows whom to hold.
"""

import numpy as np

from trader.engine.slices import RefusedBar
from trader.journal import entries as build
from trader.journal.records import Entry


def refused_entries(refused: RefusedBar) -> list[Entry]:
    """What the journal says of a bar that is not traded on."""
    entries: list[Entry] = []
    if refused.bar is not None:
        entries.append(build.bars(np.array([refused.bar], refused.bar.dtype), refused.use))
    if refused.use == "notice":
        entries.append(build.alert(refused.kind, refused.text, {"symbol": refused.symbol}))
    elif refused.use == "revised":
        entries.append(build.alert("DATA_REVISED", refused.text))
    elif refused.use == "disorder":
        entries.append(build.alert("FEED_OUT_OF_ORDER", refused.text))
    elif refused.use == "invalid":
        details = {"line": refused.line, "symbol": refused.symbol}
        entries.append(build.alert("BAD_BAR", refused.text, details))
    return entries
