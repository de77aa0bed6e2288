"""Prices beside the ticks of the config: told, or refused where no price is left."""

import pytest

from tests.core_kit import flat_bars
from tests.feeds_kit import GOOD, config_of
from trader.errors import ConfigError
from trader.feeds.feed import load_history
from trader.feeds.ticks import warn_of_ticks


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
    assert "closes of ACME are not multiples of its tick_size 0.01 (such as 1.507)" in told
    assert "rounded to it, against the order" in told


def test_a_tick_above_the_price_is_an_error_of_the_config(tmp_path):
    with pytest.raises(ConfigError, match=r"ACME costs 1.507 .*, less than one tick of 5") as c:
        warnings(tmp_path, "5")
    assert c.value.key == "instruments.0.tick_size"


def sentences(tmp_path, closes, tick, negative=False):
    setting = (
        f"instruments=[{{symbol: ACME, tick_size: {tick}, "
        f"allow_negative_prices: {str(negative).lower()}}}]"
    )
    path = tmp_path / "bars.csv"
    path.write_text(GOOD)
    return warn_of_ticks(config_of(path, setting), flat_bars(closes))


def test_a_price_of_very_many_ticks_is_on_them_or_beside_them(tmp_path):
    assert sentences(tmp_path, [1_500_106_000.0, 1_500_107_000.0], "1000") == []
    assert sentences(tmp_path, [64_005.5688, 64_005.5689], "0.0001") == []
    (told,) = sentences(tmp_path, [1_500_106_000.07, 1_500_107_000.03], "0.1")
    assert "not multiples of its tick_size 0.1 (such as 1500106000.07)" in told


def test_a_close_below_its_tick_is_told(tmp_path):
    (told,) = sentences(tmp_path, [0.02, 0.03, 0.004], "0.01")
    assert told == (
        "1 closes of ACME lie below one tick of 0.01 (the lowest 0.004): a sale there would round "
        "to nothing, so it fills beside its tick"
    )


def test_around_zero_a_price_below_its_tick_is_as_good_as_another(tmp_path):
    assert sentences(tmp_path, [0.0, -0.25, 0.25, 0.0, 0.0], "0.25", negative=True) == []
