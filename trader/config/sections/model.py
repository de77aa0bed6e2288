"""The model: one section for each `model.type`."""

from typing import Annotated, Literal

from pydantic import Field

from trader.config.scalars import (
    CountFromOne,
    Digest,
    OrNone,
    Param,
    Target,
    Text,
)
from trader.config.sections.section import Section


class RuleModel(Section):
    """Two expressions over features and bar fields."""

    type: Literal["rule"] = Field(description="A rule.")
    buy: Text = Field(description="Expression that means BUY.")
    sell: Text = Field(description="Expression that means SELL; BUY wins where both hold.")


class PythonModel(Section):
    """A callable of the user's own."""

    type: Literal["python"] = Field(description="A Python callable.")
    target: Target = Field(description="module:callable, on the working directory's import path.")
    params: dict[str, Param] = Field(default={}, description="Keyword arguments of the callable.")


class SignalsModel(Section):
    """Actions read from a file."""

    type: Literal["signals"] = Field(description="A file of actions.")
    path: Text = Field(description="CSV or Parquet of timestamp, symbol, action.")


class SklearnModel(Section):
    """A scikit-learn classifier saved by skops."""

    type: Literal["sklearn"] = Field(description="A scikit-learn classifier saved by skops.")
    path: Text = Field(description="The .skops file, relative to the working directory.")
    sha256: OrNone[Digest] = Field(
        default=None,
        description="SHA-256 of the file; may be missing only until `trader train` ran.",
    )
    trusted: tuple[Text, ...] = Field(default=(), description="Extra types skops may load.")
    chunk_rows: CountFromOne = Field(default=65_536, description="Rows asked for at once, in bars.")


class ObjectModel(Section):
    """A fitted object given from Python: `trader.backtest(config, model=clf)`."""

    type: Literal["object"] = Field(description="A fitted object given from Python.")
    made_of: OrNone[Text] = Field(default=None, description="The object's class, filled in.")
    sha256: OrNone[Digest] = Field(
        default=None,
        description="SHA-256 of the object's own serialisation, filled in; none: it has none, and "
        "the run cannot be reproduced.",
    )


Model = Annotated[
    RuleModel | PythonModel | SignalsModel | SklearnModel | ObjectModel,
    Field(discriminator="type"),
]
