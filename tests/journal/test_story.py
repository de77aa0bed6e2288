"""One order's story: everything that led to it and came of it, with the record of each."""

import numpy as np
import pytest

from tests.core_kit import flat_bars
from tests.journal_kit import (
    PaperRun,
    as_record,
    finished_run,
    limited_rules,
    records_of,
    resealed,
    rewrite,
    slices,
)
from trader.core import schema
from trader.core.schema import KillSwitchReason, Reason
from trader.errors import UsageError
from trader.journal import entries as build
from trader.journal.audit.show import outcome, story_document, story_lines, time_text
from trader.journal.audit.story import failing_step, steps, tell


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with cuts, partial fills and cancels."""
    return finished_run(tmp_path_factory.mktemp("story"), 40)


def stories(run):
    return [tell(run.path, client_id) for client_id in run.client_ids.values()]


def scripted(folder, prices, word, **limits):
    """A run of one symbol over flat bars and scripted actions, ended."""
    from tests.core_kit import actions_from

    bars = flat_bars(prices)
    run = PaperRun(folder, limited_rules(bars, 1, **limits))
    for part, action in zip(slices(bars), actions_from(word), strict=True):
        run.feed(part, action.reshape(1))
    run.end()
    return run


OFF = float("inf")
FREE = {"max_volume_participation": OFF, "max_spread_bps": OFF, "max_fill_participation": OFF}


def test_a_simple_order_reads_as_it_happened(tmp_path):
    run = scripted(tmp_path, [10.0, 10.5, 11.0], "B..", max_daily_loss=500.0, **FREE)
    lines = story_lines(tell(run.path, "1"))
    client_id = run.client_ids[1]
    text = "\n".join(lines)
    assert lines[0] == f"order 1 {client_id}: BUY 20 ACME, filled 20"
    assert "run-1 (paper; config cccccccccccc, model mmmmmmmmmmmm, code kkkkkkkkkkkk)" in text
    assert "closed 2018-03-10 00:01:00 UTC  open 10.0" in text
    assert "BUY  model took 0.250 ms, features ffffffffffff" in text
    assert "number 0: holding 0, wanted +20, approved +20  [record 4]" in text
    assert "2 position size  pass         20 of at most 60" in text
    assert "4 losses         pass         0 of at most 500" in text
    assert "6 market hours   pass         open" in text
    assert "throttle    nothing was cut" in text
    assert "intended +20 ACME, on disk  [record 5]" in text
    assert "acknowledged by the broker as B1" in text
    assert "2018-03-10 00:01:00 UTC  +20 at 10.5, commission 0.021, execution run-1-1" in text


def test_every_order_of_a_run_has_a_story_whose_parts_agree(run):
    told = stories(run)
    assert len(told) > 30
    for story in told:
        decision = story.decision_fields()
        assert decision["approved_qty"] == story.order.qty
        assert decision["ts_ns"] == story.bar_fields()["ts_ns"] == story.intent.event_ns
        assert story.action_fields()["action"] == decision["action"]
        assert [step.number for step in steps(story)] == [1, 2, 3, 4, 5, 6]
        cuts = story.throttles()
        if cuts:
            assert abs(story.order.qty) == cuts[-1]["after"]
        assert story_lines(story)[0].endswith(outcome(story))


def test_a_cut_order_names_each_stage_and_its_driver(run):
    story = next(s for s in stories(run) if len(s.throttles()) == 2)
    text = "\n".join(story_lines(story))
    for row in story.throttles():
        assert f"{Reason(row['reason']).name}: {row['before']:g} cut to {row['after']:g}" in text


def test_several_fills_are_added_up(run):
    story = next(s for s in stories(run) if sum(r.type == "FILL" for r in s.events) > 1)
    fills = [r.data for r in story.events if r.type == "FILL"]
    average = sum(f["qty"] * f["price"] for f in fills) / sum(f["qty"] for f in fills)
    assert f"together {story.order.filled:+g} at {average:.10g} on average" in "\n".join(
        story_lines(story)
    )


def test_a_reversal_whose_opening_part_was_refused_says_by_which_step(tmp_path):
    limits = {"mode": 0, "max_daily_loss": 5.0, **FREE}
    run = scripted(tmp_path, [10.0, 10.0, 9.0, 9.0], "B.S.", **limits)
    story = tell(run.path, "2")
    text = "\n".join(story_lines(story))
    assert "holding 20, wanted -40, approved -20 because of DAILY_LOSS_LIMIT" in text
    outcomes = {step.name: (step.outcome, step.code) for step in steps(story)}
    assert outcomes["losses"] == ("deny", "DAILY_LOSS_LIMIT")
    assert outcomes["concentration"] == ("not reached", "")
    assert outcomes["market hours"] == ("pass", "")
    assert "4 losses         deny         20.02 of at most 5  DAILY_LOSS_LIMIT" in text


def test_steps_that_do_not_judge_a_closing_order_say_so(tmp_path):
    run = scripted(tmp_path, [10.0] * 5, "B.S..", mode=0, allow_short=0, **FREE)
    story = tell(run.path, "2")
    outcomes = {step.name: step.outcome for step in steps(story)}
    assert story.order.qty == -20.0
    assert outcomes["losses"] == outcomes["concentration"] == "not judged"
    assert outcomes["order size"] == outcomes["market hours"] == "pass"


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        (Reason.NONE, None),
        (Reason.HALTED, 0),
        (Reason.REDUCE_ONLY, 0),
        (Reason.PARAM_SYMBOL, 1),
        (Reason.SELF_MATCH, 1),
        (Reason.POSITION_LIMIT, 2),
        (Reason.ORDER_NOTIONAL_LIMIT, 3),
        (Reason.DRAWDOWN_LIMIT, 4),
        (Reason.BUYING_POWER, 5),
        (Reason.CALENDAR_UNKNOWN, 6),
        (Reason.SPREAD, None),
        (Reason.DATA_GAP, None),
    ],
)
def test_every_refusal_belongs_to_its_step(reason, step):
    assert failing_step(reason) == step


def with_events(run, tmp_path, kept, *entries):
    """The run's journal cut after the first intent (and `kept` more), and these entries."""
    records = records_of(run.path)
    index = next(i for i, r in enumerate(records) if r.type == "ORDER_INTENT")
    head = records[: index + 1 + kept]
    path = finished_run(tmp_path / "forged", 2).path
    rewrite(path, resealed([*head, *(as_record(entry, head[-1]) for entry in entries)]))
    return path, records[index].data["client_order_id"]


