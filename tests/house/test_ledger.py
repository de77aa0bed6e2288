"""Cash, quantities, average prices and P&L have one writer, `core.ledger`: proven on the sources.

Not looked at is `risk.py`, which fills in a book of its own to ask one question.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "trader"
ROOMS = ("core", "engine", "brokers", "safety", "jobs")
LEDGER = "core/ledger.py"
MONEY = {"cash", "realized_pnl", "avg_price", "commission"}
# fields of these have the same names; they tell of money, or set it for the start, and are none
ROWS = {"order", "fill", "cashflow", "flow", "equity", "broker"}


def written(source: ast.AST) -> list[tuple[str, str, int]]:
    """(record, field, line) of every assignment to a field by its name."""
    targets: list[ast.expr] = []
    for node in ast.walk(source):
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets.append(node.target)
    flat = [part for target in targets for part in ast.walk(target)]
    return [
        (ast.unparse(part.value), str(part.slice.value), part.lineno)
        for part in flat
        if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant)
    ]


def other_writers(source: ast.AST) -> list[str]:
    """Assignments that change money or a position."""
    return [
        f"line {line}: {record}[{field!r}]"
        for record, field, line in written(source)
        if field in MONEY | {"qty"} and record not in ROWS
    ]


def sources() -> list[Path]:
    """Every source of the rooms that have a book in their hands."""
    return [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]


def test_only_the_ledger_writes_money_and_positions():
    found = {
        str(path.relative_to(PACKAGE)): lines
        for path in sources()
        if (lines := other_writers(ast.parse(path.read_text("utf-8"))))
    }
    assert set(found) == {LEDGER}, found


@pytest.mark.parametrize(
    "line",
    [
        'account["cash"] += 1.0',
        'book.account[0]["cash"] = 1.0',
        'position["qty"] = 0.0',
        'book.positions[symbol]["avg_price"] /= 2.0',
        'position["realized_pnl"], other = 1.0, 2.0',
        'book.positions["qty"] = 0.0',
    ],
)
def test_a_writer_elsewhere_is_found(line):
    assert len(other_writers(ast.parse(line))) == 1


def test_rows_and_reads_are_no_writers():
    text = 'order["qty"] = 1.0\nfill["commission"] = position["qty"]\nheld = account["cash"]'
    assert other_writers(ast.parse(text)) == []
