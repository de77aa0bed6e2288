"""Cuts small paper runs off in every way there is, restarts them, and compares how they end.

    crash.py --count N [--first S] [--jobs J]    N cycles from seed S on (default: 0, one a core)
    crash.py --seed S                            one cycle, with its script and what was found
    crash.py --count N --plants                  then every bug of `crash_plants`, until it is found
    crash.py --seed S --plant NAME               one cycle with a bug put in

Prints one JSON document: {"cycles", "lives", "problems": [...], "seconds", "missed": [...]}, with
`--plants` also {"found": {NAME: seed, or null after 600 cycles}}. `--tell` prints every script.
Exit code 0 when no cycle went wrong, every named point has ended a process, and every bug that was
put in was found.

Law: the parent is warm (core compiled, configs loaded) and has one thread; every life of a run is
a fork of it. A cycle is reproduced by its seed but for SIGKILLs after a delay.
"""

import argparse
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # its threads would be ended and begun at every fork

from tests.harness.crash_cycle import Stage  # noqa: E402
from tests.harness.crash_plants import PLANTS, SHOWN_BY  # noqa: E402
from trader.engine.crash_points import NAMES  # noqa: E402

MOST_TOLD = 20  # problems
MOST_SEARCHED = 600  # cycles for one planted bug


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """A warm stage, in memory where there is some: a process that dies loses nothing there."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root = Path(tempfile.mkdtemp(prefix="crash-", dir=fast))
    try:
        yield Stage(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def run_here(words: argparse.Namespace) -> dict[str, object]:
    """The cycles that are asked for, in this process and its forks, then the search for bugs."""
    began = time.monotonic()
    with staged() as stage:
        stage.plant = PLANTS.get(words.plant)
        warm_s = time.monotonic() - began
        lives, problems = 0, []
        for seed in range(words.first, words.first + words.count):
            cycle = stage.run(seed)
            lives += cycle.lives
            problems += cycle.problems
            if words.tell or cycle.problems:
                for line in (f"seed {seed}", *cycle.told, *cycle.problems):
                    print(line, file=sys.stderr)
        died = stage.died.read()
        found = find_plants(stage) if words.plants else {}
    return {
        "cycles": words.count,
        "lives": lives,
        "problems": problems[:MOST_TOLD],
        "died": died,
        "found": found,
        "warm_s": round(warm_s, 2),
        "seconds": round(time.monotonic() - began, 2),
    }


def find_plants(stage: Stage) -> dict[str, int | None]:
    """The seed that shows it, of every planted bug."""
    found: dict[str, int | None] = {}
    for name, stage.plant in PLANTS.items():
        first = SHOWN_BY.get(name, 0)
        seeds = range(first, first + MOST_SEARCHED)
        found[name] = next((seed for seed in seeds if stage.run(seed).problems), None)
    return found


def run_jobs(first: int, count: int, jobs: int) -> dict[str, object]:
    """The same in several processes."""
    began = time.monotonic()
    edges = [first + count * job // jobs for job in range(jobs + 1)]
    words = [sys.executable, __file__]
    running = [
        subprocess.Popen(
            [*words, "--first", str(low), "--count", str(high - low), "--jobs", "1"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for low, high in itertools.pairwise(edges)
    ]
    parts = [json.loads(one.communicate()[0]) for one in running]
    return {
        "cycles": sum(part["cycles"] for part in parts),
        "lives": sum(part["lives"] for part in parts),
        "problems": [problem for part in parts for problem in part["problems"]][:MOST_TOLD],
        "died": {name: sum(part["died"][name] for part in parts) for name in parts[0]["died"]},
        "warm_s": max(part["warm_s"] for part in parts),
        "seconds": round(time.monotonic() - began, 2),
    }


def main() -> int:
    asked = argparse.ArgumentParser(description="Crash cycles of `trader paper`.")
    asked.add_argument("--count", type=int, default=200)
    asked.add_argument("--first", type=int, default=0)
    asked.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked.add_argument("--seed", type=int)
    asked.add_argument("--plant", choices=tuple(PLANTS), default="")
    asked.add_argument("--plants", action="store_true")
    asked.add_argument("--tell", action="store_true")
    words = asked.parse_args()
    if words.plant and words.seed is None:
        asked.error("--plant needs --seed; --plants looks for every one")
    if words.seed is not None:
        words.first, words.count, words.tell = words.seed, 1, True
    if words.jobs > 1 and words.seed is None and not words.plants:
        found = run_jobs(words.first, words.count, words.jobs)
    else:
        found = run_here(words)
    died = found["died"]
    assert isinstance(died, dict)
    found["missed"] = [name for name in NAMES if not died[name]]
    print(json.dumps(found))
    is_covered = words.seed is not None or words.count < 2 * len(NAMES) or not found["missed"]
    is_unseen = words.plants and None in found["found"].values()  # type: ignore[attr-defined]
    return 0 if is_covered and not is_unseen and not found["problems"] else 1


if __name__ == "__main__":
    sys.exit(main())
