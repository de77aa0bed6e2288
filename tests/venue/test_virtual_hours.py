"""Hours beside loopback exchanges in made-up time; more in `tests/harness/venue_virtual.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.extras import require

require("ccxt", "aiohttp")

pytestmark = pytest.mark.process

HARNESS = Path(__file__).parents[1] / "harness" / "venue_virtual.py"


def run_hours(*more):
    command = [sys.executable, str(HARNESS), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_an_hour_of_faults_loses_no_bar_and_doubles_none():
    told = run_hours("--hours", "1", "--first", "14", "--venues", "binance,kraken,alpaca")
    assert told["hours"] == 1
    assert told["live"] > 50
    assert told["FEED_DOWN"] == 1


def test_lines_that_end_one_after_the_other_lose_no_bar():
    told = run_hours("--hours", "2", "--first", "2", "--venues", "binance,kraken", "--calm")
    assert told["hours"] == 2
    assert told["live"] > 220
