"""A journal whose hashes all match and which still cannot be true."""

import base64
import hashlib
import tracemalloc
import zlib

import pytest

from tests.journal_kit import (
    as_record,
    finished_run,
    identity,
    records_of,
    resealed,
    rewrite,
)
from trader.core.schema import ACCOUNT, DECISION, FILL, ORDER, KillSwitchReason, Reason
from trader.journal import entries as build
from trader.journal.audit.copies import PIECE, state_fault
from trader.journal.audit.refusals import LIMIT_OF
from trader.journal.audit.verify import verify_here
from trader.journal.records import Entry, encode


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with denials, cuts, fills and cancels."""
    return finished_run(tmp_path_factory.mktemp("run"), 40)


@pytest.fixture
def forge(run, tmp_path):
    """Write a forged journal with every hash made anew; returns the first problem's text."""
    finished_run(tmp_path / "forged", 2)
    path = tmp_path / "forged" / "journal.sqlite"

    def told(records):
        rewrite(path, resealed(records))
        report = verify_here(path)
        assert not report.ok
        assert {problem.kind for problem in report.problems} == {"meaning"}
        return report.problems[0].text

    return told


@pytest.fixture
def accepts(tmp_path):
    """Assert that a forged journal is clean."""
    path = finished_run(tmp_path / "accepted", 2).path

    def verified(records):
        rewrite(path, resealed(records))
        report = verify_here(path)
        assert report.ok, report.problems

    return verified


def changed(record, **values):
    """`record` with fields of its payload changed."""
    return record._replace(payload=encode({**record.data, **values}))


def place(records, kind, which=lambda data: True):
    """Index of the first record of a type (with such a payload)."""
    return next(i for i, r in enumerate(records) if r.type == kind and which(r.data))


def with_row(record, wanted, **values):
    """A DECISION with columns changed in the first row that `wanted` picks."""
    rows = [dict(zip(DECISION.names, row, strict=True)) for row in record.data["rows"]]
    row = next(row for row in rows if wanted(row))
    row.update(values)
    return changed(record, rows=[list(row.values()) for row in rows])


def approved_at(records, wanted=lambda row: True):
    """(index, picker) of the first DECISION with an approved row like that."""

    def picks(row):
        return row["approved_qty"] != 0 and wanted(row)

    def has(data):
        return any(picks(dict(zip(DECISION.names, row, strict=True))) for row in data["rows"])

    return place(records, "DECISION", has), picks


def test_an_honest_forgery_of_nothing_is_clean(run, accepts):
    accepts(records_of(run.path))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("RUN_START", "begins with it"),
        ("BAR", "bars are not recorded"),
        ("ACTION", "without the recorded actions"),
        ("DECISION", "no approved decision"),
        ("ORDER_INTENT", "no ORDER_INTENT"),
        ("ORDER_SENT", "never sent"),
    ],
)
def test_a_record_left_out_leaves_those_after_it_without_ground(run, forge, kind, said):
    records = records_of(run.path)
    index = place(records, kind)
    if kind == "DECISION":
        index, _ = approved_at(records)
    del records[index]
    assert said in forge(records)


def test_a_fill_left_out_no_longer_adds_up_to_the_cash(run, forge):
    records = records_of(run.path)
    del records[max(i for i, r in enumerate(records) if r.type == "FILL")]
    assert "start and fills make" in forge(records)


def test_a_second_run_start_is_refused(run, forge):
    records = records_of(run.path)
    assert "one RUN_START" in forge([*records[:4], records[0], *records[4:]])


def test_a_repeated_execution_is_refused(run, forge):
    records = records_of(run.path)
    index = place(records, "FILL")
    assert "recorded twice" in forge([*records[: index + 1], *records[index:]])


def test_a_repeated_intent_is_refused(run, forge):
    records = records_of(run.path)
    index = place(records, "ORDER_INTENT")
    assert "a second order" in forge([*records[: index + 1], *records[index:]])


