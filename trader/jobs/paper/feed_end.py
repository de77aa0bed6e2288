"""What the end of the bars means for a run: over, or to be taken up again.

Law: a live feed that ends says nothing of the market. Its run stays resumable, with the cash, the
positions and the limits it had; only a replay, a recording, and `feed.end` end a run.
"""

from trader.engine.loop import StopCause
from trader.feeds.pipe_history import FeedEnd
from trader.feeds.sessions import is_open
from trader.jobs.paper.guard import CAUGHT_UP, CLOCK, CLOSED, END, LOST
from trader.jobs.paper.start import Start


def end_of_feed(begun: Start) -> StopCause:
    """Why the loop came back at the end of its feed, in the words of RUN_END."""
    end = begun.feed.end
    if end == FeedEnd.OVER:
        return StopCause(END)
    if end == FeedEnd.CAUGHT_UP:
        return StopCause(
            CAUGHT_UP,
            "the bars began long before the start and were traded as a recording, and now they are "
            "those of now: what was made of the past is not a state to trade live on. Set "
            "feed.trade_history: false to warm features with the past, true to go on from it",
        )
    if end == FeedEnd.CLOCK:
        return StopCause(
            CLOCK,
            "this machine's clock and the bars disagree (CLOCK_OFFSET tells by how much), and no "
            "bar would be traded; set the clock (`timedatectl set-ntp true`), or allow such an "
            "age with feed.max_age_bars",
        )
    if end == FeedEnd.REFUSED:
        return StopCause(LOST, "the market does not let the run go on (FEED_REFUSED tells why)")
    if end == FeedEnd.CUT:
        return StopCause(LOST, "the feed ended in the middle of a line")
    if is_open(begun.rules.sessions, begun.clock.now_ns()):
        return StopCause(LOST, "the feed ended inside trading hours")
    return StopCause(CLOSED, "the feed ended outside trading hours")
