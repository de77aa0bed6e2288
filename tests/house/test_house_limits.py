"""The house limits of STYLE.md, enforced on the sources of the package.

A line `# house: LIMIT - REASON` lifts one of them: anywhere in the file for `module lines` and
`name`; inside the function, or on the line above it, for `function lines` and `parameters`; on
the line itself or above it for `line length`. A line that lifts nothing is reported too.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "trader"
MODULE_LINES, FUNCTION_LINES, PARAMETERS, LINE_LENGTH = 300, 70, 6, 100
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "base", "manager", "managers"}
LIFT = re.compile(r"#\s*house:\s*(?P<limit>[a-z ]+?)\s+-\s+\S")
LIFT_START = re.compile(r"#\s*house:")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Excess(NamedTuple):
    """One limit passed: on `line`, liftable from `first` to `last`."""

    limit: str
    line: int
    what: str
    first: int
    last: int


def excesses(path: Path, text: str) -> Iterator[Excess]:
    """Every limit that a source file passes, lifted or not."""
    lines = text.splitlines()
    whole = (1, max(1, len(lines)))
    if len(lines) > MODULE_LINES:
        yield Excess("module lines", 1, f"{len(lines)} of {MODULE_LINES}", *whole)
    if words_of(path.stem) & FORBIDDEN_NAMES:
        yield Excess("name", 1, f"{path.stem} says nothing about what is in it", *whole)
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_LENGTH:
            what = f"{len(line)} of {LINE_LENGTH}"
            yield Excess("line length", number, what, number - 1, number)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function | ast.ClassDef) and words_of(node.name) & FORBIDDEN_NAMES:
            yield Excess("name", node.lineno, f"{node.name} says nothing about what it is", *whole)
        if isinstance(node, Function):
            yield from function_excesses(node)


def function_excesses(node: Function) -> Iterator[Excess]:
    last = node.end_lineno or node.lineno
    first = min([node.lineno, *(item.lineno for item in node.decorator_list)]) - 1
    lines = last - node.lineno + 1
    if lines > FUNCTION_LINES:
        what = f"{node.name} has {lines} of {FUNCTION_LINES}"
        yield Excess("function lines", node.lineno, what, first, last)
    given = node.args
    names = [item.arg for item in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [item.arg for item in (given.vararg, given.kwarg) if item]
    count = len([name for name in names if name not in ("self", "cls")])
    if count > PARAMETERS:
        what = f"{node.name} has {count} of {PARAMETERS}"
        yield Excess("parameters", node.lineno, what, first, last)


def words_of(name: str) -> set[str]:
    """`OrderManager` and `order_manager` have the words order and manager."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return set(spaced.lower().split("_"))


def broken_limits(package: Path) -> list[str]:
    """One line for each limit passed and not lifted, and for each lifting line without effect."""
    found = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text("utf-8")
        place = path.relative_to(package)
        lifts = {
            number: match["limit"] if (match := LIFT.search(line)) else None
            for number, line in enumerate(text.splitlines(), 1)
            if LIFT_START.search(line)
        }
        used = set()
        for excess in excesses(path, text):
            inside = range(excess.first, excess.last + 1)
            lifting = {n for n, limit in lifts.items() if n in inside and limit == excess.limit}
            used |= lifting
            if not lifting:
                found.append(f"{place}:{excess.line}: {excess.limit}: {excess.what}")
        found += [
            f"{place}:{number}: `# house:` lifts nothing here, or gives no reason"
            for number in sorted(set(lifts) - used)
        ]
    return found


@pytest.mark.long
def test_sources_keep_the_house_limits():
    assert broken_limits(PACKAGE) == []


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * 70
MANY_PARAMETERS = "def f(a, b, c, d, *, e, f, **g): ...\n"


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("a.py", "x = 1\n" * 301, "a.py:1: module lines: 301 of 300"),
        ("a.py", LONG_FUNCTION, "a.py:1: function lines: f has 71 of 70"),
        ("a.py", MANY_PARAMETERS, "a.py:1: parameters: f has 7 of 6"),
        ("a.py", f"x = '{'y' * 96}'\n", "a.py:1: line length: 102 of 100"),
        ("utils.py", "", "utils.py:1: name"),
        ("order_helpers.py", "", "order_helpers.py:1: name"),
        ("a.py", "class OrderManager: ...\n", "a.py:1: name"),
        ("a.py", "# house: module lines - long\n", "lifts nothing"),
        ("a.py", "# house: module lines\n" + "x = 1\n" * 300, "gives no reason"),
        ("a.py", f"# house: parameters - why\n\n{MANY_PARAMETERS}", "a.py:3: parameters"),
    ],
)
def test_passed_limit_is_found(tmp_path, name, source, found):
    (tmp_path / name).write_text(source)
    assert any(found in line for line in broken_limits(tmp_path))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.py", "x = 1\n" * 300),
        ("a.py", "def f():\n" + "    x = 1\n" * 69),
        ("a.py", "class C:\n    def f(self, a, b, c, d, e, f): ...\n"),
        ("baseline.py", "def rebase(): ...\n"),
        ("a.py", "# house: module lines - a table\n" + "x = 1\n" * 300),
        ("a.py", f"{LONG_FUNCTION}    # house: function lines - a table\n    return\n"),
        ("a.py", f"# house: parameters - fixed from outside\n{MANY_PARAMETERS}"),
        ("a.py", f"# house: line length - a quotation\nx = '{'y' * 96}'\n"),
        ("common.py", "# house: name - the field's own word\n"),
    ],
)
def test_kept_or_lifted_limit_is_not_reported(tmp_path, name, source):
    (tmp_path / name).write_text(source)
    assert broken_limits(tmp_path) == []
