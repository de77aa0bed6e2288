"""Several sources, one tree: files in order, then the environment, then --set.

Law: mappings merge key by key, lists and scalars are replaced whole, and every value keeps the
place it was written at. Where a `type` decides what its sibling keys mean (model, a feature,
commission, slippage), a mapping that changes the type replaces the whole mapping below it. A single
key set by --set or the environment keeps its siblings, but for those of a model: no key but `type`
means the same to two kinds of model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from trader.config.scalars import Plain
from trader.config.yaml_nodes import Node, Place, Problem, parse
from trader.errors import UsageError

ENV_PREFIX = "TRADER__"
ENV_RANK = 1_000_000
SET_RANK = 2_000_000
TYPED = (("model",), ("broker", "commission"), ("broker", "slippage"))
REPLACED = (("model",),)  # of these even a single key that changes the type replaces all


def merged(lower: Node, upper: Node, path: tuple[str, ...] = ()) -> Node:
    """`upper` laid over `lower`."""
    below, above = lower.value, upper.value
    if not isinstance(below, dict) or not isinstance(above, dict):
        return upper
    if _changes_type(below, above, path) and not (upper.is_single and path not in REPLACED):
        return replace(upper, dropped=tuple(key for key in below if key not in above))
    mapping = dict(below)
    for key, node in above.items():
        old = below.get(key)
        mapping[key] = node if old is None else merged(old, node, (*path, key))
    return replace(lower, value=mapping, is_single=lower.is_single and upper.is_single)


def _changes_type(below: dict[str, Node], above: dict[str, Node], path: tuple[str, ...]) -> bool:
    if path not in TYPED and not (len(path) == 2 and path[0] == "features"):
        return False
    return "type" in below and "type" in above and below["type"].value != above["type"].value


def environment_layer(environ: Mapping[str, str], tree: Node) -> tuple[Node | None, list[Problem]]:
    """What `TRADER__SECTION__KEY` variables set, keys matched to `tree` without regard to case."""
    layer = None
    problems: list[Problem] = []
    names = [name for name in environ if name.upper().startswith(ENV_PREFIX)]
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        place = Place(ENV_RANK, f"env {name}")
        words = name[len(ENV_PREFIX) :].split("__")
        if not all(words):
            message = "a config variable is TRADER__SECTION__KEY, with a key after each '__'"
            problems.append(Problem(place, "", message))
            continue
        node, found = assignment(_known_keys(words, tree), environ[name], place)
        problems += found
        layer = node if layer is None else merged(layer, node)
    return layer, problems


def _known_keys(words: Iterable[str], tree: Node) -> list[str]:
    keys: list[str] = []
    node: Node | None = tree
    for word in words:
        below = dict(node.children) if node is not None else {}
        same = [key for key in below if key.lower() == word.lower()]
        key = word if word in below else same[0] if same else word.lower()
        keys.append(key)
        node = below.get(key)
    return keys


def override_layer(overrides: Iterable[str]) -> tuple[Node | None, list[Problem]]:
    """What `--set section.key=value` options set, the last one of a key winning."""
    layer = None
    problems: list[Problem] = []
    for option in overrides:
        key, equals, text = option.partition("=")
        keys = key.strip().split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set {option}: write it as --set section.key=value")
        node, found = assignment(keys, text, Place(SET_RANK, "--set"))
        problems += found
        layer = node if layer is None else merged(layer, node)
    return layer, problems


def assignment(keys: list[str], text: str, place: Place) -> tuple[Node, list[Problem]]:
    """A tree that holds only `text` at `keys`: flow YAML if it looks like it, else as it stands."""
    text = text.strip()
    node: Node | None = None
    problems: list[Problem] = []
    if text[:1] in ("[", "{", '"', "'"):
        node, problems = parse(text, place, lines=False)
    if node is None:  # `{symbol}.csv` is no YAML, and text all the same
        node, problems = Node(Plain(text), place, place), []
    key = ".".join(keys)
    problems = [p._replace(key=f"{key}.{p.key}" if p.key else key) for p in problems]
    for key in reversed(keys):
        node = Node({key: node}, place, place, is_single=True)
    return node, problems
