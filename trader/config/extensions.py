"""What installed packages add: entry points that name a pair (config section, factory).

Law: looked for only where a config asks for a type that is not built in, so that nobody pays for
it otherwise. What an entry point names is checked before it is used.
"""

from functools import cache
from importlib import metadata
from typing import Any

from pydantic import BaseModel

from trader.errors import ConfigError


@cache
def extension(group: str, name: str) -> tuple[type[BaseModel], Any] | None:
    """(section, factory) that an installed package registers for `name`; None where none does.

    Raises `ConfigError` if it cannot be loaded or is no such pair.
    """
    points = list(metadata.entry_points(group=group, name=name))
    if not points:
        return None
    point = points[0]
    source = f"{point.value} of {point.dist.name if point.dist else 'an installed package'}"
    if len(points) > 1:
        raise ConfigError(f"{len(points)} installed packages have {group} {name!r}: remove one")
    try:
        found = point.load()
        section, factory = found[0], found[1]
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigError(f"{group} {name!r}: {source} cannot be loaded: {error}") from error
    if not (isinstance(section, type) and issubclass(section, BaseModel) and callable(factory)):
        raise ConfigError(f"{group} {name!r}: {source} is no pair of section and factory")
    return section, factory
