"""Options of what a package brings: secrets taken from the environment, checked by its section."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from trader.config.problems import own_words
from trader.config.registry import read_section
from trader.errors import ConfigError

SECRET = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SHORTEST_SECRET = 4  # a shorter value cannot be taken out of a message without spoiling it


def checked_options(
    options: Mapping[str, Any], key: str, section: type[BaseModel], environ: Mapping[str, str]
) -> tuple[dict[str, Any], BaseModel, tuple[str, ...]]:
    """`options` with each ${NAME} from the environment, as `section` reads them, and the secrets.

    `ConfigError` for options that do not fit and for a secret the environment has not.
    """
    secrets: list[str] = []
    values = _filled(dict(options), key, (environ, secrets))
    try:
        return values, read_section(section, values), tuple(secrets)
    except ValidationError as error:
        raise fault(error, key, section) from None


def fault(error: ValidationError, key: str, section: type[BaseModel]) -> ConfigError:
    """The first thing that `section` found wrong with what is written at `key`."""
    first = error.errors(include_input=False)[0]
    place = ".".join(map(str, (key, *first["loc"])))
    if first["type"] == "extra_forbidden":
        takes = ", ".join(section.model_fields) or "nothing"
        return ConfigError(f"is not known there; {key} takes {takes}", place)
    return ConfigError(own_words(first), place)


def _filled(value: Any, key: str, around: tuple[Mapping[str, str], list[str]]) -> Any:
    """`value` with each ${NAME} in its texts taken from the environment."""
    if isinstance(value, dict):
        return {name: _filled(item, f"{key}.{name}", around) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, key, around) for item in value]
    if not isinstance(value, str):
        return value
    environ, secrets = around

    def found(match: re.Match[str]) -> str:
        name = match.group(1)
        if not environ.get(name):
            raise ConfigError(f"the environment has no {name}: export {name}=…", key)
        secret = environ[name].strip()
        if len(secret) >= SHORTEST_SECRET:
            secrets.append(secret)
        return secret

    return SECRET.sub(found, value)
