"""What a record is: canonical payloads that come back to the last bit, ids, required fields."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core_kit import random_bars
from trader.core import schema
from trader.journal.records import (
    REQUIRED,
    JournalError,
    RecordType,
    client_order_id,
    encode,
    fault_in,
    number,
    spelled,
)
from trader.journal.rows import (
    LAYOUTS,
    from_fields,
    from_rows,
    layouts,
    require_layouts,
    to_fields,
    to_rows,
)

ANY_BITS = st.integers(0, 2**64 - 1).map(
    lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))[0]
)


def bits(value):
    return struct.pack("<d", value)


def through_json(value):
    return json.loads(encode({"value": value}))["value"]


@given(ANY_BITS)
def test_any_float_comes_back_to_the_last_bit(value):
    assert bits(number(through_json(spelled(value)))) == bits(value)


@given(st.lists(ANY_BITS, min_size=7, max_size=7), st.integers(-(2**63), 2**63 - 1))
def test_any_bar_row_comes_back_to_the_last_bit(values, ts_ns):
    bars = np.zeros(1, schema.BAR)
    bars["ts_ns"] = ts_ns
    for name, value in zip(
        ("open", "high", "low", "close", "volume", "bid", "ask"), values, strict=True
    ):
        bars[name] = np.frombuffer(bits(value), "<f8")
    rows = json.loads(encode({"rows": to_rows(bars)}))["rows"]
    assert from_rows(rows, schema.BAR).tobytes() == bars.tobytes()


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_comes_back_to_the_last_bit(name):
    chance = np.random.default_rng(3)
    dtype = LAYOUTS[name]
    raw = chance.integers(0, 256, 20 * dtype.itemsize, np.uint8).tobytes()
    records = np.frombuffer(raw, dtype)
    rows = json.loads(encode({"rows": to_rows(records)}))["rows"]
    assert from_rows(rows, dtype).tobytes() == raw


def test_real_looking_bars_without_quotes_come_back():
    bars = random_bars(5, 50, 3)
    bars["bid"][::2] = math.nan
    rows = json.loads(encode({"rows": to_rows(bars)}))["rows"]
    assert from_rows(rows, schema.BAR).tobytes() == bars.tobytes()


def test_payload_is_canonical_sorted_compact_ascii_json():
    payload = {"b": 1.5, "a": ["é", np.int64(3), np.float64("nan")], "c": {"z": None, "y": True}}
    assert encode(payload) == '{"a":["\\u00e9",3,"NaN"],"b":1.5,"c":{"y":true,"z":null}}'


def test_infinities_are_words_wherever_they_stand():
    assert (
        encode({"x": [{"y": math.inf}], "z": (-math.inf,)})
        == '{"x":[{"y":"Infinity"}],"z":["-Infinity"]}'
    )


def test_text_that_is_not_utf8_survives():
    reason = b"stop \xff now".decode("utf-8", "surrogateescape")
    assert json.loads(encode({"reason": reason}))["reason"] == reason


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="cannot hold object"):
        encode({"x": object()})


def test_a_row_that_does_not_fit_its_layout_is_a_journal_error():
    with pytest.raises(JournalError, match="does not fit"):
        from_rows([[1, 2]], schema.BAR)
    with pytest.raises(JournalError, match="does not fit"):
        from_rows([["x"] * len(schema.BAR.names)], schema.BAR)


def test_limits_come_back_as_an_array_with_infinities():
    limits = np.zeros(1, schema.LIMITS)
    limits["max_daily_loss"] = math.inf
    limits["max_order_size"] = 0.1 + 0.2
    fields = json.loads(encode(to_fields(limits[0])))
    assert from_fields(fields, schema.LIMITS).tobytes() == limits.tobytes()
    del fields["max_order_size"]
    with pytest.raises(JournalError, match="max_order_size"):
        from_fields(fields, schema.LIMITS)


def test_other_layouts_than_this_versions_are_refused():
    require_layouts(layouts())
    older = layouts()
    older["BAR"] = older["BAR"][:-1]
    with pytest.raises(JournalError, match="rows of BAR have other fields"):
        require_layouts(older)


def test_type_names_are_frozen():
    assert [kind.value for kind in RecordType] == [
        "RUN_START", "RUN_RESUME", "BAR", "ACTION", "DECISION", "ORDER_INTENT", "ORDER_SENT",
        "ORDER_ACK", "ORDER_REJECTED", "ORDER_ABORTED", "ORDER_UNKNOWN", "FILL", "CASHFLOW",
        "CANCEL_INTENT", "CANCEL_ACK",
        "KILL", "REARM", "SNAPSHOT", "CLOCK_JUMP", "ALERT", "RUN_END", "CHECKPOINT",
        "RECONCILED",
    ]  # fmt: skip
    assert set(REQUIRED) == {kind.value for kind in RecordType}


@pytest.mark.parametrize("kind", sorted(REQUIRED))
def test_a_missing_or_mistyped_field_is_named(kind):
    samples = {str: "x", int: 1, list: [], dict: {}, (int, float): 1.5}
    whole = {name: samples[wanted] for name, wanted in REQUIRED[kind].items()}
    assert fault_in(kind, whole) is None
    for name in whole:
        assert f"no field {name!r}" in fault_in(kind, {k: v for k, v in whole.items() if k != name})
        assert f"field {name!r}" in fault_in(kind, {**whole, name: None})
        assert f"field {name!r}" in fault_in(kind, {**whole, name: True})
    assert "not an object" in fault_in(kind, [])


def test_an_unknown_type_is_named():
    assert fault_in("GOSSIP", {}) == "unknown record type 'GOSSIP'"


def test_client_order_id_is_frozen_and_20_hex_digits():
    assert client_order_id("run-1", "BTC/USD", 1_700_000_000_000_000_000, 7) == (
        "61cba1aa17fda7ce66be"
    )


def test_client_order_id_differs_in_every_part_and_cannot_be_shifted():
    parts = [
        ("run-1", "AB", 12, 3), ("run-2", "AB", 12, 3), ("run-1", "AC", 12, 3),
        ("run-1", "AB", 13, 3), ("run-1", "AB", 12, 4), ("run-1A", "B", 12, 3),
        ("run-1", "AB1", 2, 3), ("run-1", "AB", 1, 23),
    ]  # fmt: skip
    assert len({client_order_id(*part) for part in parts}) == len(parts)
