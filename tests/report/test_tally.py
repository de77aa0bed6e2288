"""Counts of decisions against a loop over the same decisions, and the risk block."""

from collections import Counter
from typing import get_args

import numpy as np
import pytest

from tests.report_kit import ExampleRun, example_config
from trader.config.sections.model import Model
from trader.core.schema import DECISION, EventKind, Reason, ThrottleStage, TradingState
from trader.report.document import TIMING_KEYS, summary_document
from trader.report.reasons import NOTES
from trader.report.tally import DecisionTally, stage_names

DOCUMENT_KEYS = [
    *("run_id", "run_dir", "digest", "bars", "slices", "orders", "fills", "denied", "throttled"),
    *("start_equity", "final_equity", "metrics", "risk", "timing", "engine"),
]


def decisions(*rows):
    """DECISION rows from (requested, approved, reason, throttle bits, action)."""
    found = np.zeros(len(rows), DECISION)
    for row, values in zip(found, rows, strict=True):
        for name, value in zip(
            ("requested_qty", "approved_qty", "reason", "throttle", "action"), values, strict=True
        ):
            row[name] = value
    return found


def test_every_outcome_is_counted_once_under_its_reason():
    tally = DecisionTally()
    tally.add(
        decisions(
            (0.0, 0.0, Reason.NONE, 0, 0),
            (0.0, 0.0, Reason.WARMUP, 0, 0),
            (0.0, 0.0, Reason.AT_TARGET, 0, 1),
            (10.0, 10.0, Reason.NONE, 0, 1),
            (-10.0, -4.0, Reason.VOLATILITY, 4 | 1, 2),
            (-20.0, -10.0, Reason.POSITION_LIMIT, 0, 2),
            (-20.0, -5.0, Reason.POSITION_LIMIT, 1, 2),
        )
    )
    tally.add(decisions((10.0, 0.0, Reason.POSITION_LIMIT, 0, 1)))
    tally.add(decisions((10.0, 0.0, Reason.THROTTLED_TO_ZERO, 2, 1)))
    tally.add(decisions())
    assert (tally.decisions, tally.requested, tally.approved) == (9, 6, 4)
    assert (tally.denied, tally.throttled) == (2, 3)
    assert tally.denied_by_reason == {"POSITION_LIMIT": 1, "THROTTLED_TO_ZERO": 1}
    assert tally.trimmed_by_reason == {"POSITION_LIMIT": 2}
    assert tally.held_by_reason == {"AT_TARGET": 1, "WARMUP": 1}
    assert tally.throttled_by_reason == {"VOLUME_PARTICIPATION": 2, "SPREAD": 1, "VOLATILITY": 1}
    assert tally.actions == {"HOLD": 2, "BUY": 4, "SELL": 3, "CLOSE": 0}


def test_tally_of_chunks_equals_a_loop_over_all_decisions():
    run = ExampleRun(days=6)
    denied, held, throttled = Counter(), Counter(), 0
    for row in run.decisions:
        reason = Reason(int(row["reason"])).name
        if row["requested_qty"] and not row["approved_qty"]:
            denied[reason] += 1
        if not row["requested_qty"] and row["reason"]:
            held[reason] += 1
        throttled += bool(row["throttle"])
    assert run.tally.denied_by_reason == dict(denied)
    assert run.tally.held_by_reason == dict(held)
    assert run.tally.throttled == throttled > 0
    assert run.tally.decisions == len(run.decisions)
    assert run.tally.approved == run.record.orders


def test_reasons_are_listed_most_frequent_first():
    tally = DecisionTally()
    rows = [(1.0, 0.0, Reason.RESTRICTED, 0, 1)] * 2 + [(1.0, 0.0, Reason.BUYING_POWER, 0, 1)] * 3
    tally.add(decisions(*rows))
    assert list(tally.denied_by_reason) == ["BUYING_POWER", "RESTRICTED"]


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (0, ""),
        (1, "VOLUME_PARTICIPATION"),
        (6, "SPREAD+VOLATILITY"),
        (9, "VOLUME_PARTICIPATION+ABSOLUTE_CAP"),
    ],
)
def test_throttle_stages_are_named_in_the_order_they_apply(bits, text):
    assert stage_names(bits) == text