def test_an_order_sent_twice_is_refused_unless_it_is_a_resend(run, forge, accepts):
    records = records_of(run.path)
    index = place(records, "ORDER_SENT")
    doubled = [*records[: index + 1], *records[index:]]
    assert "sent twice" in forge(doubled)
    doubled[index + 1] = changed(records[index], resend=True)
    accepts(doubled)


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("ORDER_SENT", {"qty": 1e6}, "was sent for 1000000.0"),
        ("ORDER_SENT", {"client_order_id": "f" * 20}, "no ORDER_INTENT"),
        ("ORDER_ACK", {"client_order_id": "f" * 20}, "no ORDER_INTENT"),
        ("ORDER_INTENT", {"qty": 1e6}, "its decision approved"),
        ("ORDER_INTENT", {"symbol": "ELSE"}, "does not trade"),
        ("ORDER_INTENT", {"symbol": "BTC/USD"}, "its decision approved"),
        ("ORDER_INTENT", {"decision": 10_000}, "no approved decision"),
        ("ORDER_INTENT", {"purpose": "flatten"}, "no kill in force"),
        ("FILL", {"client_order_id": "f" * 20}, "no ORDER_INTENT"),
        ("FILL", {"qty": 1e6}, "is filled to"),
        ("FILL", {"qty": -1e-3}, "against the side"),
        ("FILL", {"symbol": "BTC/USD"}, "which is for ACME"),
        ("CANCEL_ACK", {"client_order_id": "f" * 20}, "no ORDER_INTENT"),
        ("CANCEL_ACK", {"qty": 1e6}, "was cancelled"),
        ("SNAPSHOT", {"positions": {"ACME": 1e6}}, "position of ACME"),
        ("RUN_END", {"positions": {}}, "position of"),
        ("ACTION", {"rows": [[0, 1, 0]]}, "other symbols"),
        ("BAR", {"rows": [[1] * 10]}, "another time"),
    ],
)
def test_a_changed_fact_contradicts_the_rest(run, forge, kind, values, said):
    records = records_of(run.path)

    def same_side(data):
        return data.get("symbol", "ACME") == "ACME" and (kind != "FILL" or data["qty"] > 0)

    index = place(records, kind, same_side)
    records[index] = changed(records[index], **values)
    assert said in forge(records)


def test_cash_that_the_fills_do_not_explain_is_refused(run, forge):
    records = records_of(run.path)
    index = place(records, "RUN_END")
    account = records[index].data["account"]
    account[ACCOUNT.names.index("cash")] += 0.01
    records[index] = changed(records[index], account=account)
    assert "start and fills make" in forge(records)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", 1e308), ("price", 0.0), ("price", -100.0), ("price", 10**400),
        ("commission", -0.01), ("commission", 10**400), ("qty", 10**400),
    ],
)  # fmt: skip
def test_no_number_turns_the_check_of_cash_off(run, forge, field, value):
    records = records_of(run.path)
    index = place(records, "FILL")
    records[index] = changed(records[index], **{field: value})
    del records[index + 1 :]  # so that nothing else shows it
    assert "a fill" in (said := forge(records)) or "cannot be read" in said


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
@pytest.mark.parametrize(("kind", "field"), [("FILL", "commission"), ("RUN_START", "cash"),
                                             ("ORDER_INTENT", "qty")])  # fmt: skip
def test_a_number_that_json_has_not_is_refused(run, forge, kind, field, number):
    records = records_of(run.path)
    index = place(records, kind)
    raw = changed(records[index], **{field: 123456.5}).payload.replace("123456.5", number)
    records[index] = records[index]._replace(payload=raw)
    assert "cannot be read" in forge(records)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("RUN_START", {"cash": 10**400}),
        ("RUN_START", {"limits": {"max_order_size": 10**400}}),
        ("ORDER_INTENT", {"qty": 10**400}),
        ("FILL", {"qty": 10**400}),
        ("CANCEL_ACK", {"qty": 10**400}),
        ("SNAPSHOT", {"positions": {"ACME": 10**400}}),
    ],
)
def test_a_number_that_no_float_can_hold_is_found_at_its_record(run, tmp_path, kind, values):
    records = records_of(run.path)
    index = place(records, kind)
    records[index] = changed(records[index], **values)
    path = finished_run(tmp_path / "forged", 2).path
    rewrite(path, resealed(records))
    assert [(p.seq, p.kind) for p in verify_here(path).problems] == [(index + 1, "meaning")]


