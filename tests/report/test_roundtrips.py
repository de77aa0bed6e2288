"""Round trips against hand-counted trades and a slow ledger."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report_kit import DAY_NS, FIRST_DAY, MINUTE_NS, SYMBOLS, ExampleRun
from trader.core.schema import FILL
from trader.report.roundtrips import round_trips

ONE_LOT = np.array([1.0, 0.1])


def fills(*rows):
    """FILL rows from (symbol, qty, price, commission, realized_pnl), one a minute."""
    found = np.zeros(len(rows), FILL)
    for row, values in zip(found, rows, strict=True):
        for name, value in zip(
            ("symbol", "qty", "price", "commission", "realized_pnl"), values, strict=True
        ):
            row[name] = value
    found["ts_ns"] = FIRST_DAY * DAY_NS + MINUTE_NS * np.arange(len(rows))
    found["slippage"] = 0.5
    found["unit_value"] = 1.0
    return found


def booked(orders):
    """Fills of (symbol, lots, price), their realised P&L from an average-price ledger."""
    held, average, rows = [0.0, 0.0], [0.0, 0.0], []
    for symbol, lots, price in orders:
        qty, before = lots * ONE_LOT[symbol], held[symbol]
        realized = 0.0
        if before * qty >= 0.0:
            paid = abs(before) * average[symbol] + abs(qty) * price
            average[symbol] = paid / (abs(before) + abs(qty))
        else:
            closed = min(abs(qty), abs(before))
            realized = closed * (price - average[symbol]) * np.sign(before)
            if abs(qty) > abs(before):
                average[symbol] = price
        held[symbol] = round((before + qty) / ONE_LOT[symbol]) * ONE_LOT[symbol]
        rows.append((symbol, qty, price, abs(lots) * 0.25, realized))
    return fills(*rows)


def slow_trades(records):
    """(symbol, largest qty, cash made, commission) of each closed trade, and how many are open.

    A loop over fills; the cash that changed hands between flat and flat is the gross P&L.
    """
    trades, closed = {}, []
    for record in records:
        symbol, left = int(record["symbol"]), float(record["qty"])
        lot = ONE_LOT[symbol]
        while abs(left) > lot / 2:
            trade = trades.setdefault(symbol, {"held": 0.0, "top": 0.0, "cash": 0.0, "costs": 0.0})
            turns = trade["held"] * left < 0 and abs(left) > abs(trade["held"]) + lot / 2
            take = -trade["held"] if turns else left
            trade["held"] += take
            trade["top"] = max(trade["top"], abs(trade["held"]))
            trade["cash"] -= take * float(record["price"])
            trade["costs"] += take / float(record["qty"]) * float(record["commission"])
            left -= take
            if abs(trade["held"]) < lot / 2:
                done = trades.pop(symbol)
                closed.append((symbol, done["top"], done["cash"], done["costs"]))
    return closed, len(trades)


def test_two_entries_and_one_exit_make_one_trade():
    records = fills(
        (0, 100.0, 10.0, 1.0, 0.0), (0, 50.0, 13.0, 0.5, 0.0), (0, -150.0, 12.0, 1.5, 150.0)
    )
    found = round_trips(records, ONE_LOT)
    assert found.open_count == 0
    (trade,) = found.closed
    assert (trade["side"], trade["qty"], trade["fills"]) == (1, 150.0, 3)
    assert trade["entry_price"] == pytest.approx((1000 + 650) / 150)
    assert trade["exit_price"] == 12.0
    assert trade["gross_pnl"] == 150.0
    assert trade["commission"] == 3.0
    assert trade["pnl"] == 147.0
    assert trade["return_frac"] == pytest.approx(147.0 / 1650.0)
    assert trade["duration_s"] == 120.0
    assert trade["entry_ns"] == records["ts_ns"][0]
    assert trade["exit_ns"] == records["ts_ns"][2]


def test_reversal_fill_is_split_and_shares_its_costs_by_quantity():
    found = round_trips(
        fills(
            (0, 100.0, 10.0, 1.0, 0.0), (0, -300.0, 11.0, 6.0, 100.0), (0, 200.0, 9.0, 4.0, 400.0)
        ),
        ONE_LOT,
    )
    first, second = found.closed
    assert (first["side"], first["qty"], first["pnl"]) == (1, 100.0, 100.0 - 1.0 - 2.0)
    assert (first["entry_price"], first["exit_price"]) == (10.0, 11.0)
    assert (second["side"], second["qty"], second["pnl"]) == (-1, 200.0, 400.0 - 4.0 - 4.0)
    assert (second["entry_price"], second["exit_price"]) == (11.0, 9.0)
    assert (first["fills"], second["fills"]) == (2, 2)


def test_trade_that_is_still_open_is_counted_and_not_listed():
    found = round_trips(
        fills((0, 10.0, 5.0, 0.0, 0.0), (0, -10.0, 6.0, 0.0, 10.0), (0, -5.0, 6.0, 0.0, 0.0)),
        ONE_LOT,
    )
    assert len(found.closed) == 1
    assert found.open_count == 1


def test_symbols_are_kept_apart_and_trades_sorted_by_their_end():
    found = round_trips(
        fills(
            (0, 10.0, 5.0, 0.0, 0.0),
            (1, -2.0, 50.0, 0.0, 0.0),
            (1, 2.0, 49.0, 0.0, 2.0),
            (0, -10.0, 6.0, 0.0, 10.0),
        ),
        ONE_LOT,
    )
    assert found.closed["symbol"].tolist() == [1, 0]
    assert found.closed["side"].tolist() == [-1, 1]


def test_float_dust_of_fractional_lots_does_not_keep_a_trade_open():
    buys = [(1, 0.1, 10.0, 0.0, 0.0)] * 3
    assert 0.1 + 0.1 + 0.1 != 0.3
    found = round_trips(fills(*buys, (1, -0.3, 10.0, 0.0, 0.0)), ONE_LOT)
    assert (len(found.closed), found.open_count) == (1, 0)


def test_no_fills_make_no_trades():
    found = round_trips(np.zeros(0, FILL), ONE_LOT)
    assert (len(found.closed), found.open_count) == (0, 0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(-4, 4).filter(bool), st.floats(9.0, 11.0, width=32)
        ),
        max_size=30,
    )
)
def test_round_trips_equal_the_slow_ledger(orders):
    records = booked(orders)
    found = round_trips(records, ONE_LOT)
    closed, still_open = slow_trades(records)
    assert found.open_count == still_open
    assert len(found.closed) == len(closed)
    for symbol in (0, 1):
        mine = found.closed[found.closed["symbol"] == symbol]
        expected = np.array([trade[1:] for trade in closed if trade[0] == symbol])
        as_found = np.array([mine["qty"], mine["gross_pnl"], mine["commission"]]).T
        assert np.allclose(as_found, expected.reshape(-1, 3), rtol=0.0, atol=1e-9)


def test_round_trips_of_a_real_run_add_up_to_its_account():
    run = ExampleRun(days=6)
    result = run.result()
    trips, account = result.trips, result.account
    assert len(trips.closed) > 20
    held = np.count_nonzero(result.positions["qty"])
    assert trips.open_count == held
    flat = np.flatnonzero(result.positions["qty"] == 0.0)
    for symbol in flat:
        mine = trips.closed[trips.closed["symbol"] == symbol]
        realized = result.positions["realized_pnl"][symbol]
        assert mine["gross_pnl"].sum() == pytest.approx(realized)
    assert result.fills["commission"].sum() == pytest.approx(float(account["commission"]))
    assert set(trips.closed["symbol"]) == set(range(len(SYMBOLS)))
    assert (trips.closed["exit_ns"] >= trips.closed["entry_ns"]).all()
