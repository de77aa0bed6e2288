"""`trader data check FILE` reads files as a run does, and its `--set` says how."""

import json

import pytest

from tests.feeds_kit import trader

pytestmark = pytest.mark.process

ROW = "\t1\t2\t1\t1.5\t5\n"
ODD = f"when\tOpen\tHigh\tLow\tClose\tTurnover\n1709562600{ROW}1709562660{ROW}"


def test_file_of_a_vendor_passes_without_a_config_and_is_told(tmp_path):
    (tmp_path / "a.csv").write_text(ODD.replace("when", "time").replace("Turnover", "Vol"))
    done = trader("data", "check", "a.csv", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "info: a.csv: read: columns separated by tab" in done.stderr
    found = json.loads(done.stdout)["checks"][0]
    assert found["bar_period_seconds"] == 60.0
    assert "stamps are s since 1970" in found["recognised"][0]


def test_column_of_its_own_name_is_mapped_by_a_set(tmp_path):
    (tmp_path / "a.csv").write_text(ODD)
    done = trader("data", "check", "a.csv", folder=tmp_path)
    assert done.returncode == 4
    assert "missing column 'timestamp'" in done.stderr
    sets = ("--set", "feed.columns.timestamp=when", "--set", "feed.columns.volume=Turnover")
    done = trader("data", "check", "a.csv", *sets, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'Turnover' is volume" not in done.stderr
    done = trader("data", "check", "a.csv", "--set", "broker.cash=5", folder=tmp_path)
    assert done.returncode == 2
    assert "feed.columns.volume=Vol" in done.stderr