def test_every_reason_and_throttle_stage_has_a_note_in_plain_words():
    assert set(NOTES) == set(Reason)
    assert all(note.words for note in NOTES.values())
    assert {stage.name for stage in ThrottleStage if stage} <= set(Reason.__members__)


def test_config_keys_in_the_notes_exist():
    config = example_config()
    for note in NOTES.values():
        section = config
        for part in note.key.split(".") if note.key else ():
            if part == "max_orders_per_*":
                break
            section = section[0] if isinstance(section, tuple) else section
            if section is config.model:  # a key of one of the formats, not of the example's
                kinds = get_args(get_args(Model)[0])
                assert any(part in kind.model_fields for kind in kinds), note.key
                break
            assert hasattr(section, part), note.key
            section = getattr(section, part)


def test_document_has_exactly_the_keys_of_the_contract_in_order():
    document = summary_document(ExampleRun().result(), {"total_s": 2.0, "bars_per_s": 5.0})
    assert list(document) == DOCUMENT_KEYS
    assert list(document["timing"])[: len(TIMING_KEYS)] == list(TIMING_KEYS)
    assert document["timing"]["total_s"] == 2.0
    assert document["timing"]["model_s"] == 0.0
    assert document["denied"] == sum(document["risk"]["denied_by_reason"].values())


def test_risk_block_tells_losses_limits_and_state_changes_of_a_run_that_broke_a_limit():
    run = ExampleRun(days=3, risk=risk_section(max_daily_loss="20"))
    risk = run.result().risk
    states = run.record.equity["trading_state"]
    assert (states == TradingState.REDUCING).any(), "the example must break its limit"
    assert risk["max_daily_loss"] == 20.0
    assert risk["worst_daily_loss"] == float(run.record.book.account[0]["worst_daily_loss"]) > 20.0
    changes = run.record.events[run.record.events["kind"] == EventKind.TRADING_STATE]
    assert risk["state_changes_total"] == len(changes) == len(risk["state_changes"])
    first = risk["state_changes"][0]
    assert (first["from"], first["to"], first["reason"]) == (
        "ACTIVE",
        "REDUCING",
        "DAILY_LOSS_LIMIT",
    )
    row = np.flatnonzero(states == TradingState.REDUCING)[0]
    assert (
        first["time"] == str(np.datetime64(int(run.record.equity["ts_ns"][row]), "ns"))[:19] + "Z"
    )
    assert risk["denied_by_reason"].get("DAILY_LOSS_LIMIT", 0) > 0
    assert 0.0 < risk["reducing_frac"] < 1.0
    assert risk["halted_s"] == 0.0
    assert risk["max_drawdown_frac"] is None


def test_risk_block_of_a_run_killed_by_its_loss_is_halted_to_the_end():
    run = ExampleRun(days=3, risk=risk_section(max_daily_loss="20", on_daily_loss="kill"))
    risk = run.result().risk
    assert risk["trading_state"] == "HALTED"
    assert risk["state_reason"] == "DAILY_LOSS_LIMIT"
    assert risk["state_changes"][-1]["to"] == "HALTED"
    assert risk["state_since"] == risk["state_changes"][-1]["time"]
    ends = run.record.equity["ts_ns"]
    halted_ns = int(ends[-1]) - int(run.record.book.account[0]["state_since_ns"])
    assert risk["halted_s"] == halted_ns / 1e9
    assert risk["halted_frac"] == pytest.approx(halted_ns / (int(ends[-1]) - int(ends[0])))


def risk_section(**changes):
    """The example's risk section with some limits changed."""
    section = example_config().risk.model_dump(exclude_unset=True)
    text = {key: "none" if value is None else str(value) for key, value in section.items()}
    return text | changes
