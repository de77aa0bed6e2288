"""docs/feature-types.md names every type, its parameters, inputs and outputs."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.features_kit import TYPES, feature_set, walk_bars
from trader.features.feature_types import FRAME, PYTHON, TALIB, FeatureType
from trader.features.friendly_names import FRIENDLY

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "features.md"
TYPES_TEXT = (DOCS / "feature-types.md").read_text("utf-8")


def row(kind: FeatureType) -> str:
    """The line of the page's tables that describes a type."""
    params = ", ".join(f"`{name}` {default}" for name, default in kind.params.items()) or "–"
    cells = [f"`{kind.name}`", kind.meaning, params]
    if kind.inputs or kind.group == TALIB:
        cells.append(", ".join(kind.inputs))
    else:
        cells.append("–")
    cells.append(", ".join(f"`{name}`" for name in kind.outputs) or "–")
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", sorted(set(TYPES) - {PYTHON, FRAME}))
def test_every_type_is_on_the_page_as_it_is(name):
    assert row(TYPES[name]) in TYPES_TEXT.splitlines()


def test_the_page_names_no_type_that_does_not_exist():
    rows = re.findall(r"^\| `(\w+)` \|", TYPES_TEXT, re.MULTILINE)
    assert sorted(rows) == sorted(set(TYPES) - {PYTHON, FRAME})
    assert set(FRIENDLY) < set(rows)


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
