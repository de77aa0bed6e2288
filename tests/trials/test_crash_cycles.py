"""Crash safety: runs cut off and restarted, and the harness's own eyesight.

Every failing cycle prints its seed: `python tests/harness/crash.py --seed S` plays it again.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.crash_plants import PLANTS
from tests.harness.crash_scenes import SCENES
from trader.engine.crash_points import NAMES

CRASH = Path(__file__).parents[1] / "harness" / "crash.py"
CYCLES = len(NAMES) * len(SCENES)  # every crash point in every scene; trials run thousands
AGAIN = 17  # a seed
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, pidfd, /proc"),
]


def crash(*words: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, str(CRASH), "--jobs", "1", *words],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.timeout(900)
def test_a_run_cut_off_anywhere_ends_as_if_it_had_not_been_and_every_planted_bug_is_found():
    code, found, said = crash("--count", str(CYCLES), "--plants", "--tell")
    assert found["problems"] == [], said
    assert found["missed"] == [], "named points that ended no process"
    assert set(found["found"]) == set(PLANTS)
    assert None not in found["found"].values(), found["found"]
    assert (code, found["cycles"]) == (0, CYCLES)
    told = re.search(rf"^seed {AGAIN}\n(.*?)^seed ", said, re.DOTALL | re.MULTILINE)
    again, _, said_again = crash("--seed", str(AGAIN))
    assert again == 0
    assert fates_in(told[1]) == fates_in(said_again) != []


def fates_in(told: str) -> list[str]:
    """What befell the lives of one cycle, in order."""
    return [line.split(" → ")[0] for line in told.splitlines() if line.startswith("Fate(how=")]