def test_a_payload_nested_without_end_is_found_at_its_record(run, tmp_path):
    records = records_of(run.path)
    index = place(records, "ORDER_ACK")
    raw = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
    records[index] = records[index]._replace(payload=raw)
    path = finished_run(tmp_path / "forged", 2).path
    rewrite(path, resealed(records))
    assert [(p.seq, p.kind) for p in verify_here(path).problems] == [(index + 1, "meaning")]


@pytest.mark.parametrize(
    "spell",
    [
        lambda raw: '{"qty":9999,' + raw[1:],  # a key twice: SQLite and Python differ
        lambda raw: raw.replace(":", ": ", 1),
        lambda raw: raw + " ",
        lambda raw: raw + "{}",
        lambda raw: raw.replace('"qty":', '"q\\u0074y":'),
        lambda raw: raw.replace(".0,", ".00,", 1),
        lambda raw: "{" + ",".join(reversed(raw[1:-1].split(","))) + "}",
    ],
)
def test_a_payload_that_is_not_canonical_is_refused(run, forge, spell):
    records = records_of(run.path)
    index = place(records, "ORDER_SENT")
    raw = spell(records[index].payload)
    assert raw != records[index].payload
    records[index] = records[index]._replace(payload=raw)
    assert "not the canonical JSON" in forge(records)


@pytest.mark.parametrize(
    ("kind", "row", "name", "value"),
    [
        ("FILL", "fill", "price", 1.5), ("FILL", "fill", "qty", 1.5),
        ("FILL", "fill", "commission", 7.0), ("FILL", "fill", "symbol", 1),
        ("FILL", "fill", "symbol", 99), ("FILL", "fill", "ts_ns", 1),
        ("ORDER_INTENT", "order", "qty", 1.5), ("ORDER_INTENT", "order", "decision", 99),
        ("ORDER_INTENT", "order", "order_id", 99), ("ORDER_INTENT", "order", "symbol", 1),
        ("ORDER_INTENT", "order", "ts_ns", 1), ("FILL", "fill", "price", "NaN"),
    ],
)  # fmt: skip
def test_the_cores_row_differs_from_what_stands_beside_it(run, forge, kind, row, name, value):
    records = records_of(run.path)
    index = place(records, kind, lambda data: data["symbol"] == "ACME")
    told = list(records[index].data[row])
    told[{"fill": FILL, "order": ORDER}[row].names.index(name)] = value
    records[index] = changed(records[index], **{row: told})
    assert f"in its {row} row" in forge(records)


def test_an_order_of_a_decision_without_the_cores_row_is_refused(run, forge):
    records = records_of(run.path)
    index = place(records, "ORDER_INTENT")
    data = {key: value for key, value in records[index].data.items() if key != "order"}
    records[index] = records[index]._replace(payload=encode(data))
    assert "has no field 'order'" in forge(records)
    records = records_of(run.path)
    records[index] = changed(records[index], order=[1])
    assert "has 1 fields in its order row" in forge(records)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda packed: b"AAAA", "cannot be unpacked"),
        (lambda packed: packed[:-9], "cut short"),
        (lambda packed: packed + b"more", "does not match"),
        (lambda packed: zlib.compress(b"another"), "does not match"),
    ],
)
def test_a_snapshot_whose_state_is_not_the_one_that_was_hashed_is_refused(run, forge, spoil, said):
    records = records_of(run.path)
    index = place(records, "SNAPSHOT")
    packed = spoil(base64.b64decode(records[index].data["state"]))
    records[index] = changed(records[index], state=packed)
    assert said in forge(records)


def test_a_state_that_unpacks_to_very_much_is_never_in_memory_whole():
    state = base64.b64encode(zlib.compress(bytes(PIECE * 40))).decode()
    sha = hashlib.sha256(bytes(PIECE * 40)).hexdigest()
    tracemalloc.start()
    assert state_fault(state, sha) is None
    assert tracemalloc.get_traced_memory()[1] < PIECE * 8
    tracemalloc.stop()


def test_the_cash_of_a_decision_is_what_the_fills_left(run, forge):
    records = records_of(run.path)
    index = place(records, "DECISION", lambda data: data["first"] > 20)
    account = records[index].data["account"]
    account[ACCOUNT.names.index("cash")] += 1.0
    records[index] = changed(records[index], account=account)
    assert "start and fills make" in forge(records)


