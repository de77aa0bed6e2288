"""The weights behind a python model are pinned: hashed, and missed when they change."""

import logging
from pathlib import Path

import pytest

from tests.paper.test_sameness import RULE, order, started_on
from trader.errors import ConfigError
from trader.jobs.backtest import model_facts
from trader.jobs.paper.same_model import difference, model_hash

MODEL = "model: {{type: python, target: 'mine:predict', params: {{weights: w.ubj}}, {files}}}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def predict(features, weights): ...\n")
    (tmp_path / "w.ubj").write_bytes(b"first")
    return tmp_path


def test_a_listed_file_that_changes_is_named_and_its_hash_is_in_the_manifest(folder: Path):
    asked = order(folder, (RULE, MODEL.format(files="files: [w.ubj]")))
    before = model_hash(asked)
    assert difference(started_on(before), model_hash(asked)) is None
    facts = model_facts(asked.loaded, before.files)
    assert "model.files (w.ubj)" in facts["code_sha256"]
    (folder / "w.ubj").write_bytes(b"second")
    after = model_hash(asked)
    assert difference(started_on(before), after) == "w.ubj (model.files (w.ubj))"


def test_a_file_that_only_params_name_is_told_of(folder: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        model_hash(order(folder, (RULE, MODEL.format(files="files: [w.ubj]"))))
        assert caplog.messages == []
        model_hash(order(folder, (RULE, MODEL.format(files="files: []"))))
    (told,) = caplog.messages
    assert told.startswith("model.params.weights names the file w.ubj, which is not in model.files")


def test_a_listed_file_that_is_not_there_is_a_config_error(folder: Path):
    with pytest.raises(ConfigError, match=r"there is no file v\.ubj"):
        model_hash(order(folder, (RULE, MODEL.format(files="files: [v.ubj]"))))
