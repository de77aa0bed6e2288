"""The commands and the Python of docs/sweep.md run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import warm
from trader.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "sweep.md").read_text("utf-8")


@pytest.mark.process
def test_the_first_command_and_the_python_of_the_page_run(tmp_path: Path):
    first = re.findall(r"```\n(trader .*?)```", PAGE, re.DOTALL)[0]
    (python,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    words = first.replace("\\\n", " ").split()[1:]
    assert app.run(["init", str(tmp_path / "demo")]) == 0
    done = warm.run(words, cwd=tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert "9 trials" in done.stdout
    done = subprocess.run(
        [sys.executable, "-c", python],
        cwd=tmp_path / "demo",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "trials" in done.stdout
