"""From when on a market's bars are wanted, within which hours, and from what age they are history.

Computes from the config and the market's time; asks nobody.
"""

from datetime import UTC, datetime

from trader.codes import DAY_NS
from trader.config.schema import Config
from trader.config.sections.running import QUEUE_PERIODS
from trader.core.schema import NS_PER_SECOND
from trader.feeds.finaliser_events import Hours
from trader.feeds.live import Tell
from trader.feeds.source import Finality
from trader.hours.tables import is_always_open, last_known_ns, session_table
from trader.moments import iso_utc

HOURS_BEFORE_NS, HOURS_AHEAD_NS = 400 * DAY_NS, 366 * DAY_NS
ACTIONS_AHEAD_NS = 60 * DAY_NS


def late_ns(config: Config, finality: Finality) -> int:
    """Age from which a bar is history: it would be denied as stale, or end the run as one that
    waited too long. Of bars that are asked for: when the next one has closed and is due too, so
    that of a hole only the newest is traded."""
    waits_s = config.execution.queue_max_age_seconds
    waits_s = QUEUE_PERIODS * config.bar_period_seconds if waits_s is None else waits_s
    stale_s = config.feed.max_age_bars * config.bar_period_seconds
    if finality == Finality.POLL:
        stale_s = min(stale_s, config.bar_period_seconds + config.feed.close_grace_seconds)
    return round(min(stale_s, waits_s) * NS_PER_SECOND)


def hours_of(config: Config, now_ns: int, after_ns: int | None) -> Hours | None:
    """Trading hours, from well before now to about a year ahead; None for around the clock."""
    market_hours = config.risk.market_hours
    if is_always_open(market_hours):
        return None
    since_ns = after_ns or config.feed.start_ns or now_ns - HOURS_BEFORE_NS
    ahead_ns = min(now_ns + HOURS_AHEAD_NS, last_known_ns(market_hours, now_ns))
    table = session_table(market_hours, min(since_ns, now_ns), ahead_ns)
    return Hours(table["open_ns"].tolist(), table["close_ns"].tolist())


def first_open_ns(config: Config, hours: Hours | None, now_ns: int, after_ns: int | None) -> int:
    """The open of the first bar that is wanted, or a moment before it."""
    if after_ns is not None:
        return after_ns
    if config.feed.start_ns is not None:
        return config.feed.start_ns
    warmup_ns = config.feed.warmup_bars * config.period_ns
    return now_ns - warmup_ns if hours is None else hours.back_ns(now_ns, warmup_ns)


def tell_if_closed(tell: Tell, named: str, hours: Hours | None, now_ns: int) -> None:
    """Say when the next bar opens, where nothing is to come until then."""
    if hours is not None and not hours.hold(now_ns):
        opens = iso_utc(hours.next_ns(now_ns))
        tell(f"the market is closed (risk.market_hours: {named}); its next bar opens at {opens}")


def action_days(first_ns: int, now_ns: int) -> tuple[str, str]:
    """The first and the last day whose corporate actions matter."""
    return day_of(first_ns), day_of(now_ns + ACTIONS_AHEAD_NS)


def day_of(ts_ns: int) -> str:
    """YYYY-MM-DD in UTC."""
    return datetime.fromtimestamp(ts_ns // NS_PER_SECOND, UTC).date().isoformat()
