"""The callables that the config's `hooks` name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trader.config.schema import Config
from trader.errors import ConfigError
from trader.user_code.targets import load_target


def load_hooks(
    config: Config, paths: Sequence[Path]
) -> list[tuple[str | None, Callable[[Any], Any]]]:
    """(event, callable) of every hook that the config names; event None for all of them.

    `ConfigError` where one does not exist or cannot be called.
    """
    hooks: list[tuple[str | None, Callable[[Any], Any]]] = []
    for number, hook in enumerate(config.hooks):
        key = f"hooks[{number}].target"
        found = load_target(hook.target, key, paths)
        if not callable(found):
            raise ConfigError(f"{hook.target} is not callable", key=key)
        hooks.append((hook.event, found))
    return hooks