@pytest.mark.parametrize(
    ("kept", "make", "said"),
    [
        (0, lambda i: [], "intended, outcome not recorded"),
        (0, lambda i: [build.order_aborted(i, Reason.KILLED, "latched")], "never sent"),
        (0, lambda i: [build.order_ack(i, "B1", adopted=True)], "working, not filled"),
        (1, lambda i: [build.order_rejected(i, "no margin")], "rejected by the broker"),
        (1, lambda i: [], "working, not filled"),
    ],
)
def test_what_became_of_an_order_is_said_in_its_headline(run, tmp_path, kept, make, said):
    records = records_of(run.path)
    intent = next(r for r in records if r.type == "ORDER_INTENT")
    path, client_id = with_events(run, tmp_path, kept, *make(intent.data["client_order_id"]))
    story = tell(path, client_id)
    assert outcome(story) == said
    assert story_lines(story)[0].endswith(said)


def test_kills_between_intent_and_last_event_are_told(run, tmp_path):
    intent = next(r for r in records_of(run.path) if r.type == "ORDER_INTENT")
    client_id = intent.data["client_order_id"]
    kill = build.kill("k1", KillSwitchReason.MANUAL_STOP, "fat finger", {"wall_ns": 0})
    path, _ = with_events(
        run,
        tmp_path,
        0,
        kill,
        build.rearm("k1", "fine", {}),
        build.order_aborted(client_id, Reason.KILLED),
    )
    text = "\n".join(story_lines(tell(path, client_id)))
    assert "kill k1 (MANUAL_STOP): fat finger" in text
    assert "kill k1 re-armed: fine" in text
    assert "not sent: KILLED" in text


