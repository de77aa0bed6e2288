"""Hours beside loopback exchanges in made-up time; more in `tests/harness/venue_virtual.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ccxt")
pytest.importorskip("aiohttp")

pytestmark = pytest.mark.process

HARNESS = Path(__file__).parents[1] / "harness" / "venue_virtual.py"


def test_an_hour_of_faults_loses_no_bar_and_doubles_none():
    command = [sys.executable, str(HARNESS), "--hours", "1", "--first", "14"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["hours"] == 1
    assert told["live"] > 50
    assert told["FEED_DOWN"] == 1
