"""report.html: what it holds, that names cannot break out of it."""

import base64
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from tests.report_kit import ExampleRun
from trader.core.schema import DECISION
from trader.report.html.markup import text
from trader.report.html.pack import extremes, packed, packed_whole
from trader.report.html.page import run_page, runs_page
from trader.report.html.source import Market, decisions_of, memory_source

EVIL = '</script><img src="http://evil.example/x">"\''


@pytest.fixture
def source():
    run = ExampleRun()
    result = run.result()
    market = Market(None, None, result.config.period_ns, "they were not kept")
    return memory_source(result, decisions_of(np.empty(0, DECISION), result), market)


def test_a_text_of_a_run_cannot_become_markup(source):
    evil = replace(source, config_text=EVIL, manifest={**source.manifest, "name": EVIL})
    page = run_page(evil)
    assert EVIL not in page
    assert "<img" not in page
    assert page.count(text(EVIL)) == 2
    assert page.count("</script>") == 2  # data and script


def test_the_page_names_no_address_and_forbids_all(source):
    page = run_page(source)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|<link|src=", page)


def test_figures_of_the_page_are_those_of_the_metrics(source):
    page = run_page(source)
    for key in ("final_equity", "sharpe", "max_drawdown", "expectancy"):
        assert f'<th scope="row">{key}</th><td>{text(source.metrics[key])}</td>' in page


def test_runs_side_by_side_have_a_column_each(source):
    page = runs_page([source, source])
    assert page.count(f'<th scope="col" class="number">{source.run_id}</th>') == 2
    assert "exactly the same" in page


def test_the_fewest_points_keep_every_extreme():
    rng = np.random.default_rng(4)
    values = rng.normal(size=100_003).cumsum()
    places = extremes(values, 4_000)
    assert len(places) <= 4_000
    assert {values.argmin(), values.argmax(), 0, len(values) - 1} <= set(places.tolist())
    assert (np.diff(places) > 0).all()


def unpacked(block):
    planes = np.frombuffer(zlib.decompress(base64.b64decode(block["data"])), np.uint8)
    steps = np.ascontiguousarray(planes.reshape(4, -1).T).view("<i4").ravel().astype(np.int64)
    return block["base"] + (steps.cumsum() if block["diff"] else steps) * block["scale"]


def test_packed_numbers_come_back_on_their_step():
    prices = np.array([118.19, 118.2, 99.01, 2_000.5])
    assert unpacked(packed(prices, 0.01)) == pytest.approx(prices, abs=1e-9)
    assert unpacked(packed(prices, 0.01, diff=False)) == pytest.approx(prices, abs=1e-9)
    moments = np.array([1_700_000_000_000, 1_700_000_060_000, 1_900_000_000_000])
    assert unpacked(packed_whole(moments)) == pytest.approx(moments, abs=100)


def test_more_orders_than_the_page_holds_are_told(source, monkeypatch):
    monkeypatch.setattr("trader.report.html.data.MOST_ORDERS", 3)
    monkeypatch.setattr("trader.report.html.sections.MOST_ORDERS", 3)
    left = source.orders.num_rows - 3
    assert f"The first 3; {left:,} more are in orders.parquet." in run_page(source)


def test_what_the_model_has_seen_and_its_card_stand_on_the_page(source):
    seen = {"bars": 5, "share": 0.25, "trained_from": "A", "trained_to": "B"}
    seen |= {"run_from": "C", "run_to": "D"}
    card = {"estimator": "Tree", "folds": [{"fold": 1, "accuracy": 0.5}, {"fold": 2}]}
    manifest = {**source.manifest, "in_sample": seen, "model_card": card}
    page = run_page(replace(source, manifest=manifest))
    assert "25.0% of the bars (5) lie in what the model was trained on (A to B)" in page
    assert "WARNING: in sample." in page
    assert '<th scope="row">estimator</th><td>Tree</td>' in page
    assert page.count('<td class="number">0.5</td>') == 1
