"""The commands and the Python of docs/sweep.md run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "sweep.md").read_text("utf-8")


@pytest.mark.process
def test_the_first_command_and_the_python_of_the_page_run(tmp_path: Path):
    first = re.findall(r"```\n(trader .*?)```", PAGE, re.DOTALL)[0]
    (python,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    words = first.replace("\\\n", " ").split()[1:]
    lines = [["-m", "trader", "init", "demo"], ["-m", "trader", *words], ["-c", python]]
    folder = tmp_path
    for line in lines:
        done = subprocess.run(
            [sys.executable, *line], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "demo"
        if "sweep" in line:
            assert "9 trials" in done.stdout
    assert "trials" in done.stdout
