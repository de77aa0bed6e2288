"""`model.type: rule`: two conditions over features and bar fields, BUY before SELL.

Law: each row's action depends on that row alone. Where both conditions hold, BUY wins; where
neither surely holds, HOLD.
"""

from collections.abc import Sequence

import numpy as np

from trader.config.sections.model import RuleModel as RuleConfig
from trader.models.rule_columns import holds, names_in
from trader.models.rule_parse import parse_rule
from trader.models.rule_tokens import RuleText
from trader.models.rule_tree import without_not

BLOCK_ROWS = 32_768  # a block's columns and results stay in the cache


class RuleModel:
    """A parsed pair of rules. Satisfies `signals.model.Model`."""

    def __init__(
        self, config: RuleConfig, feature_names: Sequence[str], symbols: Sequence[str]
    ) -> None:
        self.feature_names = tuple(feature_names)
        self.symbols = tuple(symbols)
        buy = parse_rule(RuleText("model.buy", config.buy), feature_names)
        sell = parse_rule(RuleText("model.sell", config.sell), feature_names)
        self._buy, self._sell = without_not(buy), without_not(sell)
        self._columns = names_in(buy) | names_in(sell)

    def check_history(self, bars: np.ndarray) -> None:
        """Nothing to check: a rule fits any bars."""

    def predict(self, bars: np.ndarray, features: np.ndarray) -> np.ndarray:
        """int8 actions (n,) of BAR records (n,) and float64 features (n, k)."""
        return self.predict_columns(bars, features.T)

    def predict_columns(
        self, bars: np.ndarray, columns: Sequence[np.ndarray] | np.ndarray
    ) -> np.ndarray:
        """`predict` of features that lie side by side: k arrays float64 (n,)."""
        actions = np.empty(len(bars), np.int8)
        with np.errstate(all="ignore"):
            for start in range(0, len(bars), BLOCK_ROWS):
                block = slice(start, start + BLOCK_ROWS)
                used = {
                    name: np.ascontiguousarray(
                        bars[name][block] if index < 0 else columns[index][block]
                    )
                    for name, index in self._columns.items()
                }
                self._fill(actions[block], used)
        return actions

    def _fill(self, actions: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        buy, sell = holds(self._buy, columns), holds(self._sell, columns)
        # booleans as 0 and 1: BUY = 1 where buy, SELL = 2 where sell and not buy
        np.multiply(np.greater(sell, buy), np.int8(2), out=actions)
        np.add(actions, buy, out=actions)
