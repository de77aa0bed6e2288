"""The five steps from a notebook to paper: every file and command of the page, as they stand."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.harness import warm
from trader.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/own-model.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [text for named, text in found if named == language]


def words_of(command: str) -> list[str]:
    """The words that a shell makes of a line."""
    made = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True
    )
    return made.stdout.split("\0")[:-1]


def shorten(first: str, end: str) -> None:
    """Keep the bundled bars from `first` to `end`: a row takes the forest milliseconds."""
    bars = Path("data/acme.csv")
    head, *rows = bars.read_text().splitlines(keepends=True)
    bars.write_text(head + "".join(row for row in rows if first <= row < end))


@pytest.mark.timeout(600)  # compiles, trains and runs paper: minutes on a machine at load 15
@pytest.mark.process
def test_the_five_steps_run_as_they_stand(tmp_path, monkeypatch):
    home = tmp_path / "demo"
    assert app.run(["init", str(home)]) == 0
    monkeypatch.chdir(home)
    shorten("2024-03-08", "2024-03-13")
    (code,), (layer,) = blocks("python"), blocks("yaml")
    Path("configs/my_features.py").write_text(code)
    Path("configs/mine.yaml").write_text(layer)
    environment = {**os.environ, "TRADER_HOME": str(tmp_path / "home")}
    told = ""
    commands = [line for block in blocks("") for line in block.splitlines()]
    assert len(commands) == 7
    for command in commands:
        program, *words = words_of(command)
        assert program == "trader"
        if words[0] == "backtest":  # some bars the model has learned from, and some it has not
            shorten("2024-03-11T18:00", "2024-03-12T16:00")
        done = warm.run(words, env=environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        told += done.stdout
    assert "verdict    pass" in told
    assert "Walk-forward: 3 folds" in told
    assert "on those it had never seen" in told