def of_order(records, client_id, *entries, kind="FILL"):
    """The records with `entries` put in before the first record of that type of an order."""
    index = place(records, kind, lambda data: data["client_order_id"] == client_id)
    return before_first_sent(records, *entries, at=index)


def first_filled(records):
    """(order id, its qty) of the first fill."""
    client_id = records[place(records, "FILL")].data["client_order_id"]
    intent = place(records, "ORDER_INTENT", lambda data: data["client_order_id"] == client_id)
    return client_id, records[intent].data["qty"]


def test_an_order_that_was_rejected_has_no_fill_and_no_acknowledgement(run, forge):
    records = records_of(run.path)
    client_id, _ = first_filled(records)
    rejected = build.order_rejected(client_id, "no")
    assert "which was rejected" in forge(of_order(records, client_id, rejected))
    told = of_order(records, client_id, rejected, build.order_ack(client_id, "B"))
    assert "acknowledged after it was refused" in forge(told)
    index = place(records, "FILL") + 1
    told = before_first_sent(records, rejected, at=index)
    assert "rejected after it was filled" in forge(told)


def test_an_order_that_was_aborted_cannot_be_adopted(run, forge):
    records = records_of(run.path)
    index = place(records, "ORDER_SENT")
    client_id = records[index].data["client_order_id"]
    entries = (build.order_aborted(client_id, Reason.KILLED), build.order_ack(client_id, "B", True))
    said = forge([*records[:index], *(as_record(e, records[index]) for e in entries)])
    assert "acknowledged after it was refused" in said


def test_fills_and_cancellations_together_are_never_beyond_the_order(run, forge):
    records = records_of(run.path)
    client_id, qty = first_filled(records)

    def cancel(share):
        return build.cancel_ack(client_id, qty * share, "TIME_IN_FORCE")

    assert "was cancelled" in forge(of_order(records, client_id, cancel(1.0)))
    assert "in all" in forge(of_order(records, client_id, cancel(0.6), cancel(0.6)))
    assert "against the side" in forge(of_order(records, client_id, cancel(-0.5)))
    filled = before_first_sent(records, cancel(1.0), at=place(records, "FILL") + 1)
    assert "in all" in forge(filled)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"action": 0}, "another action than the recorded one"),
        ({"approved_qty": 1e6, "requested_qty": 1e6}, "above max_order_size"),
        ({"approved_qty": 30.0, "requested_qty": 20.0}, "of a request for"),
        ({"approved_qty": -20.0, "requested_qty": 20.0}, "of a request for"),
        ({"approved_qty": 20.0, "requested_qty": "NaN"}, "of a request for"),
    ],
)
def test_a_decision_beyond_its_request_or_limits_is_refused(run, forge, values, said):
    records = records_of(run.path)
    index, picks = approved_at(records)
    records[index] = with_row(records[index], picks, **values)
    assert said in forge(records)


def test_an_approval_beyond_the_position_limit_is_refused(run, forge):
    records = records_of(run.path)
    limits = {**records[0].data["limits"], "max_position_size": 5.0}
    records[0] = changed(records[0], limits=limits)
    assert "above max_position_size" in forge(records)


@pytest.mark.parametrize(
    "reason",
    [
        Reason.KILLED, Reason.HALTED, Reason.MARKET_CLOSED, Reason.PARAM_QTY, Reason.RESTRICTED,
        Reason.DUPLICATE, Reason.MODEL_ERROR, Reason.WARMUP, Reason.DATA_STALE,
        Reason.POSITIONS_UNKNOWN, Reason.BUYING_POWER, Reason.THROTTLED_TO_ZERO,
        Reason.REDUCE_ONLY, 999,
    ],
)  # fmt: skip
def test_an_order_that_opens_under_a_refusal_is_refused(run, forge, reason):
    records = records_of(run.path)
    index, picks = approved_at(records)  # the first one opens: nothing is held yet
    records[index] = with_row(records[index], picks, reason=int(reason))
    name = reason.name if isinstance(reason, Reason) else "999"
    assert f"under the refusal {name}" in forge(records)


