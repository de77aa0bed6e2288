"""The model: one section for each `model.type`."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from trader.config.labels import Label, to_word
from trader.config.registry import asked_for, read_section
from trader.config.scalars import (
    CountFromOne,
    Digest,
    Number,
    OrNone,
    Param,
    Share,
    ShareOrZero,
    Switch,
    Target,
    Text,
)
from trader.config.sections.section import Section

ENTRY_POINTS = "trader.models"  # of installed packages: see trader.models.registry
ActionWord = Annotated[Literal["BUY", "SELL", "HOLD", "CLOSE"], BeforeValidator(to_word)]


class Filter(Section):
    """A second model: which actions of the first are worth taking (meta-labelling)."""

    type: Literal["sklearn", "onnx", "lightgbm", "xgboost", "catboost", "python"] = Field(
        description="Its format, as of a model."
    )
    path: OrNone[Text] = Field(default=None, description="The file.")
    sha256: OrNone[Digest] = Field(default=None, description="Of the file.")
    trusted: tuple[Text, ...] = Field(default=(), description="Of sklearn.")
    allow_pickle: Switch = Field(default=False, description="Of sklearn.")
    output: OrNone[Text] = Field(default=None, description="Of onnx.")
    target: OrNone[Target] = Field(default=None, description="Of python.")
    params: dict[str, Param] = Field(default={}, description="Of python.")
    files: tuple[Text, ...] = Field(default=(), description="Of python.")
    keep_above: ShareOrZero = Field(default=0.5, description="Take the action above this number.")
    shrink: Switch = Field(default=False, description="Multiply the size by the number.")

    def as_model(self) -> "Model":
        """The filter as a model whose BUY means: take it."""
        of_type = {"sklearn": ("trusted", "allow_pickle"), "onnx": ("output",)}
        names = (
            ("target", "params", "files")
            if self.type == "python"
            else ("path", "sha256", *of_type.get(self.type, ()))
        )
        values = {name: getattr(self, name) for name in names}
        decide = Decide(buy_above=self.keep_above)
        section: Model = FILTERS[self.type](type=self.type, decide=decide, **values)
        return section


class Filtering(Section):
    """What may hold a model back."""

    filter: OrNone[Filter] = Field(
        default=None, description="A second model: which actions to take."
    )


class RuleModel(Filtering):
    """Two expressions over features and bar fields."""

    type: Literal["rule"] = Field(description="A rule.")
    buy: Text = Field(description="Expression that means BUY.")
    sell: Text = Field(description="Expression that means SELL.")


class Threshold(Section):
    """From which probability of its class an action is taken."""

    buy: OrNone[Share] = Field(default=None, description="Of BUY.")
    sell: OrNone[Share] = Field(default=None, description="Of SELL.")
    close: OrNone[Share] = Field(default=None, description="Of CLOSE.")


class Decide(Section):
    """What one number out of the model means."""

    buy_above: OrNone[Number] = Field(default=None, description="BUY above this number.")
    sell_below: OrNone[Number] = Field(default=None, description="SELL below this number.")


class OutputRules(Section):
    """From what a model answers to an action."""

    classes: OrNone[dict[Label, ActionWord]] = Field(
        default=None,
        description="Class to action: {1: BUY, -1: SELL, 0: HOLD}.",
    )
    threshold: OrNone[Threshold] = Field(
        default=None, description="Least probability of an action."
    )
    margin: OrNone[ShareOrZero] = Field(
        default=None, description="Least lead over the next action."
    )
    decide: OrNone[Decide] = Field(default=None, description="Where it answers one number.")


class Position(Section):
    """What a model may be told beside features."""

    needs_position: Switch = Field(
        default=False,
        description="It gets position_side, position_qty, position_return, position_bars too.",
    )


class Window(Section):
    """How many bars a model sees at once."""

    window: CountFromOne = Field(
        default=1,
        description="Bars it sees: rows × window × features.",
    )


class Scope(Section):
    """How many symbols a model sees at once."""

    scope: Literal["row", "slice"] = Field(
        default="row",
        description="All symbols of an instant at once.",
    )


class PythonModel(OutputRules, Position, Window, Scope, Filtering):
    """A callable of the user's own."""

    type: Literal["python"] = Field(description="A Python callable.")
    target: Target = Field(description="As module:callable.")
    params: dict[str, Param] = Field(default={}, description="Its keyword arguments.")
    files: tuple[Text, ...] = Field(
        default=(),
        description="Files it reads, hashed with it.",
    )


