"""Equal configs give equal runs, chance included."""

import random

import numpy as np
import pytest

from tests import config_demo
from trader.models.model import load_model

CHANCE = """
import random
import numpy
AT_IMPORT = random.random()

def decide(features):
    return [1 if AT_IMPORT + random.random() + numpy.random.random() > 1.5 else 2 for _ in features]
"""
RULE = "  type: rule\n  buy: sma_fast > sma_slow\n  sell: sma_fast <= sma_slow"


@pytest.mark.parametrize("used_before", [0, 7])
def test_a_model_that_draws_from_the_global_generators_answers_by_the_seed(
    tmp_path, monkeypatch, used_before: int
):
    (tmp_path / f"chance_{used_before}.py").write_text(CHANCE)
    swap = (RULE, f"  {{type: python, target: 'chance_{used_before}:decide'}}")
    config = config_demo.load(config_demo.write(tmp_path, config_demo.demo(swap))).config
    features = np.zeros((64, 1))

    def answers(seed: int) -> list[int]:
        random.seed(used_before)
        np.random.seed(used_before)  # noqa: NPY002
        changed = config.model_copy(update={"seed": seed})
        model = load_model(changed, ["x"], ["A"], [tmp_path])
        monkeypatch.delitem(__import__("sys").modules, f"chance_{used_before}")
        return list(model.predict(np.zeros(64), features))

    assert answers(7) == answers(7)
    assert answers(7) != answers(8)