@pytest.mark.parametrize("action", [0, 1, 2])
def test_an_order_that_opens_against_its_action_is_refused(run, forge, action):
    records = records_of(run.path)
    index, picks = approved_at(records)
    rows = [dict(zip(DECISION.names, row, strict=True)) for row in records[index].data["rows"]]
    row = next(row for row in rows if picks(row))
    if row["action"] == action:
        action = 3 - action  # the other side
    records[index] = with_row(records[index], picks, action=action)
    before = index - 1 - next(
        i for i, record in enumerate(reversed(records[:index])) if record.type == "ACTION"
    )  # fmt: skip
    told = [[row["symbol"], action, *old[2:]] if old[0] == row["symbol"] else old
            for old in records[before].data["rows"]]  # fmt: skip
    records[before] = changed(records[before], rows=told)
    assert f"on the action {action}" in forge(records)


def test_a_slice_left_out_is_missed_by_its_decision_numbers(run, forge):
    records = records_of(run.path)
    index = place(records, "DECISION", lambda data: data["first"] > 0)
    begun = index - next(
        i for i, record in enumerate(reversed(records[: index + 1])) if record.type == "BAR"
    )  # fmt: skip
    between = {record.type for record in records[begun : index + 1]}
    assert between <= {"BAR", "ACTION", "DECISION"}, "a slice of which nothing else depends"
    del records[begun : index + 1]
    assert "is next" in forge(records)


def test_a_refusal_at_another_limit_than_the_one_in_force_is_refused(run, forge):
    names = {int(reason): name for reason, name in LIMIT_OF.items()}
    column = DECISION.names.index("reason")
    records = records_of(run.path)
    index = place(records, "DECISION", lambda d: any(row[column] in names for row in d["rows"]))
    records[index] = with_row(records[index], lambda row: row["reason"] in names, limit=12.25)
    assert "in force is" in forge(records)


def test_fewer_decisions_than_actions_are_refused(run, forge):
    records = records_of(run.path)
    index = place(records, "DECISION")
    records[index] = changed(records[index], rows=records[index].data["rows"][:1])
    assert "decisions on 2 actions" in forge(records)


def test_records_out_of_their_slice_are_refused(run, forge):
    records = records_of(run.path)
    bar = place(records, "BAR")
    assert "acted on already" in forge([*records[: bar + 2], *records[bar:]])
    later = place(records[bar + 1 :], "BAR") + bar + 1
    stale = records[bar]._replace(mono_ns=records[later + 1].mono_ns)
    assert "earlier than" in forge([*records[: later + 2], stale, *records[later + 2 :]])


def test_payloads_of_the_wrong_shape_are_refused(run, forge):
    records = records_of(run.path)
    assert "unknown record type" in forge([*records[:5], records[5]._replace(type="GOSSIP")])
    assert "no field" in forge([*records[:1], records[1]._replace(payload="{}")])
    assert "cannot be read" in forge([*records[:1], records[1]._replace(payload="{")])
    assert "not an object" in forge([*records[:1], records[1]._replace(payload="[]")])
    stranger = changed(records[1], rows=[[records[1].event_ns, *[1.0] * 7, 99, 0]])
    assert "unknown symbol" in forge([records[0], stranger])
    broken = changed(records[1], rows=[7])
    assert "cannot be read" in forge([records[0], broken])


def test_a_monotonic_clock_that_runs_back_is_refused(run, forge):
    records = records_of(run.path)
    records[30] = records[30]._replace(mono_ns=records[29].mono_ns - 1)
    assert "monotonic" in forge(records)


def test_nothing_but_an_epilogue_follows_run_end(run, forge):
    records = records_of(run.path)
    assert "after RUN_END" in forge([*records, records[1]])


KILL = build.kill("k1", KillSwitchReason.MANUAL_STOP, "stop", {"mono_ns": 10**18})
REARM = build.rearm("k1", "looked at it", {})


def before_first_sent(records, *entries, at=None):
    """The records with entries put in right before the first ORDER_SENT."""
    index = place(records, "ORDER_SENT") if at is None else at
    return [*records[:index], *(as_record(e, records[index]) for e in entries), *records[index:]]


def test_an_order_sent_under_a_kill_is_refused(run, forge):
    records = records_of(run.path)
    assert "was sent under kill k1" in forge(before_first_sent(records, KILL))