class SignalsModel(Filtering):
    """Actions read from a file."""

    type: Literal["signals"] = Field(description="A file of actions.")
    path: Text = Field(description="CSV or Parquet of timestamp, symbol, action.")


class FileModel(OutputRules, Position, Filtering):
    """A model in a file, which its SHA-256 pins."""

    path: Text = Field(description="The file.")
    sha256: OrNone[Digest] = Field(default=None, description="Without it nothing is loaded.")
    chunk_rows: CountFromOne = Field(default=65_536, description="Rows asked for at once.")


class SklearnModel(FileModel):
    """A scikit-learn estimator saved by skops, or by joblib or pickle where that is allowed."""

    type: Literal["sklearn"] = Field(description="A scikit-learn estimator in a file.")
    sha256: OrNone[Digest] = Field(
        default=None,
        description="Without it nothing is loaded.",
    )
    trusted: tuple[Text, ...] = Field(default=(), description="Extra types skops may load.")
    allow_pickle: Switch = Field(
        default=False,
        description="Load joblib and pickle, which runs their code.",
    )


class OnnxModel(FileModel, Window):
    """An ONNX graph, run by onnxruntime (`trader[onnx]`)."""

    type: Literal["onnx"] = Field(description="An ONNX graph.")
    output: OrNone[Text] = Field(default=None, description="The output to use.")


class LightgbmModel(FileModel):
    """A LightGBM booster saved as text (`trader[lightgbm]`)."""

    type: Literal["lightgbm"] = Field(description="A LightGBM booster as text.")


class XgboostModel(FileModel):
    """An XGBoost booster saved as JSON or UBJSON (`trader[xgboost]`)."""

    type: Literal["xgboost"] = Field(description="An XGBoost booster as JSON or UBJSON.")


class CatboostModel(FileModel):
    """A CatBoost model saved as cbm (`trader[catboost]`)."""

    type: Literal["catboost"] = Field(description="A CatBoost model as cbm.")


class ObjectModel(OutputRules, Position, Window, Scope, Filtering):
    """A fitted object given from Python: `trader.backtest(config, model=clf)`."""

    type: Literal["object"] = Field(description="A fitted object given from Python.")
    made_of: OrNone[Text] = Field(default=None, description="Filled in: the object's class.")
    sha256: OrNone[Digest] = Field(
        default=None,
        description="Filled in: the object's hash.",
    )


OfAType = (
    RuleModel
    | PythonModel
    | SignalsModel
    | SklearnModel
    | OnnxModel
    | LightgbmModel
    | XgboostModel
    | CatboostModel
    | ObjectModel
)
Model = Annotated[OfAType, Field(discriminator="type")]
FILTERS: dict[str, type[Any]] = {
    "sklearn": SklearnModel,
    "onnx": OnnxModel,
    "lightgbm": LightgbmModel,
    "xgboost": XgboostModel,
    "catboost": CatboostModel,
    "python": PythonModel,
}
BUILT_IN = tuple(get_args(one.model_fields["type"].annotation)[0] for one in get_args(OfAType))


def of_a_package(value: object, validate: Callable[[object], object]) -> object:
    """A model section whose type an installed package registers (`trader.models`)."""
    kind = value.get("type") if isinstance(value, dict) else None
    found = None
    if isinstance(kind, str) and kind not in BUILT_IN:
        found = asked_for(ENTRY_POINTS, kind)
    if found is None:
        return validate(value)
    assert isinstance(value, dict), "it has a type"
    if "type" not in found.section.model_fields:
        raise ValueError(f"{found.source}: its section {found.section.__name__} has no key type")
    return read_section(found.section, value)
