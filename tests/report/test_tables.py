"""What a run looks like on the screen: 80 columns, no colour, every number with its unit."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.report_kit import SYMBOLS, ExampleRun, example_config
from trader.core.schema import DECISION, EQUITY, EVENT, FILL, Reason
from trader.moments import duration_text, iso_utc
from trader.report.document import json_text, summary_document
from trader.report.metrics import MarketFacts
from trader.report.tables import summary_view, warnings
from trader.report.tally import DecisionTally


def rendered(document, width=80, **options):
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, **options)
    console.print(summary_view(document))
    return console.file.getvalue()


def without_fills(decisions, bars=None):
    """The document of a run of the example's config in which nothing was filled."""
    run = ExampleRun()
    tally = DecisionTally()
    tally.add(decisions)
    rows = run.record.equity if bars is None else np.zeros(0, EQUITY)
    nothing = {"fills": np.zeros(0, FILL), "events": np.zeros(0, EVENT), "tally": tally}
    positions = np.zeros_like(run.record.book.positions)
    if bars == 0:
        nan = np.full(len(SYMBOLS), np.nan)
        nothing |= {"bars": 0, "orders": 0, "market": MarketFacts(365.0, nan, nan)}
    return summary_document(run.result(equity=rows, positions=positions, **nothing))


@pytest.fixture(scope="module")
def document():
    return summary_document(ExampleRun().result())


def test_table_fits_80_columns_in_plain_ascii(document):
    text = rendered(document)
    assert text.isascii()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "\x1b" not in text


def test_table_has_the_same_words_with_colour(document):
    coloured = rendered(document, force_terminal=True, color_system="truecolor")
    assert "\x1b[" in coloured
    for words in ("Total return", "Sharpe ratio", "Worst daily loss"):
        assert words in coloured


def test_table_shows_every_headline_statistic_with_its_value(document):
    text = " ".join(rendered(document).split())
    metrics, risk = document["metrics"], document["risk"]
    for shown in (
        f"Final equity {metrics['final_equity']:,.2f}",
        f"Total return {metrics['total_return'] * 100:+,.2f} %",
        f"Buy and hold {metrics['buy_and_hold_return'] * 100:+,.2f} %",
        f"Sharpe ratio {metrics['sharpe']:,.2f}",
        f"Max drawdown {metrics['max_drawdown'] * 100:,.2f} %",
        f"Win rate {metrics['win_rate'] * 100:,.2f} %",
        f"Round trips {metrics['trades']}",
        f"Expectancy a trade {metrics['expectancy']:,.2f}",
        f"Commissions {metrics['commission']:,.2f}",
        f"Orders requested {risk['requested']}",
        f"Worst daily loss {risk['worst_daily_loss']:,.2f} of 150.00 allowed",
        "Trading state at end ACTIVE",
        "2019-02-11T00:01:00Z to 2019-02-13T00:40:00Z, 3 trading days",
    ):
        assert shown in text, shown


def test_table_lists_each_reason_with_count_and_config_key(document):
    text = " ".join(rendered(document, width=120).split())
    for name, count in document["risk"]["trimmed_by_reason"].items():
        assert f"trimmed {name} {count}" in text
    assert "(risk.max_order_size)" in text
    assert "held WARMUP 6 features were not warm yet (features)" in text


def test_only_the_most_frequent_reasons_are_listed_and_the_rest_summed():
    rows = np.zeros(20, DECISION)
    rows["requested_qty"] = 1.0
    codes = [Reason.RESTRICTED] * 5 + [Reason(code) for code in range(20, 28)] * 2
    rows["reason"] = codes[:20]
    text = " ".join(rendered(without_fills(rows)).split())
    assert "denied RESTRICTED 5" in text
    assert "denied 3 others" in text


def test_statistic_without_a_value_says_why():
    text = " ".join(rendered(without_fills(np.zeros(3, DECISION))).split())
    assert "Win rate n/a" in text
    assert "n/a: no round trip was closed (Win rate, Profit factor, Expectancy a trade" in text


def test_same_close_is_flagged_before_any_number():
    run = ExampleRun(broker={"cash": "100000", "fill": "same_close"})
    document = summary_document(run.result())
    text = rendered(document)
    assert "WARNING: broker.fill is same_close" in text
    assert text.index("WARNING") < text.index("Final equity")
    assert "fills at the SAME CLOSE" in text
    assert document["risk"]["fill_rule"] == "same_close"


def test_next_open_run_has_no_warning(document):
    assert warnings(document) == []


def test_halted_run_says_so_first():
    section = example_config().risk.model_dump(exclude_unset=True)
    risk = {key: "none" if value is None else str(value) for key, value in section.items()}
    risk |= {"max_daily_loss": "20", "on_daily_loss": "kill"}
    document = summary_document(ExampleRun(risk=risk).result())
    text = " ".join(rendered(document).split())
    since = document["risk"]["state_since"]
    assert f"Trading ended HALTED since {since}: DAILY_LOSS_LIMIT" in text
    assert "State changes (1) last ACTIVE to HALTED" in text
    assert "Worst daily loss" in text
    assert "of the time)" in text


def test_run_without_bars_says_where_to_look():
    text = rendered(without_fills(np.zeros(0, DECISION), bars=0))
    assert "No bars were run" in text
    assert "feed.start" in text
    assert "Sharpe" not in text


def test_run_without_fills_tells_the_top_reasons_and_keys():
    rows = np.zeros(10, DECISION)
    rows["reason"][:6] = Reason.WARMUP
    rows["requested_qty"][6:9] = 5.0
    rows["action"][6:9] = 1
    rows["reason"][6:9] = Reason.POSITION_LIMIT
    text = " ".join(rendered(without_fills(rows)).split())
    assert "No order was filled in 10 decisions." in text
    held, denied = text.index("held 6 times, WARMUP"), text.index("denied 3 times, POSITION_LIMIT")
    assert held < denied
    assert "see risk.max_position_size" in text
    assert "the model said HOLD once of its own" in text


def test_run_whose_orders_never_filled_says_they_were_still_working():
    run = ExampleRun()
    result = run.result(fills=np.zeros(0, FILL))
    assert result.risk["orders_working_at_end"] > 0
    text = rendered(summary_document(result))
    assert "working after the last bar: 1" in text


def test_document_survives_json_unchanged(document):
    assert json.loads(json_text(document)) == document


def test_json_takes_numpy_numbers_and_paths_and_nothing_else():
    assert json.loads(json_text({"a": np.float64(0.5), "b": Path("x/y")})) == {"a": 0.5, "b": "x/y"}
    with pytest.raises(TypeError, match="not JSON: set"):
        json_text({"a": {1}})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (59.6, "1 min"),
        (61.0, "1 min 1 s"),
        (7_200.0, "2 h"),
        (90_061.0, "1 d 1 h"),
        (86_400.0 * 1234, "1,234 d"),
    ],
)
def test_duration_is_told_in_its_two_largest_units(seconds, text):
    assert duration_text(seconds) == text


def test_instants_are_written_in_utc_with_the_decimals_they_need():
    assert iso_utc(1_549_893_060_000_000_000) == "2019-02-11T13:51:00Z"
    assert iso_utc(1_549_893_060_120_000_000) == "2019-02-11T13:51:00.12Z"
    assert iso_utc(-1) == "1969-12-31T23:59:59.999999999Z"
