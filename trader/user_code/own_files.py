"""Files of the user's own that decide what a run does: code behind `module:name`, models, signals.

Law: finds the module that `targets.load_target` would load, and imports nothing. What a module of
the user's imports is followed as long as it lies in the folders that are searched; libraries are
the business of the environment.
"""

import ast
import hashlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from trader.config.schema import Config
from trader.errors import ConfigError

LOG = logging.getLogger(__name__)
FILES_KEY = "model.files"
NOT_OWN = {*sys.stdlib_module_names, "trader"}  # never the user's, whatever the folder
LIBRARIES = {"site-packages", "dist-packages"}


class OwnFile(NamedTuple):
    """A file as it was when it was looked at."""

    path: str
    sha256: str


def own_files(config: Config, search_paths: Sequence[Path]) -> dict[str, OwnFile]:
    """Every file of the user's behind model and features, by the config key that names it.

    A key of code (`model.target`) is followed by a module's name where that is not the target's
    own: the files of the packages around it, and what it imports out of the user's folders, are
    run, too. What is not there is left out: loading it says what is wrong.
    """
    found = {}
    path = getattr(config.model, "path", None)
    if path is not None:
        found["model.path"] = Path(path)
    second = getattr(config.model, "filter", None)
    if second is not None and second.path is not None:
        found["model.filter.path"] = Path(second.path)
    found.update(_listed(config))
    for key, target in _targets(config):
        own = target.partition(":")[0]
        for module, file in _with_imports(own, search_paths).items():
            found[key if module == own else f"{key} ({module})"] = file
    return {key: OwnFile(str(file), sha) for key, file in found.items() if (sha := _sha256(file))}


def is_code(key: str) -> bool:
    """Whether a key of `own_files` names code, or a file that the code of a model reads."""
    return key.partition(" ")[0].endswith(".target") or key.startswith(FILES_KEY)


def _listed(config: Config) -> dict[str, Path]:
    """The files of `model.files`. A file that only `model.params` names is told of.

    ConfigError for one that is not there.
    """
    listed = getattr(config.model, "files", ())
    for name in listed:
        if not Path(name).is_file():
            raise ConfigError(f"there is no file {name}", key=FILES_KEY)
    params = getattr(config.model, "params", {}) if config.model.type == "python" else {}
    for key, value in params.items():
        if isinstance(value, str) and value not in listed and os.path.isfile(value):
            LOG.warning(
                "model.params.%s names the file %s, which is not in model.files: whether it "
                "changes between two starts is not noticed",
                key,
                value,
            )
    return {f"{FILES_KEY} ({name})": Path(name) for name in listed}


def _targets(config: Config) -> Iterator[tuple[str, str]]:
    target = getattr(config.model, "target", None)
    if target is not None:
        yield "model.target", target
    second = getattr(config.model, "filter", None)
    if second is not None and second.target is not None:
        yield "model.filter.target", second.target
    for name, feature in config.features.items():
        found = feature.params.get("target")
        if feature.type in ("python", "frame") and isinstance(found, str):
            yield f"features.{name}.target", found


def _with_imports(module: str, search_paths: Sequence[Path]) -> dict[str, Path]:
    """Module → file of a module, the packages around it, and all that they import of the user's."""
    found = dict(_sources(module, search_paths))
    folders = [Path(path).resolve() for path in search_paths]
    waiting = list(found.items())
    while waiting:
        for name in _imports(*waiting.pop()):
            if name in found or name.partition(".")[0] in NOT_OWN:
                continue
            for own, file in _sources(name, search_paths):
                if own not in found and _is_own(file, folders):
                    found[own] = file
                    waiting.append((own, file))
    return found


def _is_own(file: Path, folders: Sequence[Path]) -> bool:
    """Whether a file lies in the user's folders, and not in an environment inside of them."""
    place = file.resolve()
    return not LIBRARIES & set(place.parts) and any(map(place.is_relative_to, folders))


def _imports(module: str, file: Path) -> Iterator[str]:
    """Dotted names that the file of `module` may import, inside functions too."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # not Python, or broken: loading it says so
        return
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            start = ".".join(filter(None, [*above, node.module or ""]))
            if start:
                yield start
            yield from (".".join(filter(None, [start, alias.name])) for alias in node.names)


def _sources(module: str, search_paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """(name, file) of a module and the packages around it, outermost first."""
    name, spec = "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = _spec(part, spec, search_paths)
        if spec is None:
            return
        if spec.has_location and spec.origin:
            yield name, Path(spec.origin)


def _spec(part: str, parent: ModuleSpec | None, search_paths: Sequence[Path]) -> ModuleSpec | None:
    """Of one part of a dotted name: the dots would have Python look for the parent as imported."""
    if parent is not None:
        inside = parent.submodule_search_locations
        return None if inside is None else PathFinder.find_spec(part, list(inside))
    folders = [str(Path(path).resolve()) for path in search_paths]
    return PathFinder.find_spec(part, folders) or PathFinder.find_spec(part)


def _sha256(path: Path) -> str:
    """SHA-256 of a file in hex; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
