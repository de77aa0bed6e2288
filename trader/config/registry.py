"""The registry of what can be extended: feeds, features and models by the name of their type.

    FEEDS      trader.feeds.registry       entry points `trader.feeds`
    FEATURES   trader.features.registry    entry points `trader.features`
    MODELS     trader.models.registry      entry points `trader.models`

An entry is a pair (config section, factory), for a type that is built in as for one that an
installed package adds:

    [project.entry-points."trader.features"]
    spread = "my_package.spread:SPREAD"         # SPREAD = (Section, factory)

Law: packages are looked for only where a config asks for a type that is not built in, so that
nobody pays for it otherwise; none replaces a built-in type. What an entry point names is checked
before it is used.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from trader.errors import ConfigError

Entry = TypeVar("Entry", bound=tuple[Any, ...])
_used: dict[str, str] = {}  # version by package, of what was loaded


class Registry(Generic[Entry]):
    """Entries of one kind by the name of their type.

    `make` turns the pair of an installed package into an entry; `key` is the config key to blame.
    """

    def __init__(
        self, group: str, make: Callable[..., Entry], built_in: Mapping[str, Entry], key: str = ""
    ) -> None:
        self.group = group
        self.built_in = dict(built_in)
        self._make = make
        self._key = key

    def find(self, name: str) -> Entry | None:
        """The entry of a type, None where nobody has it. `ConfigError` for a broken package."""
        if (known := self.built_in.get(name)) is not None:
            return known
        found = installed(self.group, name)
        return None if found is None else self._make(*found)

    def entry(self, name: str) -> Entry:
        """The entry of a type; `ConfigError` for one that nobody has."""
        if (found := self.find(name)) is None:
            kind = self.group.removeprefix("trader.").removesuffix("s")
            raise ConfigError(f"no installed package has a {kind} of type {name}", self._key)
        return found

    def names(self) -> list[str]:
        """Every type there is: those built in first, then those of packages."""
        return [*self.built_in, *installed_names(self.group)]


def installed_names(group: str) -> list[str]:
    """Types that installed packages add to a group, in alphabetical order."""
    return sorted({point.name for point in metadata.entry_points(group=group)})


@cache
def installed(group: str, name: str) -> tuple[type[BaseModel], Any] | None:
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
    if point.dist is not None:
        _used[point.dist.name] = point.dist.version
    return section, factory


def packages_used() -> dict[str, str]:
    """Version of every package that gave this process a type."""
    return dict(sorted(_used.items()))
