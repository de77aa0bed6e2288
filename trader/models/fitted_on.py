"""Whether the features of a config are those that a model was fitted on.

Law: the model's own names count, else those of its card. What neither knows is told, not assumed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trader.config.schema import Config
from trader.errors import ModelError
from trader.models.model_card import card_path, feature_definitions
from trader.models.predictor import Signature


@dataclass(frozen=True)
class FittedOn:
    """What a model and its card say of the features."""

    path: str
    signature: Signature
    card: Mapping[str, Any]

    def check(self, given: Sequence[str], config: Config) -> list[str]:
        """`ModelError` unless these are the features, in this order; what else there is to tell.

        Parameters of the features only the card knows: a difference is told, for it may be meant.
        """
        notices = []
        names = self.signature.feature_names or self.card.get("features")
        fitted = None if names is None else tuple(str(name) for name in names)
        if fitted is not None and fitted != tuple(given):
            raise ModelError(_other_features(self.path, fitted, given))
        count = self.signature.feature_count
        if count is not None and count != len(given):
            raise ModelError(
                f"model.path {self.path}: was fitted on {count} features, and the config has "
                f"{len(given)}: {', '.join(given)}"
            )
        if fitted is None:
            notices.append(
                f"{self.path} does not say which features it was fitted on; their order cannot be "
                "checked. Fit it on a DataFrame with column names"
            )
        learned = self.card.get("feature_definitions", {})
        for name, now in feature_definitions(config).items():
            if name in learned and learned[name] != now:
                notices.append(
                    f"{card_path(Path(self.path))}: the model learned from {name} = "
                    f"{learned[name]}, and the config has {now}"
                )
        return notices


def _other_features(path: str, fitted: Sequence[str], given: Sequence[str]) -> str:
    missing = [name for name in fitted if name not in given]
    extra = [name for name in given if name not in fitted]
    if missing or extra:
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"not the model's: {', '.join(extra)}"] if extra else []
        why = "; ".join(parts)
    else:
        why = "the same features in another order; reorder them in the config"
    return (
        f"model.path {path}: was fitted on other features ({why})\n"
        f"    the model's   {', '.join(fitted)}\n    the config's  {', '.join(given)}"
    )
