"""Configs and overrides given from Python: mappings of plain values as the tree that files make.

Law: a value keeps its Python type, which the schema accepts as itself and never across types; text
in an override means what it means after `--set`. What a file could not hold is refused by its key.
"""

from collections.abc import Mapping
from datetime import date
from enum import Enum
from pathlib import PurePath
from typing import Any

from trader.config.layers import assignment, merged
from trader.config.yaml_nodes import MAX_DEPTH, Node, Place, Problem, join
from trader.errors import UsageError

SET_RANK = 2_000_000


def tree_of(config: Mapping[str, Any], place: Place) -> tuple[Node, list[Problem]]:
    """The tree of a config given as nested mappings, and what in it no config can hold."""
    problems: list[Problem] = []
    return _node(config, place, "", problems), problems


def python_layer(overrides: Mapping[str, Any]) -> tuple[Node | None, list[Problem]]:
    """What `set={"risk.max_daily_loss": 500}` sets, later keys over earlier ones."""
    place = Place(SET_RANK, "set")
    layer: Node | None = None
    problems: list[Problem] = []
    for key, value in overrides.items():
        keys = str(key).split(".")
        if not all(keys):
            raise UsageError(f"set: {key!r} is not a key; write it as section.key")
        if isinstance(value, str):
            node, found = assignment(keys, value, place)
        else:
            found = []
            node = _node(value, place, ".".join(keys), found)
            for part in reversed(keys):
                node = Node({part: node}, place, place, is_single=True)
        problems += found
        layer = node if layer is None else merged(layer, node)
    return layer, problems


def _node(value: Any, place: Place, key: str, problems: list[Problem]) -> Node:
    if key.count(".") > MAX_DEPTH:
        problems.append(Problem(place, key[:60], "is nested too deeply"))
        return Node("", place, place)
    if isinstance(value, Mapping):
        members = {
            str(name): _node(item, place, join(key, str(name)), problems)
            for name, item in value.items()
        }
        return Node(members, place, place)
    if isinstance(value, list | tuple | range | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return Node(
            [_node(item, place, join(key, str(i)), problems) for i, item in enumerate(items)],
            place,
            place,
        )
    return Node(_scalar(value, place, key, problems), place, place)


def _scalar(value: Any, place: Place, key: str, problems: list[Problem]) -> Any:
    if isinstance(value, Enum):
        return value.name
    if hasattr(value, "tolist") and getattr(value, "ndim", 1) == 0:
        value = value.tolist()  # a NumPy number
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, date):  # and its child, datetime, pandas' too
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    problems.append(
        Problem(
            place,
            key,
            f"has the type {type(value).__name__}, which no config holds; give plain values",
        )
    )
    return None
