"""What ccxt raises, as what follows from it."""

import contextlib
from collections.abc import Sequence
from typing import Any

from trader.feeds.source import Remedy, SourceError, redacted

SHOWN = 300  # characters of a message
QUIET_S = 30.0  # where an exchange asks for quiet and does not say how long
BANNED_S = 120.0


def source_error(exchange: Any, error: Exception, secrets: Sequence[str]) -> SourceError:
    """The `SourceError` of anything that a call of ccxt raised."""
    told = [one for one in (error, error.__cause__) if one is not None]
    words = ": ".join(" ".join(str(one).split()) or type(one).__name__ for one in told)
    words = words.removeprefix(f"{getattr(exchange, 'id', '')} ")  # who tells it, says the caller
    text = redacted(words, secrets)[:SHOWN]
    remedy, after_s = _remedy(error)
    if remedy == Remedy.WAIT:
        after_s = max(_retry_after_s(exchange), after_s if not _retry_after_s(exchange) else 0.0)
    return SourceError(text, remedy, after_s)


def is_refusal(error: Exception) -> bool:
    """Whether an exchange answered that it will not, and not that it cannot now."""
    import ccxt

    return isinstance(error, ccxt.ExchangeError)


def _remedy(error: Exception) -> tuple[Remedy, float]:
    import ccxt

    never = (ccxt.AuthenticationError, ccxt.PermissionDenied, ccxt.NotSupported)
    if isinstance(error, ccxt.BadSymbol):
        return Remedy.GONE, 0.0
    if isinstance(error, (*never, ccxt.ArgumentsRequired)):
        return Remedy.NEVER, 0.0
    if isinstance(error, ccxt.RateLimitExceeded):
        return Remedy.WAIT, QUIET_S
    if isinstance(error, ccxt.DDoSProtection):
        return Remedy.WAIT, BANNED_S
    return Remedy.RETRY, 0.0


def _retry_after_s(exchange: Any) -> float:
    """The Retry-After of the last answer, in seconds; 0 where it has none."""
    headers = getattr(exchange, "last_response_headers", None) or {}
    with contextlib.suppress(TypeError, ValueError):
        return max(float({k.lower(): v for k, v in headers.items()}.get("retry-after", 0)), 0.0)
    return 0.0
