"""`model.type: python`: finding the callable, calling it, and telling what went wrong in it."""

import sys
import textwrap
from importlib import import_module

import numpy as np
import pytest

from tests.model_kit import make_bars, make_features, make_model
from trader.errors import ConfigError, ModelError
from trader.models.model import predict_actions


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A config's folder; modules and the import path are put back afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def load(folder, target, params=None, name="user_model.py", text=None):
    if text is not None:
        write(folder / name, text)
    section = {"type": "python", "target": target, "params": params or {}}
    return make_model(section, paths=(folder,))


def test_function_gets_features_in_config_order_and_answers_for_each_row(folder):
    model = load(
        folder,
        "user_model:decide",
        text="""
        import numpy as np
        def decide(features):
            assert type(features) is np.ndarray and features.dtype == np.float64
            assert features.ndim == 2 and features.flags.c_contiguous
            return np.where(features[:, 0] > features[:, 1], "BUY", "sell")
        """,
    )
    features = make_features(50)
    actions, _, _ = predict_actions(model, make_bars(50), features, chunk_rows=7)
    assert actions.tolist() == np.where(features[:, 0] > features[:, 1], 1, 2).tolist()


def test_params_are_keyword_arguments_of_the_function(folder):
    model = load(
        folder,
        "user_model:decide",
        {"above": 0.5, "action": "sell"},
        text="""
        def decide(features, above, action="BUY"):
            return [action if row[0] > above else "HOLD" for row in features]
        """,
    )
    assert model.predict(make_bars(2), np.array([[1.0, 0], [0, 1.0]])).tolist() == [2, 0]


@pytest.mark.parametrize("method", ["__call__", "predict"])
def test_class_is_made_with_params_and_keeps_its_state(folder, method):
    model = load(
        folder,
        "user_model:Policy",
        {"period": 2},
        text=f"""
        class Policy:
            def __init__(self, period):
                self.period, self.calls = period, 0
            def {method}(self, features):
                self.calls += 1
                return [int(self.calls % self.period == 0)] * len(features), "state"
        """,
    )
    asked = [model.predict(make_bars(3), make_features(3)).tolist() for _ in range(2)]
    assert asked == [[0, 0, 0], [1, 1, 1]]


def test_nested_names_packages_and_plain_objects_are_found(folder):
    write(folder / "strategies" / "__init__.py", "")
    write(
        folder / "strategies" / "trend.py",
        """
        class Box:
            @staticmethod
            def decide(features):
                return [2] * len(features)
        class Ready:
            def predict(self, features):
                return [1] * len(features)
        ready = Ready()
        """,
    )
    features = make_features(2)
    model = load(folder, "strategies.trend:Box.decide")
    assert model.predict(make_bars(2), features).tolist() == [2, 2]
    model = load(folder, "strategies.trend:ready")
    assert model.predict(make_bars(2), features).tolist() == [1, 1]


def test_model_cannot_change_our_features(folder):
    model = load(
        folder,
        "user_model:decide",
        text="""
        def decide(features):
            features[:] = 0.0
            if features.base is not None:
                features.base[:] = 0.0
            return [0] * len(features)
        """,
    )
    features = make_features(5)
    before = features.copy()
    predict_actions(model, make_bars(5), features)
    assert np.array_equal(features, before)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no such regime')", "ValueError: no such regime"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("return features[:, 99]", "IndexError"),
        ("return decide(features)", "RecursionError"),
    ],
)
def test_whatever_the_callable_raises_is_model_error_with_its_line(folder, body, message):
    model = load(folder, "user_model:decide", text=f"# line 1\ndef decide(features):\n    {body}\n")
    with pytest.raises(ModelError) as caught:
        predict_actions(model, make_bars(3), make_features(3))
    assert message in str(caught.value)
    assert f"{folder / 'user_model.py'}:3" in str(caught.value)
    assert "user_model:decide" in str(caught.value)


def test_failure_inside_a_library_names_the_line_of_the_users_file(folder):
    model = load(
        folder,
        "user_model:decide",
        text="import numpy as np\ndef decide(features):\n    return np.linalg.inv(features)\n",
    )
    with pytest.raises(ModelError, match=r"LinAlgError.*user_model\.py:3"):
        model.predict(make_bars(3), make_features(3))


def test_ctrl_c_in_the_callable_is_not_swallowed(folder):
    model = load(
        folder, "user_model:decide", text="def decide(features):\n    raise KeyboardInterrupt\n"
    )
    with pytest.raises(KeyboardInterrupt):
        model.predict(make_bars(1), make_features(1))


