"""docs/results.md knows every file, column and statistic there is, docs/reasons.md every reason."""

import re
from pathlib import Path

import pytest

from tests.report_kit import ExampleRun
from trader.core.schema import Reason
from trader.report import reasons_page
from trader.report.artifacts import COMPLETE
from trader.report.document import TIMING_KEYS, summary_document
from trader.report.parquet import DECISION_SCHEMA, EQUITY_SCHEMA
from trader.report.reasons import NOTES
from trader.report.roundtrips import ROUND_TRIP

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "results.md").read_text("utf-8")
WHY = (DOCS / "reasons.md").read_text("utf-8")
NAMED = set(re.findall(r"[A-Za-z_.]+", PAGE))


@pytest.fixture(scope="module")
def document():
    return summary_document(ExampleRun().result())


def test_every_file_of_the_run_folder_is_explained():
    assert set(COMPLETE) <= NAMED


def test_every_column_is_explained():
    trades = set(ROUND_TRIP.names) - {"entry_ns", "exit_ns"} | {"entry_time", "exit_time"}
    assert trades | {*DECISION_SCHEMA.names, *EQUITY_SCHEMA.names} <= NAMED


def test_every_statistic_and_risk_figure_is_explained(document):
    keys = {*document, *document["metrics"], *document["risk"], *TIMING_KEYS}
    assert keys - NAMED == set()


def test_the_page_of_reasons_is_what_the_program_says():
    """`python -m trader.report.reasons_page docs/reasons.md` makes it so."""
    assert reasons_page.page() == WHY


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason])
def test_every_reason_is_on_its_page(reason):
    words, key = NOTES[reason]
    assert re.search(rf"^{reason.name} +{re.escape(words)}( \(.*\))?$", WHY, re.MULTILINE)
    assert f"({key})" in WHY or not key
