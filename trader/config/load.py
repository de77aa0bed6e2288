"""Files, environment and --set to one checked `Config`, with the place every value came from.

Law: everything wrong is found in one look and reported in the order of the files. Whatever is
wrong with a config is a `ConfigError`; the places of good values are kept, so that what other
modules find wrong later can still be pointed at.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trader.config import resolved
from trader.config.layers import environment_layer, merged, override_layer
from trader.config.problems import Keys, schema_problems
from trader.config.python_values import python_layer, tree_of
from trader.config.schema import Config
from trader.config.yaml_nodes import MAX_BYTES, Node, Place, Problem, parse, place_of
from trader.errors import ConfigError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedConfig:
    """A checked config and where each of its values was written."""

    config: Config
    tree: Node

    @cached_property
    def origins(self) -> dict[str, str]:
        """Dotted key of every resolved value → `file:line:col`, `env NAME`, `--set`, `default`."""
        return {key: self._origin(key, value) for key, value in resolved.values(self.config)}

    @cached_property
    def sha256(self) -> str:
        """Hash of the resolved values: equal configs have equal hashes, however written."""
        return resolved.sha256(self.config)

    def resolved_yaml(self) -> str:
        """The whole config as YAML, defaults included, that loads back to an equal one."""
        return resolved.to_yaml(self.config)

    def locate(self, key: str) -> str:
        """Where `key`, or the nearest section around it, was written."""
        words = key.replace("[", ".").replace("]", "").split(".")
        while words and ".".join(words) not in self._nodes:
            words.pop()
        return str(_where(self._nodes[".".join(words)]))

    def explain(self, error: ConfigError) -> str:
        """`error`'s message with the place of its key in front, and those found with it."""
        if error.also:
            told = [self.explain(one) for one in (ConfigError(str(error), error.key), *error.also)]
            return f"{len(told)} problems in the config:\n  " + "\n  ".join(told)
        return f"{self.locate(error.key)}: {error.key}: {error}" if error.key else str(error)

    def tell(self) -> None:
        """Log, once, what was taken otherwise than it is written."""
        key = "bar_period_seconds"
        node = self._nodes.get(key)
        is_month = node is not None and self.config.bar_unit == "month"
        if node is not None and is_month and str(node.value).lower() != "month":
            _log_once(f"{self.locate(key)}: {key}: {node.value} is taken for a calendar month")

    def _origin(self, key: str, value: object) -> str:
        node = self._nodes.get(key)
        if node is None:  # a plain `ACME` stands for its mapping's `symbol: ACME`
            node = self._nodes.get(key.rpartition(".")[0])
            if node is None or not isinstance(value, str) or node.value != value:
                return "default"
        return str(node.place)

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return dict(_flat(self.tree))


@lru_cache(maxsize=64)
def _log_once(text: str) -> None:
    _log.info("%s", text)


Source = str | Path | Mapping[str, Any]  # a file, or the config itself from Python
Overrides = Iterable[str] | Mapping[str, Any]  # `section.key=value`, or key → value


def load_config(
    paths: Source | Sequence[Source],
    overrides: Overrides = (),
    environ: Mapping[str, str] = os.environ,
) -> LoadedConfig:
    """Reads `paths` in order, then the environment, then `overrides`.

    Raises `ConfigError` that lists every problem, `UsageError` for an override without `=`.
    """
    files = sources_of(paths)
    tree, problems = _file_tree(files)
    if tree is None:
        raise _error(problems)
    for layer, found in (environment_layer(environ, tree), _asked(overrides)):
        problems += found
        tree = merged(tree, layer) if layer is not None else tree
    return checked_tree(tree, problems)


def _asked(overrides: Overrides) -> tuple[Node | None, list[Problem]]:
    if isinstance(overrides, Mapping):
        return python_layer(overrides)
    return override_layer(overrides)


def sources_of(config: Source | Sequence[Source]) -> list[Source]:
    """The files and mappings of a config, in order."""
    return [config] if isinstance(config, (str, Path, Mapping)) else list(config)


def checked_tree(tree: Node, problems: list[Problem]) -> LoadedConfig:
    """The config that a whole tree says; `ConfigError` for `problems` and all it adds to them."""
    raw = tree.raw
    assert isinstance(raw, dict), "every layer is a mapping"
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += [_placed(tree, keys, text) for keys, text in schema_problems(raw, error)]
    if problems:
        raise _error(problems)
    return LoadedConfig(config, tree)


def _file_tree(paths: Sequence[Source]) -> tuple[Node | None, list[Problem]]:
    """All files merged; no tree if one of them cannot be read, for the rest would mislead."""
    if not paths:
        raise ConfigError("no config file is given; name one with -c FILE")
    trees: list[Node] = []
    problems: list[Problem] = []
    for rank, path in enumerate(paths):
        if isinstance(path, Mapping):
            tree, found = tree_of(path, Place(rank, "config"))
            problems += found
            trees.append(tree)
            continue
        source = Place(rank, str(path))
        node: Node | None
        try:
            node, found = parse(_text(Path(path), source), source)
        except _UnreadableError as error:
            node, found = None, [error.problem]
        problems += found
        if node is not None and not isinstance(node.value, dict):
            problems.append(
                Problem(node.place, "", "must be a mapping of keys, such as name: demo")
            )
        elif node is not None:
            trees.append(node)
    if len(trees) < len(paths):
        return None, problems
    tree = trees[0]
    for upper in trees[1:]:
        tree = merged(tree, upper)
    return tree, problems


class _UnreadableError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _text(path: Path, source: Place) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise _UnreadableError(Problem(source, "", f"cannot be read: {reason}")) from None
    if len(data) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES} bytes, so it is not a config"
        raise _UnreadableError(Problem(source, "", message))
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        message = "begins with a byte order mark; save it as UTF-8 without one"
        raise _UnreadableError(Problem(source._replace(line=1, column=1), "", message))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        message = f"is not UTF-8 here: byte 0x{data[error.start]:02x}"
        raise _UnreadableError(
            Problem(place_of(before, len(before), source), "", message)
        ) from None


def _placed(tree: Node, keys: Keys, message: str) -> Problem:
    """The problem at the place of its value or, where nothing is written, of what is around it."""
    node = tree
    for i, key in enumerate(keys):
        below = dict(node.children).get(str(key))
        if below is None:
            message += _loss(node, str(key))
            break
        node = below
        if i == len(keys) - 1 and not message.startswith("unknown key"):
            return Problem(node.place, ".".join(map(str, keys)), message)
    return Problem(node.key_place, ".".join(map(str, keys)), message)


def _loss(node: Node, key: str) -> str:
    """What to say where a key was written and a later layer's `type` left it out."""
    if key not in node.dropped:
        return ""
    kind = dict(node.children)["type"].raw
    return f"; what a lower layer wrote belongs to another type than {kind}: set it here too"


def _where(node: Node) -> Place:
    return node.place if isinstance(node.value, str) else node.key_place


def _flat(node: Node, key: str = "") -> Iterable[tuple[str, Node]]:
    yield key, node
    for name, child in node.children:
        yield from _flat(child, f"{key}.{name}" if key else name)


def _error(problems: list[Problem]) -> ConfigError:
    ordered = sorted(set(problems))
    if len(ordered) == 1:
        return ConfigError(str(ordered[0]), ordered[0].key or None)
    lines = "\n".join(f"  {problem}" for problem in ordered)
    return ConfigError(f"{len(ordered)} problems in the config:\n{lines}", ordered[0].key or None)