def test_an_order_sent_after_every_kill_is_rearmed_is_accepted(run, forge, accepts):
    records = records_of(run.path)
    second = build.kill("k2", KillSwitchReason.RISK_BREACH, "again", {})
    assert "under kill k2" in forge(before_first_sent(records, KILL, second, REARM))
    both = (KILL, second, REARM, build.rearm("k2", "too", {}))
    accepts(before_first_sent(records, *both))


def test_an_order_that_left_before_the_kill_took_effect_may_be_told_after_it(run, forge, accepts):
    records = records_of(run.path)
    index = place(records, "ORDER_SENT")
    rest = records[: index + 1]
    sent_ns = records[index].data["sent_mono_ns"]
    later = build.kill("k1", KillSwitchReason.MANUAL_STOP, "stop", {"mono_ns": sent_ns + 1})
    sooner = build.kill("k1", KillSwitchReason.MANUAL_STOP, "stop", {"mono_ns": sent_ns})
    accepts(before_first_sent(rest, later))
    assert "under kill" in forge(before_first_sent(rest, sooner))
    intended_after = before_first_sent(rest, later, at=place(rest, "ORDER_INTENT"))
    assert "under kill" in forge(intended_after)


def with_kill_before_order(records, which, details=None, kind="ORDER_INTENT"):
    """(records with a KILL put in before that order's record, index of the KILL, order id)."""
    places = [i for i, r in enumerate(records) if r.type == kind]
    index = places[which]
    before = records[index - 1]
    told = {"mono_ns": before.mono_ns, **(details or {})}
    stop = build.kill("k1", KillSwitchReason.MANUAL_STOP, "stop", told)
    kill = as_record(stop, before)
    client_id = records[index].data["client_order_id"]
    return [*records[:index], kill, *records[index:]], index, client_id


def upto_ack(records, client_id):
    """The records up to the acknowledgement of an order."""
    return records[: place(records, "ORDER_ACK", lambda d: d["client_order_id"] == client_id) + 1]


@pytest.mark.parametrize("details", [{}, {"flatten": True}])
def test_an_ordinary_order_that_names_a_kill_is_sent_under_it_all_the_same(run, forge, details):
    records, index, client_id = with_kill_before_order(records_of(run.path), 3, details)
    records[index + 1] = changed(records[index + 1], kill_id="k1")
    assert f"{client_id} was sent under kill k1" in forge(records)


@pytest.mark.parametrize("purpose", ["closing", ""])
def test_an_order_of_an_unknown_purpose_is_refused(run, forge, purpose):
    records = records_of(run.path)
    index = place(records, "ORDER_INTENT")
    records[index] = changed(records[index], purpose=purpose)
    assert "unknown purpose" in forge(records)


def test_an_order_intended_under_a_kill_cannot_be_adopted(run, forge, accepts):
    records, index, client_id = with_kill_before_order(records_of(run.path), 3)
    records = upto_ack(records, client_id)
    records = [r for r in records[:-1] if r.data.get("client_order_id") != client_id
               or r.type != "ORDER_SENT"] + [changed(records[-1], adopted=True)]  # fmt: skip
    assert "was intended under kill k1 and left" in forge(records)
    intent = records.pop(index + 1)
    accepts([*records[:index], intent, *records[index:]])  # intended, killed, found at the broker


def test_an_order_intended_after_a_kill_took_effect_cannot_be_adopted(run, forge):
    records, _, client_id = with_kill_before_order(records_of(run.path), 3, {"mono_ns": 5})
    index = place(records, "KILL")
    kill = records.pop(index)
    records = upto_ack(records, client_id)
    records = [r for r in records[:-1] if r.data.get("client_order_id") != client_id
               or r.type != "ORDER_SENT"] + [kill, changed(records[-1], adopted=True)]  # fmt: skip
    records[-2] = records[-2]._replace(mono_ns=records[-1].mono_ns)
    assert "was intended after kill k1 and left" in forge(records)


@pytest.mark.parametrize("sent_ns", [1, 0, -5, "soon", None])
def test_no_order_left_before_it_was_intended(run, forge, sent_ns):
    records, index, client_id = with_kill_before_order(records_of(run.path), 3, kind="ORDER_SENT")
    records = upto_ack(records, client_id)
    records[index + 1] = changed(records[index + 1], sent_mono_ns=sent_ns)
    assert f"{client_id} was sent under kill k1" in forge(records)