def test_a_flattening_order_says_which_kill_allowed_it(run, tmp_path):
    order = build.FlattenOrder("f" * 20, "ACME", -5.0, 0, "k1")
    path, _ = with_events(run, tmp_path, 0, build.flatten_intent(order))
    story = tell(path, "f" * 20)
    text = "\n".join(story_lines(story))
    assert "allowed by kill k1" in text
    assert text.startswith(f"order {'f' * 20}: SELL 5 ACME")
    assert steps(story) == []
    assert story_document(story)["steps"] == []


def flattened(run, tmp_path, *more):
    """The run's journal up to its first intent, then a position of 5 closed for a kill."""
    client_id, row = "f" * 20, np.zeros(1, schema.FILL)[0]
    row["order_id"], row["fill_id"], row["qty"], row["price"] = 2, 9, -5.0, 10.0
    order = build.FlattenOrder(client_id, "ACME", -5.0, 0, "k1")
    entries = [build.flatten_intent(order), build.order_sent(client_id, -5.0, 1)]
    fill = build.fill(client_id, "run-1-9", "ACME", row)
    return with_events(run, tmp_path, 0, *entries, fill, *more)[0]


def test_a_flattening_order_is_found_by_its_number_in_fills_csv(run, tmp_path):
    path = flattened(run, tmp_path)
    story = tell(path, "2")
    assert story_lines(story)[0] == f"order 2 {'f' * 20}: SELL 5 ACME, filled 5"
    assert story_document(story)["order_id"] == 2
    assert tell(path, "1").client_id == run.client_ids[1]
    with pytest.raises(UsageError, match=r"the last ones are 1 \(\w+\), 2 \(f+\)"):
        tell(path, "3")


def test_a_flattening_order_that_did_not_fill_has_no_number(run, tmp_path):
    unfilled = build.FlattenOrder("e" * 20, "ACME", -5.0, 0, "k2")
    path = flattened(run, tmp_path, build.flatten_intent(unfilled))
    assert story_document(tell(path, "e" * 20))["order_id"] == 0
    with pytest.raises(UsageError, match=r"unfilled \(e+\)"):
        tell(path, "0")


def test_an_order_is_found_by_number_id_or_unique_beginning(run):
    client_id = run.client_ids[3]
    assert tell(run.path, "3").client_id == client_id
    assert tell(run.path, client_id[:8].upper()).client_id == client_id
    with pytest.raises(UsageError, match=r"no order 'zzz'.*the last ones are"):
        tell(run.path, "zzz")
    with pytest.raises(UsageError, match="no order ''"):
        tell(run.path, "")
    short = next(c for c in "abcdef" if sum(i.startswith(c) for i in run.client_ids.values()) > 1)
    with pytest.raises(UsageError, match="is the beginning of"):
        tell(run.path, short)


def test_a_run_without_orders_says_so(tmp_path):
    run = scripted(tmp_path, [10.0], ".")
    with pytest.raises(UsageError, match="the run has sent none"):
        tell(run.path, "1")


def test_the_document_has_the_full_records_with_the_runs_constants(run):
    story = tell(run.path, "1")
    document = story_document(story)
    types = [record["type"] for record in document["records"]]
    assert types[:5] == ["BAR", "ACTION", "DECISION", "ORDER_INTENT", "ORDER_SENT"]
    intent = document["records"][3]
    assert intent["causation_seq"] == document["records"][2]["seq"]
    assert intent["run_id"] == "run-1"
    assert intent["hash"] == story.intent.hash.hex()
    assert (document["client_order_id"], document["order_id"]) == (story.client_id, 1)
    assert document["decision"]["reason"] in Reason.__members__


def test_times_are_utc_also_before_1970():
    assert time_text(0) == "1970-01-01 00:00:00 UTC"
    assert time_text(-1_000_000_000) == "1969-12-31 23:59:59 UTC"
    assert time_text(1_500_000) == "1970-01-01 00:00:00.001500 UTC"
    assert time_text(None) == "no time"
