"""A run goes on only with the code and the files it began with."""

import hashlib
import json
import signal
from pathlib import Path

import pytest

from tests.paper_kit import CONFIG, Paper, bar
from trader.config.load import load_config
from trader.jobs.backtest import Order, model_facts, model_files
from trader.jobs.paper.same_model import ModelHash, difference, model_hash
from trader.journal.records import Record
from trader.user_code.own_files import own_files

RULE = "model: {type: rule, buy: level > 50, sell: level < 50}"
LEVEL = "level: {type: sma, period: 2}"
BUYS = "def predict(features):\n    return ['BUY'] * len(features)\n"


def order(folder: Path, *changes: tuple[str, str]) -> Order:
    text = CONFIG.format(symbols="ACME")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "live.yaml"
    path.write_text(text)
    return Order(load_config([path]), [path], "loop", folder, ())


def started_on(model: ModelHash, **changes: object) -> Record:
    """RUN_START as a run with `model` writes it."""
    data = {"model_sha": model.sha256, **model.details, **changes}
    return Record(1, 0, 0, None, None, "RUN_START", b"", b"", json.dumps(data))


PYTHON = (RULE, "model: {type: python, target: 'own.deep.strategy:predict'}")
FEATURE = (LEVEL, "level: {type: python, target: 'mine:Level'}")


@pytest.fixture
def python(tmp_path: Path) -> Path:
    (tmp_path / "own" / "deep").mkdir(parents=True)
    (tmp_path / "own" / "__init__.py").write_text("FIRST = 1\n")
    (tmp_path / "own" / "deep" / "strategy.py").write_text(BUYS)  # `deep` has no __init__
    (tmp_path / "mine.py").write_text("class Level: ...\n")
    return tmp_path


def test_the_files_of_a_target_are_its_module_and_the_packages_around_it(python: Path):
    found = own_files(order(python, PYTHON, FEATURE).loaded.config, [python])
    assert {key: Path(file.path).relative_to(python).as_posix() for key, file in found.items()} == {
        "model.target (own)": "own/__init__.py",
        "model.target": "own/deep/strategy.py",
        "features.level.target": "mine.py",
    }
    assert found["model.target"].sha256 == hashlib.sha256(BUYS.encode()).hexdigest()


def test_a_target_that_is_not_there_or_has_no_file_is_left_out(python: Path):
    for target in ("nowhere:predict", "own.nothing:predict", "mine.inner:predict", "time:time"):
        changed = (RULE, f"model: {{type: python, target: '{target}'}}")
        found = own_files(order(python, changed).loaded.config, [python])
        assert "model.target" not in found, target


def test_a_library_s_module_is_found_where_python_finds_it(python: Path):
    changed = (RULE, "model: {type: python, target: 'json.decoder:JSONDecoder'}")
    found = own_files(order(python, changed).loaded.config, [python])
    assert found["model.target"].path.endswith("json/decoder.py")


@pytest.mark.parametrize("name", ["own/__init__.py", "own/deep/strategy.py", "mine.py"])
def test_a_file_that_changed_is_named(python: Path, name: str):
    asked = order(python, PYTHON, FEATURE)
    before = started_on(model_hash(asked))
    assert difference(before, model_hash(asked)) is None
    (python / name).write_text("# other\n")
    told = difference(before, model_hash(asked))
    assert told is not None
    assert f"{python / name} (" in told
    assert told.count("(") == (2 if name == "own/__init__.py" else 1)
    (python / name).unlink()
    assert str(python / name) in str(difference(before, model_hash(asked)))


def test_an_older_journal_is_taken_by_the_old_rule_unless_there_is_code(python: Path):
    rule, code = model_hash(order(python)), model_hash(order(python, PYTHON))
    assert difference(started_on(rule, files=None), rule) is None
    old = started_on(code, model_sha="0" * 64, files=None)
    assert "older journal" in str(difference(old, code))


def test_the_manifest_has_the_hashes_of_the_user_s_code(python: Path):
    asked = order(python, PYTHON)
    facts = model_facts(asked.loaded, model_files(asked))
    assert facts["code_sha256"]["model.target"] == hashlib.sha256(BUYS.encode()).hexdigest()
    plain = order(python)
    assert "code_sha256" not in model_facts(plain.loaded, model_files(plain))


@pytest.mark.process
def test_a_run_whose_model_s_code_has_changed_does_not_go_on(tmp_path: Path):
    paper = Paper(tmp_path / "run", (RULE, "model: {type: python, target: 'own:predict'}"))
    source = paper.folder / "own.py"
    source.write_text(BUYS)
    paper.start().send(bar(1, 60), bar(2, 60)).until("ORDER_SENT")
    paper.signal(signal.SIGKILL)
    paper.end()
    source.write_text(BUYS.replace("BUY", "SELL"))
    code, _, err = paper.start().end()
    assert code == 2, err
    assert f"{source} (model.target) has changed" in err
    assert "--new" in err
