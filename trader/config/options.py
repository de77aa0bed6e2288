"""Options of what a package brings: secrets taken from the environment, checked by its section."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

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
        return values, section.model_validate(values), tuple(secrets)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, (key, *first["loc"])))
        raise ConfigError(first["msg"], place) from None


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
