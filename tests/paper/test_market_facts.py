"""Steps and least sizes of a market in the rules of a run, beside what the config says."""

from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from tests.config_demo import DEMO, load, write
from trader.core.schema import INSTRUMENT
from trader.errors import ConfigError, UsageError
from trader.feeds.source import InstrumentFacts
from trader.jobs.paper.facts import require_currencies, require_same_facts, told, with_facts

STEPS = (Decimal("0.01"), Decimal("0.001"), Decimal("0.001"))
SAID = InstrumentFacts("ACME", *STEPS, min_notional=Decimal("5.0"), currency="USD")


def given(folder, keys):
    """(config, INSTRUMENT records of it) of one instrument with those keys."""
    line = next(line for line in DEMO.split("\n") if "symbol: ACME" in line)
    text = DEMO.replace(line, "  - {symbol: ACME" + keys + "}")
    config = load(write(folder, text)).config
    records = np.zeros(1, INSTRUMENT)
    for name in ("tick_size", "lot_size", "min_notional"):
        records[name] = getattr(config.instruments[0], name)
    return config, records


def test_what_the_config_does_not_say_is_what_the_exchange_says(tmp_path):
    config, records = given(tmp_path, "")
    row = with_facts(records, config, [SAID])[0]
    assert (row["tick_size"], row["lot_size"], row["min_notional"]) == (0.01, 0.001, 5.0)
    assert told(config, [SAID]) == [
        "ACME: tick_size 0.01, lot_size 0.001, min_notional 5, as the exchange says"
    ]


def test_a_higher_least_notional_of_the_config_holds(tmp_path):
    config, records = given(tmp_path, ", min_notional: 10")
    assert with_facts(records, config, [SAID])[0]["min_notional"] == 10.0


def test_a_least_notional_that_the_exchange_would_refuse_is_refused(tmp_path):
    config, records = given(tmp_path, ", min_notional: 4.99")
    with pytest.raises(ConfigError) as refused:
        with_facts(records, config, [SAID])
    assert refused.value.key == "instruments.0.min_notional"
    assert "4.99 is below 5, the exchange's minimum for ACME" in str(refused.value)


def test_a_run_does_not_go_on_with_another_least_notional(tmp_path):
    config, records = given(tmp_path, "")
    begun = SimpleNamespace(
        config=config, market=[SAID], rules=SimpleNamespace(instruments=records)
    )
    begun.rules.instruments = with_facts(records, config, [SAID])
    require_same_facts(begun)
    begun.market = [InstrumentFacts("ACME", *STEPS, min_notional=Decimal(6))]
    with pytest.raises(UsageError, match=r"min_notional of ACME was 5 .* says 6 now: .*--new"):
        require_same_facts(begun)


@pytest.mark.parametrize(
    ("account", "key", "said"),
    [
        ("", "", None),
        ("USD", "", None),
        ("EUR", ", currency: EUR", None),  # the user's word
        ("EUR", "", "quotes ACME in USD, the account is in EUR"),
    ],
)
def test_prices_of_another_currency_are_not_taken_for_the_accounts(tmp_path, account, key, said):
    config, _ = given(tmp_path, key)
    broker = config.broker.model_copy(update={"currency": account or None})
    config = config.model_copy(update={"broker": broker})
    if said is None:
        require_currencies(config, [SAID])
        return
    with pytest.raises(ConfigError, match=said) as refused:
        require_currencies(config, [SAID])
    assert refused.value.key == "instruments.0.currency"


def test_prices_of_two_currencies_need_a_word_about_it(tmp_path):
    config, _ = given(tmp_path, "")
    two = config.model_copy(update={"instruments": config.instruments * 2})
    require_currencies(two, [SAID, SAID])
    with pytest.raises(ConfigError, match="quotes ACME in USD, others in BTC"):
        require_currencies(two, [SAID, InstrumentFacts("ETH", currency="BTC")])
