"""Feature types that installed packages add, by name.

The types that are built in are rows of tables, not classes: kernels (`kernel_features.TYPES`),
TA-Lib's functions and their friendly names; `feature_types` lists them all. A package adds one with
an entry point of the group `trader.features`, which names a pair (section, factory):

    class Spread(BaseModel):            # the keys of the feature, checked before the first bar
        period: int = 20

    SPREAD = (Spread, lambda section: SpreadFeature(section.period))     # has update(bar)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from trader.config.options import fault
from trader.config.registry import Registry
from trader.errors import ConfigError
from trader.features.feature import Params


class FeatureEntry(NamedTuple):
    """How one type is written in a config, and made: one instance a symbol."""

    section: type[BaseModel]
    factory: Callable[[Any], Any]  # of a section: an object with `update(bar) -> float | None`


FEATURES: Registry[FeatureEntry] = Registry("trader.features", FeatureEntry, {}, "", ["update"])


def read_section(params: Params, entry: FeatureEntry) -> BaseModel:
    """The keys of a feature as its section; `ConfigError` with the key at fault."""
    values = params.rest()
    if "type" in entry.section.model_fields:
        values["type"] = params.kind
    known = entry.section.model_fields
    if unknown := next((name for name in values if name not in known), None):
        takes = ", ".join(known) or "no keys"
        raise ConfigError(f"{params.kind} takes {takes}", key=params.key(unknown))
    try:
        return entry.section.model_validate(values)
    except ValidationError as error:
        raise fault(error, f"features.{params.name}", entry.section) from None
