"""Finds what `module:name` in a config means, and words what a user's own code did wrong.

Law: the folders searched come first on the import path, as for a script run from there, and never
hide a module that is loaded already. A wrong name is the config's fault (`ConfigError`); code
that fails while it is imported is the model's (`ModelError`), told with its own message and place.
"""

import contextlib
import difflib
import importlib
import importlib.machinery
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from trader.errors import ConfigError, ModelError

_ours: dict[str, str] = {}  # top-level modules imported from searched folders: name → file


def load_target(target: str, key: str, search_paths: Sequence[Path] = ()) -> object:
    """The object that `target` (`package.module:name.attribute`) names.

    `key` is the config key to blame. Raises `ConfigError` if module or name does not exist,
    `ModelError` if the module fails while it is imported.
    """
    module_name, _, names = target.partition(":")
    folders = [str(Path(path).resolve()) for path in search_paths]
    sys.path[:] = [*dict.fromkeys(folders), *(path for path in sys.path if path not in folders)]
    importlib.invalidate_caches()
    _make_room(module_name.partition(".")[0], folders, key)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found: object = importlib.import_module(module_name)
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


def _make_room(top: str, folders: Sequence[str], key: str) -> None:
    """See to it that importing `top` takes the file in `folders`, if there is one.

    A module of that name that an earlier config loaded from another folder is forgotten; one
    that belongs to Python or a library is left, and the name refused.
    """
    spec = importlib.machinery.PathFinder.find_spec(top, list(folders))
    if spec is None or spec.origin is None:
        return
    loaded = sys.modules.get(top)
    held = getattr(loaded, "__file__", None)
    if loaded is not None and os.path.realpath(held or "") != os.path.realpath(spec.origin):
        if top not in _ours:
            raise ConfigError(
                f"the module name {top!r} ({spec.origin}) is taken by "
                f"{held or 'Python itself'}; rename your file",
                key=key,
            )
        for name in [name for name in sys.modules if name.partition(".")[0] == top]:
            del sys.modules[name]
    _ours[top] = spec.origin


def _no_module(module_name: str, target: str, folders: Sequence[str]) -> str:
    there = sorted(path.stem for folder in folders for path in Path(folder).glob("*.py"))
    near = difflib.get_close_matches(module_name.rpartition(".")[2], there, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    where = " or ".join(folders) or "the import path"
    return f"{target}: there is no module {module_name!r} in {where}{hint}"
