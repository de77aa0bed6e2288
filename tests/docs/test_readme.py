"""The README's backtest is what the program prints, and its links lead somewhere."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.harness import warm

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()


def from_the_root(*words: str) -> "subprocess.CompletedProcess[str]":
    done = warm.run(words, cwd=ROOT, env={**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.process
def test_the_output_shown_is_the_output(tmp_path):
    shown = re.search(r"```text\n(.*?)\n```", TEXT, re.DOTALL)
    assert shown is not None
    done = from_the_root("backtest", "-c", "configs/demo.yaml", "--out", str(tmp_path))
    printed = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
    assert printed[1:] == shown[1].splitlines()[1:], "run the demo and paste its output"


def test_every_file_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_example_of_the_python_page_runs_and_answers_as_shown():
    page = (ROOT / "docs/python-api.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (code,) = [block for block in blocks if "verdict = " in block]
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - our own page
    verdict, cut = names["verdict"], names["cut"]
    shown = (verdict.allowed, verdict.reason, verdict.observed, verdict.limit)
    assert f"# {shown}" in code
    assert f"# {(cut.original_size, cut.size, [step.reason.name for step in cut.steps])}" in code


@pytest.mark.process
def test_what_the_readme_says_of_the_trained_model_is_what_it_prints(tmp_path):
    (shown,) = re.findall(r"```\n(WARNING: in sample.*?)\n```", TEXT, re.DOTALL)
    done = from_the_root("backtest", "-c", "configs/demo_sklearn.yaml", "--out", str(tmp_path))
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    assert shown in printed, "run it and paste what it says"