def test_bad_answer_names_row_and_symbol(folder):
    model = load(
        folder,
        "user_model:decide",
        text="def decide(features):\n    return [0, 0, float('nan'), 5]\n",
    )
    with pytest.raises(ModelError, match=r"row 2 \(from 0; ACME, bar closing .*nan"):
        predict_actions(model, make_bars(4), make_features(4))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("user_modle:decide", "did you mean 'user_model'"),
        ("nowhere.at.all:decide", "there is no module 'nowhere.at.all'"),
        ("user_model.sub:decide", "there is no module 'user_model.sub'"),
        ("user_model:decied", "did you mean 'decide'"),
        ("user_model:Policy.nothing", "there is no 'nothing'"),
        ("user_model:NUMBER", "cannot be called"),
        ("user_model:no_argument", "cannot be called with (features"),
        ("user_model:two_arguments", "cannot be called with (features"),
    ],
)
def test_wrong_target_is_config_error_of_its_key(folder, target, message):
    text = """
    NUMBER = 7
    class Policy:
        pass
    def decide(features):
        return [0] * len(features)
    def no_argument():
        return []
    def two_arguments(features, state):
        return []
    """
    with pytest.raises(ConfigError) as caught:
        load(folder, target, text=text)
    assert caught.value.key == "model.target"
    assert message in str(caught.value)


@pytest.mark.parametrize("target", ["user_model:Policy", "user_model:decide"])
def test_params_that_do_not_fit_are_config_error_of_params(folder, target):
    text = """
    class Policy:
        def __init__(self, period):
            pass
        def __call__(self, features):
            return []
    def decide(features, period=1):
        return []
    """
    with pytest.raises(ConfigError, match="perod") as caught:
        load(folder, target, {"perod": 3}, text=text)
    assert caught.value.key == "model.params"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import a_library_nobody_has\n", "a_library_nobody_has"),
        ("x = 1\ndef decide(:\n    pass\n", "SyntaxError"),
        ("raise SystemExit('stopped')\n", "SystemExit: stopped"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_module_that_fails_at_import_is_model_error_with_its_line(folder, text, message):
    write(folder / "broken_model.py", text)
    with pytest.raises(ModelError) as caught:
        load(folder, "broken_model:decide")
    assert message in str(caught.value)
    assert "broken_model.py:" in str(caught.value)


def test_class_that_fails_when_made_is_model_error(folder):
    text = "class Policy:\n    def __init__(self):\n        raise OSError('weights.bin is gone')\n"
    with pytest.raises(ModelError, match=r"weights\.bin is gone \(.*user_model\.py:3"):
        load(folder, "user_model:Policy", text=text)


def test_two_configs_with_a_module_of_one_name_each_get_their_own(folder):
    answers = []
    for i in (1, 2, 1):
        own = folder / f"config{i}"
        if not own.exists():
            write(own / "user_model.py", f"def decide(f):\n    return [{i}] * len(f)\n")
        model = load(own, "user_model:decide")
        answers += model.predict(make_bars(1), make_features(1)).tolist()
    assert answers == [1, 2, 1]


def test_module_named_like_one_of_pythons_is_refused(folder):
    write(folder / "json.py", "def decide(features):\n    return []\n")
    with pytest.raises(ConfigError, match=r"'json'.*is taken by.*rename your file") as caught:
        load(folder, "json:decide")
    assert caught.value.key == "model.target"


def test_config_folder_comes_before_the_working_directory(folder):
    first, second = folder / "config", folder / "cwd"
    write(first / "user_model.py", "def decide(f):\n    return [1] * len(f)\n")
    write(second / "user_model.py", "def decide(f):\n    return [2] * len(f)\n")
    write(second / "only_here.py", "def decide(f):\n    return [2] * len(f)\n")
    section = {"type": "python", "target": "user_model:decide"}
    model = make_model(section, paths=(first, second))
    assert model.predict(make_bars(1), make_features(1)).tolist() == [1]
    model = make_model(section | {"target": "only_here:decide"}, paths=(first, second))
    assert model.predict(make_bars(1), make_features(1)).tolist() == [2]


def test_what_the_module_prints_at_import_goes_to_stderr(folder, capsys):
    text = """
    print("loading weights")
    class Policy:
        def __init__(self):
            print("made")
        def __call__(self, features):
            return [0] * len(features)
    """
    load(folder, "user_model:Policy", text=text)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "loading weights\nmade\n"


def test_file_beside_the_config_does_not_stand_in_for_a_library(folder):
    write(folder / "colorsys.py", "raise RuntimeError('not the real one')\n")  # not loaded yet
    write(folder / "own_helper.py", "ACTION = 2\n")
    text = """
    import colorsys
    import own_helper
    def decide(features):
        return [own_helper.ACTION if colorsys.rgb_to_hls(1, 1, 1) else 0] * len(features)
    """
    sys.modules.pop("colorsys", None)
    model = load(folder, "user_model:decide", text=text)
    assert model.predict(make_bars(1), make_features(1)).tolist() == [2]


def test_target_module_named_like_an_installed_one_is_the_users(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "colorsys", import_module("colorsys"))  # is there again after
    monkeypatch.delitem(sys.modules, "colorsys")
    model = load(
        folder,
        "colorsys:decide",
        name="colorsys.py",
        text="def decide(features):\n    return [1] * len(features)\n",
    )
    assert model.predict(make_bars(1), make_features(1)).tolist() == [1]
