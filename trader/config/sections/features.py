"""One feature of the config."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from trader.config.scalars import (
    Param,
    Text,
)


class Feature(BaseModel):
    """One feature: its type and that type's parameters, which the feature itself checks."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())
    __pydantic_extra__: dict[str, Param]

    type: Text = Field(description="sma, RSI, frame, python …; then its parameters.")

    @property
    def params(self) -> Mapping[str, Any]:
        """Every key but `type`."""
        return dict(self.__pydantic_extra__)
