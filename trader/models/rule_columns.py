"""Evaluates a rule's tree over columns of numbers.

Law: element by element only, so that a row gives the same bits alone and among a million; NaN
means undefined. A division by zero, of anything, is undefined: no fill price or volume of zero
makes an infinity that wins a comparison.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from trader.models.rule_tree import (
    Column,
    Comparison,
    Condition,
    Logic,
    Number,
    Numeric,
    Truth,
)

Values = Any  # float64 array of one block, or one np.float64 for a constant
Holds = Any  # bool array of one block, or one np.bool_


def quotient(left: Values, right: Values) -> Values:
    """left / right, NaN where right is 0."""
    result = np.divide(left, right)
    by_zero = np.equal(right, 0.0)
    return np.where(by_zero, np.nan, result) if np.any(by_zero) else result


def _unequal(left: Values, right: Values) -> Holds:
    """Different and both defined; NumPy's own `!=` holds for NaN."""
    return np.logical_or(np.less(left, right), np.greater(left, right))


_TWO: Mapping[str, Callable[[Values, Values], Values]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": quotient,
    "min": np.minimum,
    "max": np.maximum,
}
_ONE: Mapping[str, Callable[[Values], Values]] = {"neg": np.negative, "abs": np.absolute}
_COMPARE: Mapping[str, Callable[[Values, Values], Holds]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": _unequal,
}


def values_of(node: Numeric, columns: Mapping[str, np.ndarray]) -> Values:
    """The number in every row of the block; `columns` holds each name the rule uses."""
    if isinstance(node, Number):
        return np.float64(node.value)
    if isinstance(node, Column):
        return columns[node.name]
    operands = [values_of(operand, columns) for operand in node.operands]
    if len(operands) == 1:
        return _ONE[node.op](operands[0])
    return reduce(_TWO[node.op], operands)


def holds(node: Condition, columns: Mapping[str, np.ndarray]) -> Holds:
    """Where a condition without `not` is surely true."""
    if isinstance(node, Truth):
        return np.bool_(node.value)
    if isinstance(node, Comparison):
        left, right = values_of(node.left, columns), values_of(node.right, columns)
        return _COMPARE[node.op](left, right)
    join = np.logical_and if node.op == "and" else np.logical_or
    return reduce(join, [holds(item, columns) for item in node.items])


def names_in(node: Numeric | Condition) -> dict[str, int]:
    """Each name the tree uses, with its feature column or −1 for a field of the bar."""
    if isinstance(node, Column):
        return {node.name: node.index}
    if isinstance(node, Number | Truth):
        return {}
    if isinstance(node, Comparison):
        return names_in(node.left) | names_in(node.right)
    found: dict[str, int] = {}
    for part in node.items if isinstance(node, Logic) else node.operands:
        found |= names_in(part)
    return found
