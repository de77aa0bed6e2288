"""Currencies and limits of instruments, in the config and in the rules made of it."""

import math

import pytest
import yaml
from pydantic import ValidationError

from tests.config_demo import DEMO
from trader.config.schema import Config
from trader.engine.ruleset import build_rules
from trader.feeds.sessions import session_table

BMW = {"symbol": "BMW", "currency": "EUR"}


def config(instruments, currency=None, **risk):
    made = yaml.safe_load(DEMO)
    made["instruments"] = instruments
    made["broker"]["currency"] = currency
    made["risk"] |= risk
    return Config.model_validate(made)


def rules(*words, **named):
    return build_rules(config(*words, **named), session_table("24x7", 0, 86_400 * 10**9))


@pytest.mark.parametrize("name", ["USDJPY", "USD/JPY", "usd_jpy", "USDJPY=X"])
def test_a_rate_is_found_as_vendors_write_it_and_turned_round(name):
    made = rules([{"symbol": name, "currency": "JPY"}, "ACME"], "USD")
    assert made.instruments["rate"].tolist() == [-1, 0]
    assert made.broker[0]["converts"] == 1


def test_the_direct_rate_is_multiplied_by():
    made = rules([{"symbol": "BMW", "currency": "eur"}, "EURUSD"], "USD")
    assert made.instruments["rate"].tolist() == [2, 0]


def test_one_currency_needs_no_rate():
    for instruments, currency in (["ACME"], None), ([{"symbol": "BMW", "currency": "EUR"}], None):
        made = rules(instruments, currency)
        assert made.instruments["rate"].tolist() == [0]
        assert made.broker[0]["converts"] == 0


@pytest.mark.parametrize(
    ("instruments", "currency", "message"),
    [
        (
            [{"symbol": "BMW", "currency": "EUR"}, "ACME"],
            "USD",
            "add the instrument EURUSD or USDEUR",
        ),
        ([BMW, "ACME"], None, "broker.currency: is required"),
        (["USDJPY"], "USD", "looks quoted in JPY: write JPY"),
        (["ACME"], "$", "must be the code of a currency"),
        (
            [{"symbol": "ACME", "min_order_size": 5, "max_order_size": 4}],
            None,
            "every one would be",
        ),
    ],
)
def test_what_cannot_be_added_up_is_refused(instruments, currency, message):
    with pytest.raises(ValidationError, match=message):
        config(instruments, currency)


@pytest.mark.parametrize("rate", ["interest_rate", "borrow_rate"])
def test_a_contract_whose_whole_value_would_bear_interest_says_what_it_is(rate):
    made = yaml.safe_load(DEMO)
    made["broker"][rate] = 0.05
    for multiplier in (1, 0.01):
        made["instruments"] = [{"symbol": "ES", "multiplier": multiplier}]
        Config.model_validate(made)
    made["instruments"] = [{"symbol": "ES", "multiplier": 50}]
    with pytest.raises(ValidationError, match=f"multiplier of 50, with broker.{rate}: write true"):
        Config.model_validate(made)
    for future in (True, False):
        made["instruments"][0]["future"] = future
        built = build_rules(Config.model_validate(made), session_table("24x7", 0, 10**9))
        assert built.instruments["future"].tolist() == [future]


def test_own_limits_are_a_row_a_symbol_and_the_pilot_scales_them():
    made = rules(
        [{"symbol": "A", "max_order_size": 40, "max_position_notional": "none"}, "B"],
        max_order_size=10, max_position_notional=500, pilot_scale=0.5,
    )  # fmt: skip
    assert made.limits["max_order_size"].tolist() == [5.0, 20.0, 5.0]
    assert made.limits["max_position_notional"].tolist() == [250.0, math.inf, 250.0]
    assert len(rules(["A", "B"]).limits) == 1
