"""The five steps from a notebook to paper: every file and command of the page, as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trader.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/own-model.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [text for named, text in found if named == language]


@pytest.mark.process
def test_the_five_steps_run_as_they_stand(tmp_path, monkeypatch):
    home = tmp_path / "demo"
    assert app.run(["init", str(home)]) == 0
    monkeypatch.chdir(home)
    (code,), (layer,) = blocks("python"), blocks("yaml")
    Path("configs/my_features.py").write_text(code)
    Path("configs/mine.yaml").write_text(layer)
    trader = f'trader() {{ "{sys.executable}" -m trader "$@"; }}\n'
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TRADER_HOME": str(tmp_path / "home"),
        "LC_ALL": "C.UTF-8",
    }
    told = ""
    commands = [line for block in blocks("") for line in block.splitlines()]
    assert len(commands) == 7
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", trader + command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        told += done.stdout
    assert "verdict    pass" in told
    assert "Walk-forward: 3 folds" in told
    assert "on those it had never seen" in told