def test_a_kill_takes_effect_no_later_than_it_is_recorded(run, forge):
    details = {"mono_ns": 10**18}
    records, index, client_id = with_kill_before_order(
        records_of(run.path), 3, details, "ORDER_SENT"
    )
    records = upto_ack(records, client_id)
    records[index] = records[index]._replace(mono_ns=records[index - 1].mono_ns)
    records[index + 1] = changed(records[index + 1], sent_mono_ns=records[index].mono_ns)
    assert f"{client_id} was sent under kill k1" in forge(records)


def test_a_kill_of_an_unknown_time_excuses_nothing(run, forge):
    details = {"mono_ns": None}
    records, index, client_id = with_kill_before_order(
        records_of(run.path), 3, details, "ORDER_SENT"
    )
    records = upto_ack(records, client_id)
    records[index] = records[index]._replace(mono_ns=records[index + 1].mono_ns)
    assert f"{client_id} was sent under kill k1" in forge(records)


def test_a_clock_that_began_anew_excuses_nothing_under_an_older_kill(run, forge, accepts):
    """After a reboot every reading is smaller than those before it."""
    records, index, client_id = with_kill_before_order(records_of(run.path), 3, kind="ORDER_SENT")
    resume = as_record(build.run_resume(identity(run.rules, "run-1")), records[index])
    records = upto_ack([*records[: index + 1], resume, *records[index + 1 :]], client_id)
    rebooted = [r._replace(mono_ns=5 + n) for n, r in enumerate(records[index + 1 :])]
    rebooted[1] = changed(rebooted[1], sent_mono_ns=5)
    assert "was sent under kill k1" in forge([*records[: index + 1], *rebooted])
    accepts([*records[:index], *rebooted])
    later = as_record(build.kill("k2", KillSwitchReason.MANUAL_STOP, "", {"mono_ns": 6}), resume)
    told_after = [rebooted[0], later._replace(mono_ns=6), *rebooted[1:]]
    accepts([*records[:index], *told_after])  # had left in this life, when the kill came


def test_a_flattening_order_may_not_turn_the_position_round_when_it_is_sent(run, forge):
    """Two intents that each close it: the second has nothing left to close."""
    records = records_of(run.path)
    head = records[: place(records, "SNAPSHOT") + 1]
    kill, intent, sent = flattening(records, 1.0)
    again = Entry("ORDER_INTENT", {**intent.payload, "client_order_id": "e" * 20})
    sent_again = Entry("ORDER_SENT", {**sent.payload, "client_order_id": "e" * 20})
    price = 10.0
    fill = {"client_order_id": "f" * 20, "execution_id": "x", "symbol": intent.payload["symbol"],
            "qty": intent.payload["qty"], "price": price, "commission": 0.0}  # fmt: skip
    entries = (kill, intent, again, sent, Entry("FILL", fill), sent_again)
    said = forge([*head, *(as_record(e, head[-1]) for e in entries)])
    assert "on a position of 0.0" in said


def test_a_second_kill_of_the_same_id_keeps_the_first(run, forge, accepts):
    records = records_of(run.path)
    assert "under kill" in forge(before_first_sent(records, KILL, KILL))
    accepts(before_first_sent(records, KILL, KILL, REARM))


def test_rearming_what_is_not_in_force_is_refused(run, forge):
    records = records_of(run.path)
    assert "not in force" in forge(before_first_sent(records, REARM))
    assert "not in force" in forge(before_first_sent(records, KILL, REARM, REARM))


def test_a_kill_of_an_unknown_code_is_refused(run, forge):
    wrong = Entry("KILL", {**KILL.payload, "code": 99})
    assert "unknown code 99" in forge(before_first_sent(records_of(run.path), wrong))


def flattening(records, share):
    """KILL with flatten, intent and send of `share` of the first position held, at the end."""
    index = place(records, "SNAPSHOT")
    (symbol, held), *_ = records[index].data["positions"].items()
    order = build.FlattenOrder("f" * 20, symbol, -held * share, 0, "k1")
    kill = build.kill("k1", KillSwitchReason.MANUAL_STOP, "stop", {"flatten": True})
    sent = build.order_sent("f" * 20, -held * share, 0)
    return kill, build.flatten_intent(order), sent


