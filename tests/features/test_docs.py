"""docs/feature-types.md names every type, its parameters, inputs and outputs."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.features_kit import TYPES, feature_set, walk_bars
from trader.features import types_page
from trader.features.feature_types import FRAME, PYTHON
from trader.features.friendly_names import FRIENDLY

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "features.md"
TYPES_TEXT = (DOCS / "feature-types.md").read_text("utf-8")
BLOCKS = "".join(re.findall(r"^```\n(.*?)^```$", TYPES_TEXT, re.DOTALL | re.MULTILINE))
IN_A_ROW = re.compile("^(CDL.*|ACOS|ASIN|ATAN|CEIL|COSH?|EXP|FLOOR|LN|LOG10|SINH?|SQRT|TANH?)$")


def line_of(name: str) -> str:
    """What the page writes of a type: its line, or its word in a row of names."""
    pattern = rf"(?<!\S){name}(?:\([^)]*\))?(?!\S)" if IN_A_ROW.match(name) else rf"^{name}\b.*$"
    (found,) = re.findall(pattern, BLOCKS, re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("name", sorted(set(TYPES) - {PYTHON, FRAME}))
def test_every_type_is_on_the_page_with_all_it_takes_and_gives(name):
    kind = TYPES[name]
    call, _, meaning = line_of(name).partition("  ")
    brackets, _, outputs = call.removeprefix(name).partition(" → ")
    words = brackets.strip("()").split(", ") if brackets else []
    given = [f"{param}={default}" for param, default in kind.params.items()]
    read = [] if IN_A_ROW.match(name) else list(kind.inputs)
    assert words == read + given
    assert meaning.strip() in (kind.meaning.replace("`", ""), "")
    assert meaning or name.isupper()
    assert (outputs.split(", ") if outputs else []) == list(kind.outputs)


def test_candles_read_the_whole_bar_as_the_page_says():
    candles = [kind for name, kind in TYPES.items() if name.startswith("CDL")]
    assert {kind.inputs for kind in candles} == {("open", "high", "low", "close")}
    assert {kind.outputs for kind in candles} == {()}


def test_the_page_names_no_type_that_does_not_exist():
    starts = re.findall(r"^(\w+)", BLOCKS, re.MULTILINE)
    in_a_row = [word for word in re.findall(r"(?<= )[A-Z]\w+", BLOCKS) if IN_A_ROW.match(word)]
    rows = [*starts, *in_a_row]
    assert sorted(rows) == sorted(set(TYPES) - {PYTHON, FRAME})
    assert set(FRIENDLY) < set(rows)


def test_the_page_of_types_is_what_the_program_says():
    """`python -m trader.features.types_page docs/feature-types.md` makes it so."""
    assert types_page.page() == TYPES_TEXT


def test_the_examples_on_the_page_are_accepted(tmp_path, monkeypatch):
    text = PAGE.read_text("utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code) == 2
    (tmp_path / "my_features.py").write_text("\n".join(code))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_features", raising=False)
    bars = walk_bars(50)
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        specs = yaml.safe_load(example)["features"]
        features = feature_set(specs, bars, search_paths=(tmp_path,))
        assert features.batch(bars).shape == (50, len(features.names))
        assert len(features.names) >= len(specs)
