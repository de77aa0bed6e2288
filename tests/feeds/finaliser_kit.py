"""A finaliser with its history in, and bars of minutes by number."""

from trader.core.schema import BarProof
from trader.feeds.finaliser import BarFinaliser
from trader.feeds.finaliser_events import TICK, Page, Terms
from trader.feeds.source import Finality, RawBar, Up

S = 1_000_000_000
PERIOD, GRACE = 60 * S, S
START = 1_700_000_040 * S // PERIOD * PERIOD


def bar(index, volume=10.0, close=100.5):
    return RawBar(START + index * PERIOD, 100.0, 102.0, 99.0, close, volume)


def at(index, seconds=0.0):
    return START + index * PERIOD + round(seconds * S)


def finaliser(finality=Finality.FLAG, late_s=120):
    made = BarFinaliser(1, [START], Terms(PERIOD, finality, GRACE, late_s * S))
    return made


def begun(finality=Finality.FLAG, index=3):
    """One whose history 0..index-1 is in and whose stream is up."""
    made = finaliser(finality)
    (ask,) = made.on(TICK, at(index, 2))
    made.on(Up(0), at(index, 2))
    page = Page(0, ask.start_ns, ask.end_ns, [bar(i) for i in range(index)], at(index, 2))
    outs = made.on(page, at(index, 2.1))
    assert [out.bar for out in outs] == [bar(i) for i in range(index)]
    assert all(out.is_history and out.proof == BarProof.REST for out in outs)
    return made


def of_kind(outs, kind):
    return [out for out in outs if isinstance(out, kind)]
