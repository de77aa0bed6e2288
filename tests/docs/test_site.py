"""Every link of every page leads somewhere, the site builds, and the first hour is an hour."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from trader.cli.app import build_app

ROOT = Path(__file__).resolve().parents[2]

DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "decisions" not in path.parts)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page):
    """What the headings of a page are called in a link, as GitHub and mkdocs call them."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", head.lower()).strip() for head in heads]
    named = set(re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text("utf-8")))
    return {re.sub(r"[-\s]+", "-", head) for head in plain} | named


def broken(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{page.relative_to(ROOT)}: {link}"


def test_every_link_leads_to_a_page_and_a_heading():
    assert len(PAGES) > 15
    assert [wrong for page in [*PAGES, ROOT / "README.md"] for wrong in broken(page)] == []


def test_a_broken_link_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# One thing\n[a](#one-thing) [b](#two) [c](gone.md) [d](page.md#one-thing)\n")
    assert list(broken(page)) == ["page.md: #two", "page.md: gone.md"]


def test_every_page_is_in_the_index_and_in_the_site():
    index, site = (DOCS / "index.md").read_text(), (ROOT / "mkdocs.yml").read_text()
    names = {str(path.relative_to(DOCS)) for path in PAGES} - {"index.md"}
    assert {name for name in names if f"]({name})" not in index} == set()
    assert {name for name in names if f": {name}\n" not in site} == set()


@pytest.mark.process
def test_the_site_builds_and_asks_no_other_host_for_anything(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        fetched = re.findall(
            r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?://[^\"]+)", page.read_text()
        )
        assert fetched == []


def commands():
    """(page, words) of every `trader` line in a shell block of the guides."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["trader"]:
                    yield page.name, words[1:]


def test_every_command_shown_exists_with_its_options():
    shown = list(commands())
    assert len(shown) > 20
    top = typer.main.get_command(build_app())
    for page, words in shown:
        command = top
        for word in words:
            command = getattr(command, "commands", {}).get(word, command)
        assert command is not top, (page, words)
        known = {
            name for option in command.params for name in (*option.opts, *option.secondary_opts)
        }
        if command.name != "kill":  # reads its own words
            assert {word for word in words if word[:2] == "--"} <= known, (page, words)


@pytest.mark.trials
@pytest.mark.timeout(900)
@pytest.mark.process
def test_every_command_of_the_first_hour_runs(tmp_path, trader_home):
    text = (DOCS / "first-hour.md").read_text("utf-8")
    lines = [
        line
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(lines) > 12
    script = "\n".join(
        ["set -e", f'trader() {{ {shlex.quote(sys.executable)} -m trader "$@"; }}', *lines]
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "first hour is over" in done.stdout
