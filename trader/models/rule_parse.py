"""Parses a rule into a tree by precedence climbing. Nothing is ever evaluated as Python.

    or  <  and  <  not  <  comparisons (chained: a < b < c)  <  + -  <  * /  <  unary -  <  ( )

Law: a tree that comes out is well typed (conditions and numbers never mix), every name in it
exists, and its depth is bounded. Errors are `ConfigError` with the column and a remedy.
"""

import difflib
import math
from collections.abc import Sequence

from trader.models.rule_tokens import KEYWORDS, RuleText, Token, tokens
from trader.models.rule_tree import (
    Arithmetic,
    Column,
    Comparison,
    Condition,
    Logic,
    Number,
    Numeric,
    Truth,
)

BAR_FIELDS = ("open", "high", "low", "close", "volume", "bid", "ask")
FUNCTIONS = ("abs", "min", "max")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
MAX_NESTING = 40  # brackets, signs, `not`s and functions inside each other
_STRENGTH = {"or": 1, "and": 2, "+": 5, "-": 5, "*": 6, "/": 6} | dict.fromkeys(COMPARISONS, 4)
_NOT, _SIGN = 3, 7

Node = Numeric | Condition


def parse_rule(rule: RuleText, feature_names: Sequence[str]) -> Condition:
    """The condition that the rule's text means; `ConfigError` (key of the rule) if it has none."""
    return _Parser(rule, feature_names).whole()


def _is_number(node: Node) -> bool:
    return isinstance(node, Number | Column | Arithmetic)


class _Parser:
    def __init__(self, rule: RuleText, feature_names: Sequence[str]) -> None:
        self.rule = rule
        self.features = {name: i for i, name in enumerate(feature_names)}
        self.tokens = tokens(rule)
        self.i = 0
        self.nesting = 0

    @property
    def now(self) -> Token:
        return self.tokens[self.i]

    def step(self) -> Token:
        token = self.now
        self.i += 1
        return token

    def whole(self) -> Condition:
        if self.now.kind == "end":
            self.rule.fail(0, "is empty; write a condition such as sma_fast > sma_slow")
        node = self.expression(0)
        if self.now.kind != "end":
            self.stray()
        return self.condition(node, 0)

    def expression(self, floor: int) -> Node:
        """An operand and every operator after it that binds tighter than `floor`."""
        start = self.now.at
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.rule.fail(start, f"is nested more than {MAX_NESTING} deep; make features of parts")
        left = self.operand()
        while (strength := _STRENGTH.get(self.now.text, 0)) > floor:
            if self.now.text in COMPARISONS:
                left = self.chain(left, start)
            elif self.now.text in ("and", "or"):
                left = self.logic(left, start, strength)
            else:
                op = self.step()
                left = self.number(left, start)
                at = self.now.at
                right = self.number(self.expression(strength), at)
                left = Arithmetic(op.text, (left, right))
        self.nesting -= 1
        return left

    def logic(self, left: Node, start: int, strength: int) -> Logic:
        op = self.now.text
        items = [self.condition(left, start)]
        while self.now.text == op:
            self.step()
            at = self.now.at
            items.append(self.condition(self.expression(strength), at))
        return Logic(op, tuple(items))

    def chain(self, left: Node, start: int) -> Condition:
        """`a < b <= c` means `a < b and b <= c`."""
        pairs: list[Comparison] = []
        last = self.number(left, start)
        while self.now.text in COMPARISONS:
            op = self.step().text
            at = self.now.at
            right = self.number(self.expression(_STRENGTH[op]), at)
            pairs.append(Comparison(op, last, right))
            last = right
        return pairs[0] if len(pairs) == 1 else Logic("and", tuple(pairs))

    def operand(self) -> Node:
        token = self.step()
        if token.kind == "number":
            value = float(token.text)
            if not math.isfinite(value):
                self.rule.fail(token.at, f"{token.text} is too large for a number")
            return Number(value)
        if token.kind == "name":
            return self.call(token) if self.now.text == "(" else self.column(token)
        if token.text in ("true", "false"):
            return Truth(token.text == "true")
        if token.text == "not":
            at = self.now.at
            return Logic("not", (self.condition(self.expression(_NOT), at),))
        if token.text in ("-", "+"):
            at = self.now.at
            value_of = self.number(self.expression(_SIGN), at)
            return Arithmetic("neg", (value_of,)) if token.text == "-" else value_of
        if token.text == "(":
            node = self.expression(0)
            self.close(token)
            return node
        self.i -= 1
        what = "the end of the rule" if token.kind == "end" else repr(token.text)
        self.rule.fail(token.at, f"a name, a number or '(' is missing before {what}")

    def close(self, opened: Token) -> None:
        if self.now.text == ")":
            self.step()
        elif self.now.kind == "end":
            self.rule.fail(opened.at, "this '(' is never closed")
        else:
            self.stray()

    def call(self, name: Token) -> Arithmetic:
        if name.text not in FUNCTIONS:
            self.rule.fail(
                name.at,
                f"there is no function {name.text!r}; a rule knows {', '.join(FUNCTIONS)}, "
                "and indicators are defined under `features`",
            )
        opened = self.step()
        operands: list[Numeric] = []
        while not operands or self.now.text == ",":
            if operands:
                self.step()
            at = self.now.at
            operands.append(self.number(self.expression(0), at))
        self.close(opened)
        wanted = "one operand" if name.text == "abs" else "two or more operands"
        if (len(operands) == 1) != (name.text == "abs"):
            self.rule.fail(name.at, f"{name.text} takes {wanted}, not {len(operands)}")
        return Arithmetic(name.text, tuple(operands))

    def column(self, name: Token) -> Column:
        if name.text in self.features:
            return Column(name.text, self.features[name.text])
        if name.text in BAR_FIELDS:
            return Column(name.text, -1)
        known = [*self.features, *BAR_FIELDS]
        near = difflib.get_close_matches(name.text, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        self.rule.fail(name.at, f"unknown name {name.text!r}; {hint}")

    def number(self, node: Node, at: int) -> Numeric:
        if _is_number(node):
            return node  # type: ignore[return-value]
        self.rule.fail(at, "a number is needed here, and this is a condition")

    def condition(self, node: Node, at: int) -> Condition:
        if not _is_number(node):
            return node  # type: ignore[return-value]
        self.rule.fail(at, "a condition is needed here, and this is a number; compare it (x > 0)")

    def stray(self) -> None:
        token = self.now
        if token.text == ")":
            self.rule.fail(token.at, "this ')' closes nothing")
        if token.text == ",":
            self.rule.fail(token.at, "a ',' belongs inside min(…) or max(…)")
        near = difflib.get_close_matches(token.text.lower(), sorted(KEYWORDS), n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        self.rule.fail(token.at, f"an operator is missing before {token.text!r}{hint}")
