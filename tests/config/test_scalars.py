"""What one written value means, field by field."""

import math
from datetime import UTC, datetime

import pytest

from trader.config.scalars import (
    Plain,
    to_none,
    to_number,
    to_param,
    to_switch,
    to_text,
    to_time,
    to_whole,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10.0), ("010", 10.0), ("-0.5", -0.5), ("+1e5", 1e5), (".5", 0.5), ("5.", 5.0),
     ("1E-3", 0.001), ("0", 0.0), ("1e-400", 0.0)],
)  # fmt: skip
def test_a_number_is_plain_decimal(text, value):
    assert to_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", " 1", "1 ", "0x10", "0o17", "0b1", "1_000", "1,000", "1.5.2", "e5", "1e", "--1", ".",
     "16:00", "true", "~", "none", "null", "１", "٣", "1e5\n", "½"],
)  # fmt: skip
def test_nothing_else_is_a_number(text):
    with pytest.raises(ValueError, match="must be a plain decimal number"):
        to_number(text)


@pytest.mark.parametrize(
    "value", [".nan", "nan", "-.inf", "+inf", "Infinity", "1e309", "9" * 5000, math.nan, 10**400]
)
def test_a_number_is_finite(value):
    with pytest.raises(ValueError, match="must be a finite number"):
        to_number(value)


def test_a_negative_zero_is_zero():
    assert math.copysign(1, to_number("-0.0")) == 1
    assert math.copysign(1, to_param(-0.0)) == 1
    assert math.copysign(1, to_param(Plain("-0.0"))) == 1


@pytest.mark.parametrize(
    ("value", "whole"),
    [("7", 7), ("007", 7), ("1e5", 100000), ("3.0", 3), (5, 5), (5.0, 5),
     ("9007199254740993", 9007199254740993)],
)  # fmt: skip
def test_a_whole_number_is_exact(value, whole):
    assert to_whole(value) == whole
    assert type(to_whole(value)) is int


@pytest.mark.parametrize("value", ["2.5", 2.5, "1e-3", "9" * 25, "1e300", "9223372036854775808"])
def test_a_number_that_is_not_whole_or_too_large_is_refused(value):
    with pytest.raises(ValueError, match="must be a whole number"):
        to_whole(value)


@pytest.mark.parametrize("value", ["yes", "no", "on", "True", "FALSE", "1", "0", 1, 0, "", None])
def test_a_switch_is_true_or_false_alone(value):
    with pytest.raises(ValueError, match="must be true or false"):
        to_switch(value)


def test_text_is_kept_as_it_stands():
    for text in ("NO", "010", "16:00", "a b", "é", "BTC/USD", "~", "null"):
        assert to_text(Plain(text)) == text
        assert type(to_text(Plain(text))) is str


@pytest.mark.parametrize("value", ["a\nb", "a\x00", "\x1b[31m", "\udcff", "a\u2028b"])
def test_text_holds_no_control_characters(value):
    with pytest.raises(ValueError, match="control characters"):
        to_text(value)


def test_none_is_one_word():
    assert to_none("none") is None
    assert [to_none(text) for text in ("None", "~", "null", "")] == ["None", "~", "null", ""]


def test_times_are_iso_8601():
    assert to_time("2024-01-31") == datetime(2024, 1, 31)
    assert to_time("2024-01-31T09:30:00Z") == datetime(2024, 1, 31, 9, 30, tzinfo=UTC)
    for wrong in ("31.01.2024", "now", "2024-13-01", "", "24:00", 5):
        with pytest.raises(ValueError, match="must be an ISO date or time"):
            to_time(wrong)
    for far in ("1600-01-01", "2300-01-01", datetime(9999, 1, 1)):
        with pytest.raises(ValueError, match="between the years 1678 and 2261"):
            to_time(far)


def test_quotes_make_a_parameter_text():
    assert to_param(Plain("10")) == 10
    assert to_param("10") == "10"
    assert to_param(Plain("none")) is None
    assert to_param("none") == "none"
    assert to_param(Plain("null")) is None
    assert to_param({"a": [Plain("true"), "true"]}) == {"a": (True, "true")}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Plain(".inf"), "finite"),
        (Plain("1e999"), "finite"),
        (math.inf, "finite"),
        (Plain("9" * 30), "whole number below"),
        ("\udcff", "UTF-8"),
        (object(), "must be a number, text"),
        ({"a": [{"b": {1, 2}}]}, "must be a number, text"),
    ],
)
def test_a_parameter_is_plain_data(value, message):
    with pytest.raises(ValueError, match=message):
        to_param(value)
