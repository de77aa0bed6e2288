"""The port to a market: what an adapter of an exchange or data vendor reports.

    adapter (ccxt_source, alpaca_source, …) ─► Row, Up, Lost, Notice ─► finaliser ─► bars

Law: an adapter reports facts and judges nothing: what is a closed bar, a gap or a revision, the
finaliser alone decides (`trader.feeds.finaliser`). Whatever a library raises leaves an adapter as
a `SourceError` that says what to do about it, and holds no secret.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from html import escape
from typing import NamedTuple, Protocol
from urllib.parse import quote

SIGNED = re.compile(r"((?:signature|sign|token|api_?key|secret)=)[^&\s]+", re.IGNORECASE)


class Finality(IntEnum):
    """How a source says that a bar is closed."""

    FLAG = 1  # its row carries a flag of the exchange
    SUCCESSOR = 2  # by the first row of the next bar
    STATED = 3  # it sends closed bars only
    POLL = 4  # it streams nothing: bars are asked for after their close


class RawBar(NamedTuple):
    """One row of a source, stamped with the bar's open."""

    open_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Row(NamedTuple):
    """A bar as it is now, from the stream. `is_closed` None: the source does not say."""

    symbol: int
    bar: RawBar
    is_closed: bool | None = None
    is_snapshot: bool = False  # sent because we asked for the stream, not because something changed
    line: int = 0  # which of the lines of a source it came by


class Up(NamedTuple):
    """The stream of a symbol speaks, from now on without a hole."""

    symbol: int


class StreamLoss(NamedTuple):
    """The stream of a symbol is gone; what was sent meanwhile is missing."""

    symbol: int
    why: str


class Notice(NamedTuple):
    """Something a person should know, as an ALERT of `kind`."""

    kind: str
    text: str


Event = Row | Up | StreamLoss | Notice


@dataclass(frozen=True)
class Abilities:
    """What a source can do."""

    finality: Finality
    clock_resolution_ms: int = 1  # of the time it tells


@dataclass(frozen=True)
class InstrumentFacts:
    """What the exchange says of one instrument; None where it says nothing."""

    symbol: str
    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    min_qty: Decimal | None = None
    min_notional: Decimal | None = None
    currency: str = ""
    is_trading: bool = True

    def document(self) -> dict[str, object]:
        """As it stands in the journal: numbers as text, none lost."""
        texts = {
            name: None if getattr(self, name) is None else str(getattr(self, name))
            for name in ("tick_size", "lot_size", "min_qty", "min_notional")
        }
        return {**texts, "currency": self.currency, "is_trading": self.is_trading}


class Remedy(Enum):
    """What follows from a `SourceError`."""

    RETRY = "retry"  # a network that failed, a server that is busy
    WAIT = "wait"  # it asked us to be quiet for a while (429, 418, maintenance)
    GONE = "gone"  # that symbol is not there any more
    NEVER = "never"  # refused: asking again changes nothing


class SourceError(Exception):
    """A request that failed. `text` is fit to be shown."""

    def __init__(self, text: str, remedy: Remedy = Remedy.RETRY, after_s: float = 0.0) -> None:
        super().__init__(text)
        self.text, self.remedy, self.after_s = text, remedy, after_s


@dataclass(frozen=True)
class SourceTerms:
    """What an adapter is made of. Symbols are numbered as the config's instruments are."""

    symbols: tuple[str, ...]  # the source's names
    period_ns: int
    exchange: str = ""
    options: Mapping[str, object] = field(default_factory=dict)  # secrets filled in
    secrets: tuple[str, ...] = ()  # values that may stand in no message
    market_hours: str = "24x7"
    wants_quotes: bool = False  # best bid and ask beside the bars, of a `QuoteSource`


class FrameTap(Protocol):
    """Gets every raw frame of a stream as it came."""

    def __call__(self, channel: str, raw: object) -> None: ...


class BarSource(Protocol):
    """One market. `open` first, then everything else; `close` at any time."""

    name: str
    can: Abilities
    tap: FrameTap | None

    async def open(self) -> None:
        """Load the markets. `ConfigError` for what the config asks for and the market has not."""
        ...

    async def facts(self, is_fresh: bool = False) -> Sequence[InstrumentFacts]:
        """What it says of each instrument, in their order; `is_fresh`: asked for once more."""
        ...

    async def venue_ns(self) -> int:
        """Its clock, UTC nanoseconds."""
        ...

    async def history(self, symbol: int, start_ns: int, end_ns: int) -> Sequence[RawBar]:
        """Bars that open in [start, end), oldest first; may lack some and hold a forming one."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """What the stream says. Reconnects by itself; ends never, or with a `SourceError`."""
        ...

    async def reconnect(self, symbol: int, why: str) -> None:
        """Drop the line of a symbol and make it anew."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


def redacted(text: str, secrets: Sequence[str]) -> str:
    """`text` without any of the secrets, however a server spells them back, and without what was
    signed with one."""
    for secret in filter(None, secrets):
        text = re.sub("".join(map(_spelled, secret)), "***", text)
    return SIGNED.sub(r"\1***", text)


def _spelled(letter: str) -> str:
    """A pattern of one letter of a secret: itself, or escaped for JSON, for a URL or for HTML."""
    plain = re.escape(letter)
    if letter.isalnum() and letter.isascii():
        return plain
    url = re.escape(quote(letter, safe=""))
    code = f"{ord(letter):x}"
    html = rf"&#(?:{ord(letter)}|[xX]0*(?i:{code}));|{re.escape(escape(letter))}"
    return rf"(?:\\?{plain}|(?i:{url})|\\u(?i:{code.zfill(4)})|{html})"
