"""A stop while the user's own code is inside a long call: nobody waits for it. Real processes."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.paper_kit import Paper, bar

pytestmark = pytest.mark.process

RULE = "model: {type: rule, buy: level > 50, sell: level < 50}"
LEVEL = "level: {type: sma, period: 2}"
SLOW_MODEL = """
import time

def predict(features):
    if features[-1, 0] > 100:
        open("asked", "w").close()
        time.sleep(300)
    return ["BUY"] * len(features)
"""
SLOW_FEATURE = """
import time

class Level:
    def update(self, bar):
        if bar.close > 100:
            open("asked", "w").close()
            time.sleep(300)
        return bar.close
"""


def holding(paper: Paper) -> Paper:
    """A run that holds 10 and whose user's code is inside a call that takes minutes."""
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 60)).until("FILL")
    paper.send(bar(4, 200))
    deadline = time.monotonic() + 30
    while not (paper.folder / "asked").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return paper


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_kill_during_a_long_predict_closes_and_exits_in_order(tmp_path: Path, isolation: str):
    paper = Paper(
        tmp_path / "run",
        (RULE, "model: {type: python, target: 'slow:predict'}"),
        ("{model_isolation: thread}",
         f"{{model_isolation: {isolation}, model_timeout_seconds: 600}}"),
    )  # fmt: skip
    (paper.folder / "slow.py").write_text(SLOW_MODEL)
    killed = holding(paper).run("kill", "--reason", "enough", "--flatten", "--json")
    assert killed.returncode == 0, killed.stderr
    document = json.loads(killed.stdout)
    assert [run["outcome"] for run in document["runs"]] == ["halted"]
    code, lines, err = paper.end()
    assert code == 7, err
    assert lines[-1]["risk"]["open_positions"] == {}
    kinds = [kind for kind, _ in paper.records() if kind in ("KILL", "FILL", "BAR", "RUN_END")]
    assert kinds == ["BAR", "BAR", "BAR", "FILL", "KILL", "FILL", "RUN_END"], "bar 4 is dropped"
    if isolation == "thread":
        return  # what is left behind is the same
    paper.assert_sound()
    assert paper.run("rearm", document["kill_id"], "--reason", "looked").returncode == 0
    code, lines, err = paper.start().send(bar(4, 60), bar(5, 60)).end()
    assert code == 0, err
    assert lines[-1]["risk"]["open_positions"] == {"ACME": 10.0}


def test_ctrl_c_during_a_long_feature_ends_in_order_and_the_bar_can_come_again(tmp_path: Path):
    paper = Paper(tmp_path / "run", (LEVEL, "level: {type: python, target: 'own:Level'}"))
    (paper.folder / "own.py").write_text(SLOW_FEATURE)
    holding(paper).signal(signal.SIGINT)
    code, lines, err = paper.end()
    assert code == 130, err
    assert (lines[-1]["event"], lines[-1]["slices"]) == ("summary", 3)
    code, lines, err = paper.start().send(bar(4, 61), bar(5, 62)).end()
    assert code == 0, err
    assert lines[-1]["slices"] == 5
    paper.assert_sound()
