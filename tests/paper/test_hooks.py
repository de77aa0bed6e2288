"""Hooks from the config of a paper run, sync and async, well and badly behaved. Real processes."""

import json
import re
from pathlib import Path

import pytest

from tests.paper_kit import Paper, bar
from trader.engine.hooks import EVENTS

pytestmark = pytest.mark.process

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "paper.md").read_text("utf-8")

HOOKS = """
import asyncio, json, os, time

def keep(details):
    with open("told.jsonl", "a") as file:
        file.write(json.dumps(details) + "\\n")

async def keep_fill(details):
    await asyncio.sleep(0)
    with open("fills.jsonl", "a") as file:
        file.write(json.dumps(details) + "\\n")

def breaks(details):
    raise SystemExit("no")

def hangs(details):
    time.sleep(600)

async def blocks(details):
    time.sleep(600)

async def leaves(details):
    raise SystemExit(3)

def speaks(details):
    print("said by Python")
    os.write(1, b"said to the descriptor\\n")
"""


def with_hooks(folder: Path, hooks: str) -> Paper:
    section = f"hooks: {hooks}\nexecution: {{hook_timeout_seconds: 0.5, "
    paper = Paper(folder, ("execution: {", section))
    (paper.folder / "mine.py").write_text(HOOKS)
    return paper


def told(paper: Paper, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (paper.folder / name).read_text().splitlines()]


def test_hooks_of_the_config_are_told_every_event_in_order(tmp_path: Path):
    hooks = "[mine:keep, {event: order_filled, target: 'mine:keep_fill'}]"
    paper = with_hooks(tmp_path / "run", hooks)
    paper.start().send(bar(1, 60), bar(2, 60), bar(3, 61))
    code, _, err = paper.end()
    assert code == 0, err
    events = [one["event"] for one in told(paper, "told.jsonl")]
    assert events[0] == "trading_started"
    assert events[-1] == "trading_stopped"
    assert events.count("bar") == 3
    assert events.index("order_sent") < events.index("order_filled")
    (fill,) = told(paper, "fills.jsonl")
    assert fill["symbol"] == "ACME"
    assert fill["side"] == "BUY"


def test_hooks_that_raise_or_hang_neither_stop_nor_delay_a_run_and_are_reported(tmp_path: Path):
    names = ("breaks", "hangs", "blocks", "leaves")
    hooks = ", ".join(f"{{event: bar, target: 'mine:{name}'}}" for name in names)
    paper = with_hooks(tmp_path / "run", f"[{hooks}]")
    paper.start().send(*(bar(i, 60 + i) for i in range(1, 30)))
    code, out, err = paper.end(60)
    assert code == 0, err
    assert out[-1]["slices"] == 29
    assert all(f"bar hook {name}: " in err for name in names), err
    paper.assert_sound()


def test_what_hooks_print_is_no_event(tmp_path: Path):
    paper = with_hooks(tmp_path / "run", "[{event: bar, target: 'mine:speaks'}]")
    paper.start().send(*(bar(i, 60) for i in range(1, 4)))
    code, out, err = paper.end()  # each line of stdout is JSON
    assert code == 0, err
    assert out[-1]["event"] == "summary"
    assert err.count("said by Python\n") == err.count("said to the descriptor\n") == 3


def test_a_hook_may_name_any_event_there_is(tmp_path: Path):
    hooks = ", ".join(f"{{event: {event}, target: 'mine:keep'}}" for event in EVENTS)
    done = with_hooks(tmp_path / "run", f"[{hooks}]").run("validate", "-c", "live.yaml")
    assert done.returncode == 0, done.stderr


def test_the_page_lists_every_event_there_is():
    listed = re.findall(r"^([a-z]+(?:_[a-z]+)*)  ", PAGE.split("## Hooks")[1], re.MULTILINE)
    assert listed == list(EVENTS)


def test_a_hook_that_does_not_exist_is_a_config_error_with_its_place(tmp_path: Path):
    paper = with_hooks(tmp_path / "run", "['mine:missing']")
    paper.start()
    code, _, err = paper.end()
    assert code == 3
    assert "missing" in err
    assert "hooks" in err
    assert not list(paper.folder.glob("runs/*"))


def test_validate_checks_a_live_config_without_waiting_for_bars(tmp_path: Path):
    paper = with_hooks(tmp_path / "run", "[mine:keep]")
    done = paper.run("validate", "-c", "live.yaml")
    assert done.returncode == 0, done.stderr
    assert "no bars before it runs" in done.stdout
    broken = with_hooks(tmp_path / "broken", "['nowhere:keep']")
    done = broken.run("validate", "-c", "live.yaml")
    assert done.returncode == 3
    assert "nowhere" in done.stderr
