"""Prices beside the ticks of the config: told, or refused where no price is left."""

import pytest

from tests.feeds_kit import GOOD, config_of
from trader.errors import ConfigError
from trader.feeds.feed import load_history


def warnings(tmp_path, tick):
    path = tmp_path / "bars.csv"
    path.write_text(GOOD.replace("1.5", "1.507"))
    setting = f"instruments=[{{symbol: ACME, tick_size: {tick}}}]"
    return load_history(config_of(path, setting)).quality.warnings


@pytest.mark.parametrize("tick", ["0", "0.001", "1e-9"])
def test_closes_on_their_ticks_are_no_matter(tmp_path, tick):
    assert warnings(tmp_path, tick) == []


def test_closes_beside_their_ticks_are_told_with_one_of_them(tmp_path):
    (told,) = warnings(tmp_path, "0.01")
    assert "closes of ACME are no multiples of its tick_size 0.01 (such as 1.507)" in told
    assert "rounded to it, against the order" in told


def test_a_tick_above_the_price_is_an_error_of_the_config(tmp_path):
    with pytest.raises(ConfigError, match=r"ACME costs 1.507 .*, less than one tick of 5") as c:
        warnings(tmp_path, "5")
    assert c.value.key == "instruments.0.tick_size"
