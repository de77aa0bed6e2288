"""Crash safety: runs cut off and restarted, and the harness's own eyesight.

Every failing cycle prints its seed: `python tests/harness/crash.py --seed S` plays it again.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness.crash_plants import PLANTS

CRASH = Path(__file__).parents[1] / "harness" / "crash.py"
CYCLES = 75  # they cover every crash point in every scene; `make trials` runs thousands
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


@pytest.mark.timeout(600)
def test_a_run_cut_off_anywhere_ends_as_if_it_had_not_been():
    code, found, said = crash("--count", str(CYCLES))
    assert found["problems"] == [], said
    assert found["missed"] == [], "named points that ended no process"
    assert (code, found["cycles"]) == (0, CYCLES)


@pytest.mark.timeout(600)
def test_every_planted_bug_is_found():
    code, looked, said = crash("--plants", "--count", "600")
    assert set(looked["found"]) == set(PLANTS)
    assert None not in looked["found"].values(), (looked, said)
    assert code == 0


def test_a_cycle_is_played_again_from_its_seed():
    once, again = crash("--seed", "17"), crash("--seed", "17")
    assert once[0] == again[0] == 0
    scripts = [[line.split(" → ")[0] for line in said.splitlines()] for _, _, said in (once, again)]
    assert scripts[0] == scripts[1]
    assert any(line.startswith("Fate(how=") for line in scripts[0])
