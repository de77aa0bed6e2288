"""A `Config` written out: every value, as YAML that loads back equal, and as one hash.

Law: the order of features, instruments and hooks is part of the meaning and is kept; the order of
free parameters is not. Text that could be taken for a number, a switch or none is quoted.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import yaml

from trader.config.schema import Config

PLAIN_TEXT = re.compile(r"^[A-Za-z_/][A-Za-z0-9_./-]*$")
NOT_PLAIN = ("true", "false", "none", "null", "nan", "inf")
STR, SEQ, MAP = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


def tree(config: Config) -> dict[str, Any]:
    """Every value as dict, list, str, int, float, bool or None; times in ISO 8601."""
    plain: dict[str, Any] = _plain(config.model_dump())
    return plain


def values(config: Config) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every value; an empty list or mapping counts as a value."""
    yield from _leaves(tree(config), "")


def to_yaml(config: Config) -> str:
    """The whole config as YAML that loads back to an equal `Config`."""
    text: str = yaml.serialize(
        _yaml_node(tree(config)), Dumper=yaml.BaseDumper, allow_unicode=True, width=10_000
    )
    return text


def sha256(config: Config) -> str:
    """SHA-256 of the canonical JSON of all values."""
    return _sha256(tree(config))


def sha256_of_yaml(text: str) -> str:
    """`sha256` of the config that `to_yaml` wrote as `text`, with the keys it had by then.

    A version that knows more keys loads the text with their defaults, and has another hash.
    """
    node = yaml.compose(text, Loader=yaml.BaseLoader)
    assert node is not None, "a config is never empty"
    return _sha256(_plain_value(node))


def _sha256(values: Any) -> str:
    canonical = {**values, "features": list(values["features"].items())}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def written(value: Any) -> str:
    """One value as it would stand in a file: `none`, `true`, `0.5`, `"24x7"`, `[]`."""
    if isinstance(value, str):
        plain = PLAIN_TEXT.fullmatch(value) and value.lower() not in NOT_PLAIN
        return value if plain else json.dumps(value, ensure_ascii=False)
    return "none" if value is None else repr(value).lower()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        members = list(value.items())
    elif isinstance(value, list) and value:
        members = [(str(i), item) for i, item in enumerate(value)]
    else:
        yield key, value
        return
    for name, item in members:
        yield from _leaves(item, f"{key}.{name}" if key else name)


def _yaml_node(value: Any) -> yaml.Node:
    if isinstance(value, dict):
        members = [(_yaml_node(key), _yaml_node(item)) for key, item in value.items()]
        return yaml.MappingNode(MAP, members, flow_style=not members)
    if isinstance(value, list):
        items = [_yaml_node(item) for item in value]
        flow = all(isinstance(item, yaml.ScalarNode) for item in items)
        return yaml.SequenceNode(SEQ, items, flow_style=flow)
    text = written(value)
    quoted = text.startswith('"')
    return yaml.ScalarNode(STR, value if quoted else text, style='"' if quoted else None)


def _plain_value(node: yaml.Node) -> Any:
    """What `_yaml_node` made the node of."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain_value(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain_value(value) for value in node.value]
    assert isinstance(node, yaml.ScalarNode)
    text: str = node.value
    if node.style == '"' or (PLAIN_TEXT.fullmatch(text) and text not in NOT_PLAIN):
        return text
    named = {"none": None, "true": True, "false": False}
    if text in named:
        return named[text]
    return int(text) if text.lstrip("-").isdecimal() else float(text)
