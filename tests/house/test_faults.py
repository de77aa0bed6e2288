"""Every test that tests/FAULTS.md names exists, and every fault has one."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "tests" / "FAULTS.md").read_text("utf-8")
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if re.match(r"\| \d", line)]


def test_every_named_test_exists():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    missing = {name for name in named if not re.search(rf"def {name}\(", sources)}
    assert not missing
    assert len(named) > 35


def test_the_faults_of_a_running_loop_are_all_there():
    numbers = {int(number) for row in ROWS for number in re.findall(r"\d+", row[0])}
    wanted = {*range(14, 27), *range(29, 39), *range(42, 46)}
    assert not wanted - numbers
    assert all("`test_" in row[3] or "Sim" in row[3] for row in ROWS)
