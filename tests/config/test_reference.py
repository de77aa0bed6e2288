"""The JSON Schema and the reference page say what the loader does."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.config_demo import DEMO, demo, load, write
from trader.config.json_schema import json_schema
from trader.config.outline import entries
from trader.config.reference import reference, rewrite

PAGE = Path(__file__).parents[2] / "docs" / "config.md"
jsonschema = pytest.importorskip("jsonschema")


def errors(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def test_the_schema_is_valid_draft_2020_12():
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "swaps",
    [
        (),
        (("max_daily_loss: 1000", "max_daily_loss: none"),),
        (("cash: 100000", "cash: 1e5"),),
        (("{symbol: ACME, tick_size: 0.01, lot_size: 1}", "NO\n  - 010\n  - {symbol: on}"),),
        (("timezone: UTC", "start: 2020-01-01\n  end: 2020-01-02T10:00:00Z"),),
        (("hooks: []", "hooks: ['a:b', {event: bar, target: 'a:b'}]\ntrain: none"),),
        (("{type: sma, period: 10}", "{type: python, target: 'a:B', any: [1, x]}"),),
        (
            (
                "  type: rule\n  buy: sma_fast > sma_slow\n  sell: sma_fast <= sma_slow",
                "  {type: sklearn, path: m.skops, trusted: [a.B], sha256: " + "a" * 64 + "}",
            ),
        ),
    ],
)
def test_the_schema_accepts_what_the_loader_accepts(tmp_path, swaps):
    load(write(tmp_path, demo(*swaps)))
    assert errors(demo(*swaps)) == []


@pytest.mark.parametrize(
    "swap",
    [
        ("hooks: []", "colour: red"),
        ("min_order_size: 1", "min_order: 1"),
        ("lot_size: 1}", "lot: 1}"),
        ("  max_daily_loss: 1000\n", ""),
        ("type: csv", "type: cvs"),
        ("type: rule", "type: rul"),
        ("  buy:", "  path: x\n  buy:"),
        ("cash: 100000", "cash: -1"),
        ("cash: 100000", "cash: none"),
        ("cash: 100000", "cash: lots"),
        ("max_daily_loss: 1000", "max_daily_loss: null"),
        ("allow_short: false", "allow_short: 3"),
        ("hooks: []", "hooks: a:b"),
        ("name: demo\n", ""),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(tmp_path, swap):
    with pytest.raises(Exception, match=r"run\.yaml"):
        load(write(tmp_path, demo(swap)))
    assert errors(demo(swap)) != []


def test_the_resolved_config_fits_the_schema(tmp_path):
    assert errors(load(write(tmp_path, DEMO)).resolved_yaml()) == []


def test_every_key_is_described_and_has_a_default_or_is_required():
    whole = json_schema()
    for entry in entries():
        assert entry.info.description, entry.key
        assert entry.info.description.endswith((".", "…")), entry.key
        name = entry.key.rpartition(".")[2]
        schema = whole["$defs"].get(entry.section.__name__, whole)
        assert (name in schema.get("required", [])) != ("default" in schema["properties"][name])


def written_keys(tree: object, before: str = "") -> Iterator[str]:
    """The dotted keys of a part of a file, `[]` for a list's elements."""
    if isinstance(tree, list):
        for one in tree:
            yield from written_keys(one, f"{before.removesuffix('.')}[].")
    elif isinstance(tree, dict):
        for name, inner in tree.items():
            yield f"{before}{name}"
            yield from written_keys(inner, f"{before}{name}.")


def test_every_key_is_in_the_reference_and_no_other():
    page = reference()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    written = {key for block in blocks for key in written_keys(block)}
    keys = {entry.key for entry in entries()}
    homes = set(re.findall(r"the keys of ([\w.]+)", page))
    elsewhere = {
        key for key in keys for home in homes if f"{home}.{key.rpartition('.')[2]}" in written
    }
    assert written <= keys | {"features.NAME"}
    assert keys - written - elsewhere == set()
    assert homes == {"exits.stop_loss"}
    assert {"exits.take_profit.value", "train.label.stop_loss.period"} <= elsewhere - written
    assert "exits.trailing_stop.activate_at" in written


def test_a_line_of_the_reference_has_default_choice_and_meaning():
    lines = {" ".join(line.split()) for line in reference().splitlines()}
    assert "fill: next_open # or same_close: when an order fills; same_close flatters" in lines
    assert "max_order_size: … # number, none: units; larger ones are denied" in lines
    assert "report: true # write report.html" in lines
    assert "# all but rule, signals:" in lines


def test_the_reference_page_is_up_to_date():
    """`python -m trader.config.reference docs/config.md` makes it so."""
    page = PAGE.read_text(encoding="utf-8")
    assert rewrite(page, reference()) == page


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="the page has no lines"):
        rewrite("text", "blocks")


def test_every_key_of_the_contract_is_in_the_schema():
    """DESIGN §6 names these keys; users' files hold them."""
    keys = {entry.key for entry in entries()}
    tree = yaml.safe_load(DEMO)
    for section, value in tree.items():
        assert section in keys
        for key in value if isinstance(value, dict) and section != "features" else ():
            assert f"{section}.{key}" in keys


def test_the_example_of_the_page_loads(tmp_path):
    example = PAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    assert load(write(tmp_path, example)).config == load(write(tmp_path, DEMO)).config


@pytest.mark.process
def test_the_command_rewrites_the_blocks_in_place(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    stale = write(tmp_path, page.replace("\nseed: 0 ", "\nsad: 0 "), "config.md")
    subprocess.run([sys.executable, "-m", "trader.config.reference", str(stale)], check=True)
    assert stale.read_text(encoding="utf-8") == page