def test_a_kill_may_flatten_what_is_held_and_no_more(run, forge, accepts):
    records = records_of(run.path)
    head = records[: place(records, "SNAPSHOT") + 1]
    kill, intent, sent = flattening(records, 1.0)
    accepts([*head, *(as_record(e, head[-1]) for e in (kill, intent, sent))])
    for share in (1.5, -1.0):
        kill, intent, sent = flattening(records, share)
        said = forge([*head, *(as_record(e, head[-1]) for e in (kill, intent, sent))])
        assert "flattening order" in said
    assert "no kill in force" in forge([*head, *(as_record(e, head[-1]) for e in (KILL, intent))])


def test_a_kill_may_flatten_although_another_in_force_does_not_ask_for_it(run, accepts):
    records = records_of(run.path)
    head = records[: place(records, "SNAPSHOT") + 1]
    kill, intent, sent = flattening(records, 1.0)
    limit = build.kill("k2", KillSwitchReason.RISK_BREACH, "a limit", {"flatten": False})
    accepts([*head, *(as_record(e, head[-1]) for e in (kill, limit, intent, sent))])


def test_an_aborted_order_cannot_be_sent_and_a_sent_one_not_aborted(run, forge):
    records = records_of(run.path)
    index = place(records, "ORDER_SENT")
    client_id = records[index].data["client_order_id"]
    abort = build.order_aborted(client_id, Reason.KILLED)
    assert "after it was refused" in forge(before_first_sent(records, abort))
    assert "aborted after it was sent" in forge(before_first_sent(records, abort, at=index + 1))


def test_a_rejection_or_acknowledgement_needs_a_sent_order_or_an_adoption(run, forge, accepts):
    records = records_of(run.path)
    index = place(records, "ORDER_SENT")
    client_id = records[index].data["client_order_id"]
    rejected = build.order_rejected(client_id, "no")
    assert "rejected and never sent" in forge(before_first_sent(records, rejected))
    without = [*records[:index], *records[index + 1 :]]
    ack = place(without, "ORDER_ACK", lambda data: data["client_order_id"] == client_id)
    assert "acknowledged and never sent" in forge(without)
    without[ack] = changed(without[ack], adopted=True)
    accepts(without)


def test_a_resumed_run_keeps_its_limits_config_model_and_code(run, forge, accepts):
    records = records_of(run.path)
    resume = build.run_resume(identity(run.rules, "run-1"))
    accepts(before_first_sent(records, resume))
    for name in ("limits", "config_sha", "model_sha", "run_id"):
        other = {**resume.payload, name: {} if name == "limits" else "else"}
        told = forge(before_first_sent(records, Entry("RUN_RESUME", other)))
        assert f"another {name}" in told


def test_a_resumed_run_may_go_on_after_run_end_on_a_restarted_clock(run, accepts):
    records = records_of(run.path)
    resume = as_record(build.run_resume(identity(run.rules, "run-1")), records[-1])
    bar = next(r for r in reversed(records) if r.type == "BAR")
    rows = [[bar.event_ns + 1, *row[1:]] for row in bar.data["rows"]]
    again = changed(bar, rows=rows)._replace(event_ns=bar.event_ns + 1, mono_ns=6)
    accepts([*records, resume._replace(mono_ns=5), again])


def test_bars_that_are_not_traded_on_may_stand_anywhere(run, accepts):
    records = records_of(run.path)
    late = changed(records[1], use="late")._replace(mono_ns=records[39].mono_ns)
    accepts([*records[:40], late, *records[40:]])


def test_late_bars_join_a_slice_until_it_is_acted_on(run, accepts, forge):
    records = records_of(run.path)
    index = place(records, "BAR", lambda data: len(data["rows"]) == 2)
    first, second = records[index].data["rows"]
    parts = [changed(records[index], rows=[first]), changed(records[index], rows=[second])]
    accepts([*records[:index], *parts, *records[index + 1 :]])
    twice = [*records[:index], parts[0], parts[0], *records[index + 1 :]]
    assert "other symbols" in forge(twice)
