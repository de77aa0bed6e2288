"""YAML text to a tree of places and untyped scalars. The strict half of YAML, nothing else.

Law: a scalar stays the text that was written (`Plain` without quotes, `str` with), and every node
remembers where it stands. Duplicate keys, merge keys, tags, several documents and runaway aliases
are problems, collected and not raised, so that one look shows them all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

from trader.config.scalars import Plain
from trader.config.yaml_syntax import explained

MAX_BYTES = 1_000_000
MAX_NODES = 20_000  # after aliases are followed
MAX_DEPTH = 32
PLAIN_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")


class Place(NamedTuple):
    """Where something was written. `rank` orders sources; line and column count from 1."""

    rank: int
    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(NamedTuple):
    """One thing wrong. Problems sort by place, then key."""

    place: Place
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(str(part) for part in self if part)


# a number, a switch or none only where the config was given from Python
Value = dict[str, "Node"] | list["Node"] | str | float | None


@dataclass(frozen=True, slots=True)
class Node:
    """A mapping, a list or a scalar; where its value begins and where its key stands."""

    value: Value
    place: Place
    key_place: Place
    is_single: bool = False  # a mapping that an assignment of one key below it implies
    dropped: tuple[str, ...] = ()  # keys of a lower layer that a change of type left out

    @property
    def children(self) -> Iterator[tuple[str, "Node"]]:
        """(key or index, node) of a mapping or list; nothing of a scalar."""
        if isinstance(self.value, dict):
            yield from self.value.items()
        elif isinstance(self.value, list):
            yield from ((str(i), node) for i, node in enumerate(self.value))

    @property
    def raw(self) -> object:
        """The tree without places, as pydantic reads it."""
        if isinstance(self.value, dict):
            return {key: node.raw for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.raw for node in self.value]
        return self.value


def parse(text: str, source: Place, *, lines: bool = True) -> tuple[Node | None, list[Problem]]:
    """The tree of one YAML document and what is wrong with it; no tree if it cannot be read.

    Nodes carry the line and column they begin at, or `source` itself where `lines` is false.
    """
    builder = _Builder(source, lines)
    try:
        root = yaml.BaseLoader(text).get_single_node()
        if root is None:
            return None, [Problem(source, "", "is empty; a config begins with a name")]
        return builder.node(root, "", builder.at(root.start_mark), 0), builder.problems
    except yaml.MarkedYAMLError as error:
        mark, message = explained(error)
        return None, [Problem(builder.at(mark) if mark else source, "", message)]
    except yaml.reader.ReaderError as error:
        message = f"holds the character {chr(error.character)!r}, which YAML does not allow"
        return None, [Problem(place_of(text, error.position, source), "", message)]
    except (RecursionError, _ExcessError):
        message = "is nested too deeply, or repeats itself too often through aliases"
        return None, [Problem(source, "", message)]


def place_of(text: str, position: int, source: Place) -> Place:
    """Line and column of the character at `position`."""
    before = text[:position]
    return source._replace(
        line=before.count("\n") + 1, column=len(before) - (before.rfind("\n") + 1) + 1
    )


class _ExcessError(Exception):
    """The document is larger than any config."""


@dataclass
class _Builder:
    source: Place
    lines: bool
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def at(self, mark: yaml.Mark) -> Place:
        if not self.lines:
            return self.source
        return self.source._replace(line=mark.line + 1, column=mark.column + 1)

    def node(self, node: yaml.Node, key: str, key_place: Place, depth: int) -> Node:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            raise _ExcessError
        where = self.at(node.start_mark)
        if node.tag not in PLAIN_TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.problems.append(Problem(where, key, f"the tag {tag} has no meaning here"))
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, key, depth), where, key_place)
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.node(item, join(key, str(i)), self.at(item.start_mark), depth + 1)
                for i, item in enumerate(node.value)
            ]
            return Node(items, where, key_place)
        assert isinstance(node, yaml.ScalarNode)
        text = str(node.value)
        if node.style is None:
            return Node(Plain(text), where, key_place)
        return Node(text.rstrip("\n") if node.style in "|>" else text, where, key_place)

    def _mapping(self, node: yaml.MappingNode, parent: str, depth: int) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = self.at(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode) or not _is_word(key_node.value):
                self.problems.append(Problem(place, parent, "a key must be a plain word"))
                continue
            key = join(parent, key_node.value)
            if key_node.value == "<<" and key_node.style is None:
                message = "merge keys are not read here; write the keys out"
                self.problems.append(Problem(place, key, message))
            elif key_node.value in mapping:
                first = mapping[key_node.value].key_place
                again = f"; got {value_node.value!r}" if value_node.id == "scalar" else ""
                message = f"duplicate key{again}; first at {first}"
                self.problems.append(Problem(place, key, message))
            else:
                mapping[key_node.value] = self.node(value_node, key, place, depth + 1)
        return mapping


def _is_word(key: str) -> bool:
    return bool(key) and key.isprintable()


def join(parent: str, key: str) -> str:
    """The dotted key of `key` under `parent`."""
    return f"{parent}.{key}" if parent else key
