"""How a run is to be cut off: one fate for each time it is started.

Law: everything follows from the seed. The first fate of seed n is a death at the n-th named
point, so that any run of as many seeds as there are points covers them all.
"""

import random
from typing import NamedTuple

from tests.harness.crash_scenes import Scene
from trader.engine.crash_points import NAMES

CANCEL_POINTS = ("before_cancel_intent", "after_cancel_intent")
RECOVERY = "during_recovery"
WAYS = ("exit", "exit", "sigkill", "trip", "flatten", "sigint")
STATEMENTS = ("BEGIN IMMEDIATE", "INSERT", "COMMIT")


class Fate(NamedTuple):
    """What befalls one process. Done at the `nth` passing of `where`.

    how     exit      `os._exit` there
            sigkill   SIGKILL of itself there
            trip      a kill from inside there; `flatten` the same, closing positions
            sigint    Ctrl-C there; `sigint2` twice
            delay     SIGKILL from outside after `nth` microseconds
            full      the disk takes `nth` more bytes
            ""        nothing
    where   a named point, or `sql STATEMENT`: before the journal executes such a statement
    then    how it dies while it stops: a second death, at a named point of the stopping
    """

    how: str = ""
    where: str = ""
    nth: int = 1
    then: "Fate | None" = None


class Step(NamedTuple):
    """One start: its fate, and what the operator and the machine do after it."""

    fate: Fate
    tear: float = -1.0  # cut the write-ahead file at this share of its size; < 0: not
    kill_after: bool = False  # `trader kill` while nothing runs
    try_killed: bool = False  # start once before the re-arm: must be refused


def script_of(seed: int, scene: Scene) -> list[Step]:
    """The steps of one cycle; after them the run is left alone until it ends."""
    chance = random.Random(seed)
    steps = [_step(_first(seed, scene, chance), chance)]
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        steps.append(_step(_fate(scene, chance), chance))
    return _with_predecessor(steps, scene, chance)


def _first(seed: int, scene: Scene, chance: random.Random) -> Fate:
    name = NAMES[seed % len(NAMES)]
    if name in CANCEL_POINTS:
        return _interrupted(name, chance)
    return Fate("exit", name, _nth(scene, name, chance))


def _with_predecessor(steps: list[Step], scene: Scene, chance: random.Random) -> list[Step]:
    """A death while recovering needs something to recover from."""
    if steps[0].fate.where != RECOVERY:
        return steps
    late = max(1, 2 * scene.passed["after_inputs"] // 3)
    return [Step(Fate("exit", "after_inputs", chance.randint(late // 2, late))), *steps]


def _fate(scene: Scene, chance: random.Random) -> Fate:
    kind = chance.random()
    if kind < 0.50:
        name = chance.choice([name for name in NAMES if name not in CANCEL_POINTS])
        return Fate(chance.choice(WAYS), name, _nth(scene, name, chance))
    if kind < 0.65:
        statement = chance.choice(STATEMENTS)
        most = {"INSERT": scene.passed["sql INSERT"]}.get(statement, scene.passed["sql COMMIT"])
        return Fate("sigkill", f"sql {statement}", chance.randint(1, most))
    if kind < 0.77:
        return Fate("delay", "", chance.randint(0, 70_000))
    if kind < 0.85:
        return Fate("full", "", chance.randint(0, 400_000))
    if kind < 0.95:
        return _interrupted(chance.choice((*CANCEL_POINTS, "before_end", "after_end")), chance)
    return Fate("sigint2", "after_outputs", _nth(scene, "after_outputs", chance))


def _interrupted(name: str, chance: random.Random) -> Fate:
    """Ctrl-C somewhere in the middle, and a death while the run stops."""
    return Fate("sigint", "after_outputs", chance.randint(4, 12), Fate("exit", name))


def _step(fate: Fate, chance: random.Random) -> Step:
    tear = chance.random() if chance.random() < 0.12 else -1.0
    return Step(fate, tear, chance.random() < 0.06, chance.random() < 0.3)


def _nth(scene: Scene, name: str, chance: random.Random) -> int:
    return chance.randint(1, max(1, scene.passed.get(name, 1)))
