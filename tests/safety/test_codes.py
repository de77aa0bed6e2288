"""Which kill code a name, a number, a text or a core reason means."""

import re

import pytest

from trader.core.schema import KillSwitchReason, Reason
from trader.safety import codes, latch
from trader.safety.events import kill_switch_reason

# What an operator would write, and what is meant: kept apart from the table in the module
SAID = [
    ("volatility", 5), ("market too volatile", 5), ("connectivity", 8), ("connection lost", 8),
    ("the connection loss of 9:31", 8), ("we lost connection", 8), ("disconnect", 8),
    ("feed disconnected", 8), ("concentration", 4), ("too concentrated", 4), ("daily loss", 2),
    ("loss limit", 2), ("position limit", 3), ("position limits", 3), ("position size", 3),
    ("risk breach", 1), ("limit breach", 1), ("a limit breached", 1), ("breach of a limit", 1),
    ("risk limit", 1), ("system error", 6), ("crash", 6), ("it crashed", 6), ("a bug!", 6),
    ("unhandled exception", 6), ("manual", 7), ("manually", 7),
]  # fmt: skip


def test_kill_switch_reason_mapping():
    for name, code in latch.CODES.items():
        spoken = name.replace("_", " ").lower()
        for text in (
            name,
            name.lower(),
            f"{spoken}!",
            f"on call: {spoken.title()} hit",
            f"[{name}]",
        ):
            assert codes.named_code(text) == code
            assert kill_switch_reason(text) is KillSwitchReason(code)
        assert kill_switch_reason(KillSwitchReason(code)) is KillSwitchReason(code)
        assert kill_switch_reason(code) is KillSwitchReason(code)
    for text in ("", "stop", "manualness", "XPOSITION_LIMIT", "debug", "budget", "crashing",
                 "exceptional", "connection", "9", "0", "-1", "2.0", "12"):  # fmt: skip
        assert codes.named_code(text) is None
        assert kill_switch_reason(text) is KillSwitchReason.MANUAL_STOP
    for reason in Reason:
        assert isinstance(kill_switch_reason(reason), KillSwitchReason)
        if reason.name in latch.CODES:
            assert kill_switch_reason(reason).name == reason.name
    for wrong in (0, 9, True, None, 2.0):
        with pytest.raises(ValueError):
            kill_switch_reason(wrong)


@pytest.mark.parametrize(("text", "code"), SAID)
def test_words_of_operators_mean_a_code(text, code):
    for said in (
        text,
        text.upper(),
        f"  stop now: {text.title()}, at once",
        text.replace(" ", "-"),
    ):
        assert codes.named_code(said) == code
        assert kill_switch_reason(said) is KillSwitchReason(code)


def test_every_word_is_tried():
    assert {code for _, code in SAID} == set(latch.CODES.values()) == set(range(1, 9))
    said = " / ".join(text for text, _ in SAID)
    for word in (word for words in codes.WORDS.values() for word in words):
        assert re.search(rf"\b{word}\b", said), word


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("system error after daily loss limit", 6),
        ("daily loss limit after system error", 2),
        ("volatility, then a crash", 5),
        ("crash, then volatility", 6),
        ("crash near the POSITION_LIMIT", 3),  # a name of a code before any word
        ("volatility: manual stop", 7),
        ("position limit breach", 3),
    ],
)
def test_names_come_before_words_and_the_first_in_the_text_wins(text, code):
    assert codes.named_code(text) == code


def test_number_or_name_given_for_a_code_is_that_code_and_nothing_else_is():
    for name, code in latch.CODES.items():
        for given in (name, name.lower(), f" {name} ", str(code), f" {code} "):
            assert codes.given_code(given) == code
            assert kill_switch_reason(given) is KillSwitchReason(code)
        assert codes.named_code(str(code)) is None  # a reason "2" is a reason, and no code
    for other in ("", "0", "9", "-1", "2.0", "02", "crash", "daily loss", "DAILY LOSS LIMIT"):
        assert codes.given_code(other) is None
