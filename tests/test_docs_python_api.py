"""The Python of docs/python-api.md runs, and does what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "python-api.md").read_text("utf-8")


def said(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_of_the_page_gives_the_digest_of_the_backtest(tmp_path: Path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (block,) = [code for code in blocks if "asyncio" in code]
    said(tmp_path, "-m", "trader", "init", "demo")
    demo = tmp_path / "demo"
    expected = json.loads(
        said(demo, "-m", "trader", "backtest", "-c", "configs/demo.yaml", "--json")
    )
    (demo / "page.py").write_text(block + "\nprint(len(fills))\n")
    how, digest, equity, fills = said(demo, "page.py").split()
    assert (how, digest) == ("end", expected["digest"])
    assert abs(float(equity) - expected["final_equity"]) < 1e-6
    assert int(fills) == expected["fills"]
