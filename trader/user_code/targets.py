"""Finds what `module:name` in a config means, and words what a user's own code did wrong.

Law: the target's module is taken from the folders searched if it is there; what it imports in its
turn is looked for in them last, so that a stray file beside a config cannot stand in for a library
of a process that trades. A wrong name is the config's fault (`ConfigError`); code
that fails while it is imported is the model's (`ModelError`), told with its own message and place.
"""

import contextlib
import difflib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from trader.errors import ConfigError, ModelError

BEFORE_OWN_CODE: list[Callable[[], None]] = []  # called before a target is loaded
_ours: set[str] = set()  # top-level modules loaded from searched folders


def load_target(target: str, key: str, search_paths: Sequence[Path] = ()) -> object:
    """The object that `target` (`package.module:name.attribute`) names.

    `key` is the config key to blame. Raises `ConfigError` if module or name does not exist,
    `ModelError` if the module fails while it is imported.
    """
    for prepare in tuple(BEFORE_OWN_CODE):
        prepare()
    module_name, _, names = target.partition(":")
    folders = [str(Path(path).resolve()) for path in search_paths]
    sys.path[:] = [*(path for path in sys.path if path not in folders), *dict.fromkeys(folders)]
    importlib.invalidate_caches()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _load_from(folders, module_name.partition(".")[0], key)
            found: object = importlib.import_module(module_name)
    except ConfigError:
        raise
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(_no_module(module_name, target, folders), key=key) from error
        raise ModelError(f"{target} cannot be imported: {what_failed(error)}") from error
    except BaseException as error:
        raise ModelError(f"{target} cannot be imported: {what_failed(error)}") from error
    for name in names.split("."):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, [n for n in dir(found) if n[0] != "_"], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            place = getattr(found, "__file__", None) or module_name
            raise ConfigError(f"{target}: there is no {name!r} in {place}{hint}", key=key)
        found = getattr(found, name)
    return found


def what_failed(error: BaseException, home: str | None = None) -> str:
    """`ValueError: its message (file.py:12)`, where the place is the innermost line of `home`.

    `home` is the file of the user's code; without it, or if the failure never passed through it,
    the place is the last line of the traceback.
    """
    text = "".join(str(error).splitlines()[:1]).strip()
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{kind}: {error.msg} ({error.filename}:{error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename[:1] != "<"]
    own = [frame for frame in frames if frame.filename == home] or frames
    place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    return f"{kind}: {text}{place}" if text else f"{kind}{place}"


def _load_from(folders: Sequence[str], top: str, key: str) -> None:
    """Load the module `top` from `folders`, if it is there, whatever else has that name.

    A module of that name that an earlier config loaded from another folder is forgotten; one
    that belongs to Python or a library and is in use is left, and the name refused.
    """
    spec = importlib.machinery.PathFinder.find_spec(top, list(folders))
    if spec is None or spec.origin is None or spec.loader is None:
        return
    if top in sys.modules:
        held = getattr(sys.modules[top], "__file__", None)
        if os.path.realpath(held or "") == os.path.realpath(spec.origin):
            return
        if top not in _ours:
            raise ConfigError(
                f"the module name {top!r} ({spec.origin}) is taken by "
                f"{held or 'Python itself'}; rename your file",
                key=key,
            )
        for name in [name for name in sys.modules if name.partition(".")[0] == top]:
            del sys.modules[name]
    module = importlib.util.module_from_spec(spec)
    sys.modules[top] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[top]
        raise
    _ours.add(top)


def _no_module(module_name: str, target: str, folders: Sequence[str]) -> str:
    there = sorted(path.stem for folder in folders for path in Path(folder).glob("*.py"))
    near = difflib.get_close_matches(module_name.rpartition(".")[2], there, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    where = " or ".join(folders) or "the import path"
    return f"{target}: there is no module {module_name!r} in {where}{hint}"
