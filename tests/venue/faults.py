"""What goes wrong at a venue, and when: switched by hand or by a script made from a seed."""

import asyncio
import time
from random import Random

SWITCHES = (
    "mute",  # the line is open, answers pings, sends no market data
    "duplicate",  # every frame twice
    "reorder",  # a frame comes after the one behind it
    "never_final",  # no frame says that a bar is closed
    "maintenance",  # REST answers 503, the line is refused
    "429",
    "418",
    "503",
)
FREEZE = "freeze"  # REST takes a request and does not answer for two minutes
# set by hand only: "refused" (a symbol that has no line), "10006" (Bybit's 429), "tick" (another
# tick size), "revoked" (no key is taken any more), "full" (no line more is taken), "garbled" (REST
# answers 200 with that text)
MOMENTS = ("drop", "close", "revise", "half", "delist", "clock", "shutdown")


class Faults:
    """The faults in force."""

    def __init__(self):
        self.on = {}  # switch -> whether in force
        self.log = []  # of what was done, for the test

    def set(self, name, value=True):
        self.note(name, value)
        self.on[name] = value

    def note(self, name, value):
        self.log.append((name, value, time.time()))

    def __contains__(self, name):
        return bool(self.on.get(name))

    def status(self):
        """(HTTP status, Retry-After) that REST answers with now; None for a good answer."""
        for name, status, after in (("maintenance", 503, None), ("503", 503, None),
                                    ("429", 429, 2), ("418", 418, 3)):  # fmt: skip
            if name in self:
                return status, after
        return None


def script(seed, length_s, faults=(*SWITCHES, "drop", "close", "revise", "half"), calm_s=6.0):
    """[(at_s, name, value)], in order: a fault, then quiet, then the next."""
    random, at_s, steps = Random(seed), calm_s, []
    while at_s < length_s - 2 * calm_s:
        name = random.choice(faults)
        steps.append((at_s, name, True))
        if name in (*SWITCHES, FREEZE):
            at_s += random.uniform(1.0, calm_s)
            steps.append((at_s, name, False))
        at_s += random.uniform(calm_s / 2, calm_s)
    return steps


async def play(steps, do):
    """Make each step at its time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for at_s, name, value in steps:
        await asyncio.sleep(max(began + at_s - loop.time(), 0))
        await do(name, value)
