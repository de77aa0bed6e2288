"""docs/kill-switch.md names every key, code and outcome, docs/python-api.md every event."""

import re
from pathlib import Path

from tests.safety_kit import held_run
from trader import safety
from trader.safety import (
    barrier,
    codes,
    events,
    gate,
    latch,
    lease,
    rearm,
    records,
    statedir,
    status,
    stop,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "kill-switch.md").read_text("utf-8")
NAMED = set(re.findall(r"[A-Za-z_.]+", PAGE))
OF_PYTHON = set(re.findall(r"[A-Za-z_.]+", (DOCS / "python-api.md").read_text("utf-8")))


def test_every_code_outcome_event_and_file_is_explained():
    outcomes = {barrier.HALTED, barrier.ENDED, barrier.DEAD, barrier.NOT_STOPPED}
    files = {statedir.KILLS, statedir.REARMS, statedir.REGISTRY, records.AUDIT, records.UNRECORDED}
    for name, number in latch.CODES.items():
        assert f"`{name}` {number}" in PAGE
    assert {*outcomes, *files} <= NAMED
    assert {*events.EVENTS, *events.StopReport._fields, *events.RiskEvent._fields} <= OF_PYTHON
    assert {"running", "starting", "hung", "stopped", "dead"} <= NAMED


def test_the_words_for_a_code_are_those_of_the_table():
    for name, words in codes.WORDS.items():
        assert f"\n| `{name}` {latch.CODES[name]} | {', '.join(words)} |\n" in PAGE


def test_every_key_of_status_and_rearm_is_explained(trader_home):
    with held_run(trader_home):
        done = stop.Stop(str(trader_home), stop.StopOrder("docs", 7))
        stop.shut(done)
        found = status.collect()
    keys = {*found, *found["runs"][0], *found["kills"][0]} - {"ts_mono_ns"}
    assert keys - NAMED == set()
    told = rearm.rearm(str(trader_home), done.order.kill_id, "docs")
    assert {*told} - {"rearmed"} <= NAMED


def test_what_a_runner_is_told_to_call_exists():
    told = safety.__doc__
    assert told is not None
    assert set(re.findall(r"lease\.(\w+)\(", told)) <= set(dir(lease.Lease))
    assert set(re.findall(r"gate\.(\w+)", told)) <= set(dir(gate.Gate))
    assert set(status.ACCOUNT_KEYS) <= NAMED
