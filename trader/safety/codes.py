"""Which kill code is meant by what a person or a program says.

Law: standard library only, as `trader kill` is. A text is searched for the names of the codes
first, then for the words below; of several the first in the text wins. What says nothing means
nothing: whoever asks decides what that is.
"""

import re

from trader.safety.latch import CODES

# Words of operators for each code, beside its own name. docs/kill-switch.md lists them.
WORDS = {
    "RISK_BREACH": ("limit breach", "limit breached", "breach of a limit", "risk limit"),
    "DAILY_LOSS_LIMIT": ("daily loss", "loss limit"),
    "POSITION_LIMIT": ("position size", "position limits"),
    "CONCENTRATION_LIMIT": ("concentration", "concentrated"),
    "MARKET_VOLATILITY": ("volatility", "volatile"),
    "SYSTEM_ERROR": ("crash", "crashed", "bug", "exception"),
    "MANUAL_STOP": ("manual", "manually"),
    "CONNECTIVITY_LOSS": (
        "connectivity", "connection lost", "connection loss", "lost connection", "disconnect",
        "disconnected",
    ),
}  # fmt: skip
_BY_WORD = {
    word.replace(" ", "_").upper(): CODES[name] for name, words in WORDS.items() for word in words
}
_BY_NUMBER = {str(code): code for code in CODES.values()}


def given_code(text: str) -> int | None:
    """The code whose name, in any case, or number a text is; None for any other text."""
    plain = text.strip().upper()
    return CODES.get(plain) or _BY_NUMBER.get(plain)


def named_code(text: str) -> int | None:
    """The code that a text names ("daily loss limit hit" is 2); None when it names none.

    Case, blanks and punctuation do not count; parts of words do not either.
    """
    plain = "_" + re.sub(r"[^A-Z0-9]+", "_", text.upper()) + "_"
    return _first_in(plain, CODES) or _first_in(plain, _BY_WORD)


def _first_in(plain: str, table: dict[str, int]) -> int | None:
    found = [(plain.find(f"_{words}_"), code) for words, code in table.items()]
    return min(((at, code) for at, code in found if at >= 0), default=(0, None))[1]
