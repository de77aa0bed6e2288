"""The Python of docs/python-api.md and its examples runs; every public name is on the page."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import trader
from trader import errors

pytestmark = pytest.mark.process

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "python-api.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def said(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_of_the_example_gives_the_digest_of_the_backtest(tmp_path: Path):
    said(tmp_path, "-m", "trader", "init", "demo")
    demo = tmp_path / "demo"
    expected = json.loads(
        said(demo, "-m", "trader", "backtest", "-c", "configs/demo.yaml", "--json")
    )
    how, digest, equity, fills = said(demo, str(DOCS / "examples" / "loop.py")).split()
    assert (how, digest) == ("end", expected["digest"])
    assert abs(float(equity) - expected["final_equity"]) < 1e-6
    assert int(fills) == expected["fills"]


def test_the_backtest_of_the_page_runs(tmp_path: Path):
    (block,) = [code for code in BLOCKS if "trader.load_run" in code]
    said(tmp_path, "-m", "trader", "init", "demo")
    (tmp_path / "demo" / "page.py").write_text(block + "\nprint(len(run.trades))\n")
    assert int(said(tmp_path / "demo", "page.py")) > 0


def test_the_stop_of_the_example_stops_and_the_callback_is_told(tmp_path: Path):
    script = DOCS / "examples" / "risk_events.py"
    shown = (ast.get_docstring(ast.parse(script.read_text("utf-8"))) or "").splitlines()[-1].strip()
    assert said(tmp_path, str(script)).splitlines() == [shown]
    found = json.loads(said(tmp_path, "-m", "trader", "status", "--json"))
    assert found["latched"]
    assert [kill["code"] for kill in found["kills"]] == ["MARKET_VOLATILITY"]


def test_every_public_name_is_on_the_page_and_can_be_imported():
    named = set(re.findall(r"`(\w+)`", PAGE))
    public = set(trader.__all__) - {"__version__"}
    assert public <= named
    # `features` is a package too, and can be called: its full name stands in it
    assert all(getattr(trader, name).__name__.split(".")[-1] == name for name in public)
    assert public <= set(dir(trader))
    kinds = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type)}
    assert kinds <= public


def test_type_checkers_are_told_of_the_same_names():
    tree = ast.parse(Path(trader.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.asname: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert told == trader._PUBLIC


def test_importing_the_package_loads_none_of_its_modules(tmp_path: Path):
    code = "import sys, trader; print(*[name for name in sys.modules if 'trader' in name])"
    assert said(tmp_path, "-c", code).split() == ["trader"]
    code = "import sys, trader; trader.KilledError; print('numpy' in sys.modules)"
    assert said(tmp_path, "-c", code).split() == ["False"]
