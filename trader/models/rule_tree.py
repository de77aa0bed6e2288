"""The tree of a rule, and its normal form without `not`.

Law: a comparison with an undefined operand (NaN: a quote that is missing, a division by zero) is
neither true nor false, and a rule holds only if it is surely true. That is what `and`, `or` and
`not` of three-valued logic say. `without_not` pushes every `not` down to the comparisons
(`not a > b` becomes `a <= b`), after which "an undefined comparison is false" gives the same
answer with plain booleans.
"""

from dataclasses import dataclass

NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True)
class Column:
    """A feature (`index` ≥ 0 is its column) or a field of the bar (`index` is −1)."""

    name: str
    index: int


@dataclass(frozen=True)
class Arithmetic:
    """`op` is + - * / (two operands), neg or abs (one), min or max (two or more)."""

    op: str
    operands: tuple["Numeric", ...]


@dataclass(frozen=True)
class Comparison:
    """`left op right`, op one of < <= > >= == !=."""

    op: str
    left: "Numeric"
    right: "Numeric"


@dataclass(frozen=True)
class Logic:
    """`op` is and, or (two or more items) or not (one)."""

    op: str
    items: tuple["Condition", ...]


@dataclass(frozen=True)
class Truth:
    """`true` or `false` written out."""

    value: bool


Numeric = Number | Column | Arithmetic
Condition = Comparison | Logic | Truth


def without_not(condition: Condition, negated: bool = False) -> Condition:
    """An equal condition (negated if asked) in which no `not` is left."""
    if isinstance(condition, Truth):
        return Truth(condition.value != negated)
    if isinstance(condition, Comparison):
        op = NEGATED[condition.op] if negated else condition.op
        return Comparison(op, condition.left, condition.right)
    if condition.op == "not":
        return without_not(condition.items[0], not negated)
    op = condition.op if not negated else ("or" if condition.op == "and" else "and")
    return Logic(op, tuple(without_not(item, negated) for item in condition.items))
