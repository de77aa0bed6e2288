"""The registry of what can be extended: feeds, features, models, brokers, by name of their type.

    FEEDS      trader.feeds.registry       entry points `trader.feeds`
    FEATURES   trader.features.registry    entry points `trader.features`
    MODELS     trader.models.registry      entry points `trader.models`
    BROKERS    trader.brokers.registry     entry points `trader.brokers`

An entry is a pair (config section, factory), for a type that is built in as for one that an
installed package adds:

    [project.entry-points."trader.features"]
    spread = "my_package.spread:SPREAD"         # SPREAD = (Section, factory)

Law: packages are looked for only where a config asks for a type that is not built in, so that
nobody pays for it otherwise; none replaces a built-in type. What an entry point names is checked
before it is used, and so is what its factory makes: what is wrong with either is a `ConfigError`
that names the package.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import metadata
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from trader.errors import ConfigError, TraderError

Entry = TypeVar("Entry", bound=tuple[Any, ...])
PLACE = re.compile(r"[\w.]+\s*:\s*[\w.]+\s*(\[.*\])?")  # module:NAME, and extras
_used: dict[str, str] = {}  # version by package, of what was loaded


class PackagedType(NamedTuple):
    """What a package registers for a type."""

    section: type[BaseModel]
    factory: Callable[..., Any]
    source: str  # for messages: which type, of which package


class Registry(Generic[Entry]):
    """Entries of one kind by the name of their type.

    `make` turns section and factory of an installed package into an entry; `key` is the config key
    to blame, `needs` what that which the factory makes must have, `lets_pass` what it may raise.
    """

    def __init__(
        self,
        group: str,
        make: Callable[..., Entry],
        built_in: Mapping[str, Entry],
        key: str,
        needs: Sequence[str],
        lets_pass: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.group = group
        self.built_in = dict(built_in)
        self._make = make
        self._key = key
        self._needs = tuple(needs)
        self._lets_pass: tuple[type[BaseException], ...] = (
            *lets_pass,
            TraderError,
            KeyboardInterrupt,
        )

    def find(self, name: str) -> Entry | None:
        """The entry of a type, None where nobody has it. `ConfigError` for a broken package."""
        if (known := self.built_in.get(name)) is not None:
            return known
        found = installed(self.group, name)
        return None if found is None else self._make(found.section, partial(self._made, found))

    def _made(self, found: PackagedType, *words: Any) -> Any:
        """What a package's factory makes."""
        try:
            made = found.factory(*words)
        except self._lets_pass:
            raise
        except BaseException as error:
            said = f"{found.source}: its factory raised {_said(error)}"
            raise ConfigError(said, self._key) from error
        if lacking := [name for name in self._needs if not hasattr(made, name)]:
            kind = "None" if made is None else type(made).__name__
            said = f"what its factory made ({kind}) has no {', '.join(lacking)}"
            raise ConfigError(f"{found.source}: {said}", self._key)
        return made

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
def installed(group: str, name: str) -> PackagedType | None:
    """What an installed package registers for `name`; None where none does.

    Raises `ConfigError` if it cannot be loaded or is no pair of section and factory.
    """
    points = list(metadata.entry_points(group=group, name=name))
    if not points:
        return None
    point = points[0]
    of_package = point.dist.name if point.dist else "an installed package"
    source = f"{group} {name!r}: {point.value} of {of_package}"
    if len(points) > 1:
        raise ConfigError(f"{len(points)} installed packages have {group} {name!r}: remove one")
    if not PLACE.fullmatch(point.value):
        raise ConfigError(f"{source} names nothing; an entry point is module:NAME")
    try:
        found = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigError(f"{source} cannot be loaded: {_said(error)}") from error
    section, factory = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
    if not (isinstance(section, type) and issubclass(section, BaseModel) and callable(factory)):
        raise ConfigError(f"{source} is not a pair of section and factory")
    if point.dist is not None:
        _used[point.dist.name] = point.dist.version
    return PackagedType(section, factory, source)


def asked_for(group: str, name: str) -> PackagedType | None:
    """`installed` for a section's own check: what is wrong is told at its key."""
    try:
        return installed(group, name)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def read_section(section: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    """`values` as a package's section reads them. A key that it has not is a `ValidationError`,
    also where the section itself would not mind."""
    if section.model_config.get("extra", "ignore") == "ignore":
        known = {name for key, of in section.model_fields.items() for name in (key, of.alias)}
        if unknown := [key for key in values if key not in known]:
            raise ValidationError.from_exception_data(
                section.__name__,
                [{"type": "extra_forbidden", "loc": (key,), "input": ""} for key in unknown],
            )
    return section.model_validate(values)


def _said(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def packages_used() -> dict[str, str]:
    """Version of every package that gave this process a type."""
    return dict(sorted(_used.items()))
