"""Mutants of a source file: each is the file with one small mistake in it.

    comparison   < to <= and >=, == to !=, in to not in, is to is not, and so on
    boolean      and/or exchanged, `not` left out, a condition that is never or always so
    arithmetic   + and - exchanged, * and /, << and >>, & and |
    constant     a number one more, a text another text, True and False exchanged
    return       None in place of the value (0 in place of None; True and False: see constant)
    statement    a call, an assignment, a raise, a loop's break left out

Docstrings, annotations and the texts of f-strings are left alone.
"""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
DELETABLE = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Raise, ast.Break, ast.Continue)


class Mutant(NamedTuple):
    """One mistake: where it is, what was and what is there now, and the whole source with it."""

    line: int
    kind: str
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """`kind: before -> after`; with the line it says which mutant this is."""
        return f"{self.kind}: {self.before} -> {self.after}"


def mutants_of(source: str) -> list[Mutant]:
    """Every mutant of a source text, in the order of its lines."""
    tree = ast.parse(source)
    found = []
    for path, node in _walk(tree, ()):
        for kind, fresh in _changes(node):
            changed = copy.deepcopy(tree)
            _put(changed, path, fresh)
            text = ast.unparse(ast.fix_missing_locations(changed))
            found.append(Mutant(node.lineno, kind, _shown(node), _shown(fresh), text))
    return sorted(found, key=lambda mutant: mutant.line)


def _walk(node: ast.AST, path: tuple) -> Iterator[tuple[tuple, ast.AST]]:
    """Every node that may be mutated, with the fields and indices that lead to it."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "ctx", "op", "ops") or isinstance(
            node, ast.JoinedStr
        ):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not _is_docstring(child):
                step = (*path, (field, index))
                if hasattr(child, "lineno"):
                    yield step, child
                yield from _walk(child, step)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _put(tree: ast.AST, path: tuple, fresh: ast.AST) -> None:
    """Replaces the node at a path."""
    for field, index in path[:-1]:
        tree = getattr(tree, field) if index is None else getattr(tree, field)[index]
    field, index = path[-1]
    if index is None:
        setattr(tree, field, fresh)
    else:
        getattr(tree, field)[index] = fresh


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield "comparison", ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "boolean", ast.BoolOp(other, node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "boolean", node.operand
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "arithmetic", node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield "arithmetic", ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant):
        fresh = _other_constant(node.value)
        if fresh is not None:
            yield "constant", ast.Constant(fresh)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_bool(node.value):
        yield "return", ast.Return(ast.Constant(0 if _is_none(node.value) else None))
    elif isinstance(node, ast.If | ast.While):
        fresh = copy.copy(node)
        fresh.test = ast.Constant(False)
        yield "boolean", fresh
        if isinstance(node, ast.If):  # a loop that never ends shows itself
            fresh = copy.copy(node)
            fresh.test = ast.Constant(True)
            yield "boolean", fresh
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield "arithmetic", ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)
    if isinstance(node, DELETABLE):
        yield "statement", ast.Pass()


def _is_none(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_bool(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, bool)


def _other_constant(value: object) -> object:
    """Another value of the same type; None where there is no such thing."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "XX"
    return value + b"XX" if isinstance(value, bytes) else None


def _shown(node: ast.AST) -> str:
    text = ast.unparse(ast.fix_missing_locations(node)).partition("\n")[0]
    return text if len(text) <= 70 else text[:69] + "…"
