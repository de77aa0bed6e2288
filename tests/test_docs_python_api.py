"""The Python of docs/python-api.md runs, and does what it says."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

from trader.cli.app import run

PAGE = (Path(__file__).parents[1] / "docs" / "python-api.md").read_text("utf-8")


def test_the_loop_of_the_page_gives_the_digest_of_the_backtest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (block,) = [
        code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "asyncio" in code
    ]
    monkeypatch.chdir(tmp_path)
    assert run(["init", "demo"]) == 0
    monkeypatch.chdir(tmp_path / "demo")
    capsys.readouterr()
    assert run(["backtest", "-c", "configs/demo.yaml", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    said = io.StringIO()
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(said):
        exec(compile(block, "python-api.md", "exec"), names)
    how, digest, equity = said.getvalue().split()
    assert (how, digest) == ("end", expected["digest"])
    assert float(equity) == pytest.approx(expected["final_equity"])
    fills = names["fills"]
    assert isinstance(fills, list)
    assert len(fills) == expected["fills"]
