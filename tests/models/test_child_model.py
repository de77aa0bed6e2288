"""A model file in a process of its own: the same answers, and nothing of it can end the run."""

import os
import signal

import numpy as np
import pytest

from tests.model_files import FORMATS, NAMES, lightgbm_booster, make_file, section_of, training_data
from tests.model_kit import make_bars, make_config, make_features
from trader.errors import ConfigError, ModelError
from trader.models import child_model
from trader.models.model import load_model, open_model, predict_actions

FRAME, _ = training_data()
FEATURES = FRAME.to_numpy()
BARS = make_bars(len(FEATURES))


def opened(section, names=NAMES, **sections):
    config = make_config(section, **sections)
    return open_model(config, names, config.symbols)


pytestmark = pytest.mark.process


@pytest.mark.parametrize("kind", FORMATS)
def test_process_answers_with_the_bits_of_the_model_itself(tmp_path, kind):
    section = make_file(kind, tmp_path) | {"chunk_rows": 250}
    config = make_config(section)
    features = FEATURES.copy()
    features[:7] = np.nan
    model = open_model(config, NAMES, config.symbols)
    apart = predict_actions(model, BARS, features)
    here = predict_actions(load_model(config, NAMES, config.symbols), BARS, features)
    for one, other in zip(apart, here, strict=True):
        assert one.tobytes() == other.tobytes()
    assert np.isfinite(apart.requests["score"][7:]).all()
    model.close()


def test_process_that_dies_is_a_model_error(tmp_path):
    model = opened(make_file("lightgbm", tmp_path))
    model.predict(BARS, FEATURES)
    os.kill(model._started.process.pid, signal.SIGSEGV)
    with pytest.raises(ModelError, match="ended by SIGSEGV"):
        model.predict(BARS, FEATURES)
    model.close()
    model.close()


def test_errors_of_the_process_are_those_of_the_config_and_the_row(tmp_path):
    section = make_file("sklearn", tmp_path)
    with pytest.raises(ConfigError) as caught:
        opened(section | {"sha256": None}, train={"estimator": "LogisticRegression"})
    assert caught.value.key == "model.sha256"
    assert section["sha256"] in str(caught.value)
    with pytest.raises(ModelError, match="the same features in another order"):
        opened(section, ("b", "a", "c"))
    features = make_features(100, 3)
    features[71, 1] = np.inf
    with pytest.raises(ModelError, match=r"row 71 \(from 0; ACME.*the feature b is inf"):
        predict_actions(opened(section), make_bars(100), features)


def test_process_ends_with_its_model(tmp_path):
    booster = lightgbm_booster("binary")
    booster.save_model(str(tmp_path / "m.txt"))
    model = opened(section_of(tmp_path / "m.txt", "lightgbm"))
    pid = model._started.process.pid
    del model
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_process_that_never_answers_is_told_after_the_first_few_rows(tmp_path, monkeypatch):
    model = opened(make_file("lightgbm", tmp_path))
    monkeypatch.setattr(child_model, "TRY_TIMEOUT_S", 0.2)
    os.kill(model._started.process.pid, signal.SIGSTOP)
    with pytest.raises(ModelError, match=r"model\.txt: gives no answer about 16 rows"):
        predict_actions(model, BARS, FEATURES)
    assert model._started.process._closed
