"""Every record of trading: bars, orders, positions, limits, rows of what happened. Frozen.

Law: records are packed, little-endian in practice, every field on an 8-byte boundary or packed
four and two below it, so that `record.tobytes()` has no hidden padding and can be hashed. Times
are UTC nanoseconds since 1970 (`ts_ns`), money is account currency, `qty` is signed (+ long or
buy, − short or sell). Fields are read and written by name: `position["qty"]`. The codes in
them are `trader.codes`. Every room reads both; what compiled code reads of them names its cache.
"""

import numpy as np


def _record(text: str) -> np.dtype:
    """The dtype that `text` lists: a type, fields of it in order, and after `#` what they mean."""
    rows = [line.partition("#")[0].split() for line in text.splitlines()]
    dtype = np.dtype([(name, f"<{row[0]}") for row in rows for name in row[1:]])
    assert dtype.itemsize % 8 == 0, "records stay multiples of 8 bytes"
    return dtype


BAR = _record("""
    i8  ts_ns    # CLOSE of the bar, UTC
    f8  open high low close volume
    f8  bid ask  # NaN where the source has none
    i4  symbol   # index into the config's instruments
    i4  flags    # of a live market: BarProof, BAR_HISTORY; above: the stretch
""")
# what may come beside an action: an input like it; NaN where it does not
REQUEST = _record("""
    f8  score                  # the probability or value behind the action
    f8  limit_price            # the entry is a limit order at this price
    f8  stop_loss take_profit  # prices of the exits of this entry
    f8  size                   # units, instead of position_sizing
""")
# one unbroken stretch of trading hours; a lunch break makes two of one session
SESSION = _record("""
    i8  open_ns close_ns
    i8  session  # trading date, days since 1970-01-01
""")
INSTRUMENT = _record("""
    f8  tick_size              # 0 rounds nothing
    f8  lot_size
    i8  restricted
    i8  allow_negative_prices  # prices may be 0 or less
    f8  multiplier             # units of its currency that a price of 1 is worth; 0 is 1
    f8  min_notional           # the exchange refuses orders worth less, in its currency; 0: none
    i8  rate                   # 0: account currency; n: × the close of symbol n − 1; −n: ÷ by it
    i8  future                 # opening it moves no cash, and short it costs no fee
""")
LIMITS = _record("""  # +inf where the config says `none`
    f8  max_position_size max_position_notional max_order_size max_order_notional min_order_size
    f8  max_daily_loss max_drawdown_frac max_position_concentration max_gross_exposure
    f8  price_collar kill_volatility
    f8  max_volume_participation max_spread_bps max_volatility throttle_max_order_size
    f8  max_orders_per_second max_orders_per_bar max_orders_per_day max_executions_without_review
    i8  open_guard_ns close_guard_ns volume_window volatility_window
    i8  on_daily_loss on_drawdown  # OnBreach
    i8  allow_margin
""")
SIZING = _record("""
    i8  mode                 # SizingMode
    f8  base_size
    f8  percent              # fraction of equity
    f8  target_volatility    # annualised fraction of equity
    f8  max_leverage
    f8  floor                # of `base_size` at a score of 0
    f8  rebalance_threshold  # +inf: a position of the right sign is left alone
    f8  annualisation        # sqrt(bars per year)
    i8  volatility_window allow_short
""")
BROKER = _record("""
    f8  cash commission_value commission_minimum slippage_value max_fill_participation
    i8  commission_type slippage_type fill time_in_force  # CommissionType, SlippageType, FillRule …
    i8  period_ns
    i8  intrabar limit_fill        # Intrabar, LimitFill
    i8  detail_period_ns           # of the finer bars of Intrabar DETAIL
    i8  converts                   # whether any instrument has a rate
    f8  initial_margin             # of notional, to open; 0: no margin account
    f8  maintenance_margin         # of notional; 0: nothing is liquidated
    f8  borrow_rate interest_rate  # a year
    f8  dividend_tax               # fraction withheld of a dividend received
""")
ENTRY = _record("""  # orders.entry: what an order that opens is sent as
    f8  offset_bps        # a limit better, a stop worse than the close
    f8  limit_offset_bps  # of a stop-limit: how far the limit lies beyond the stop
    i8  type              # OrderType
    i8  time_in_force     # −1: that of the broker
    i8  bars              # of TimeInForce BARS
""")
EXITS = _record("""
    f8  stop_value target_value trail_value
    f8  activate_at                             # gain that brings a trailing stop, in its unit
    i8  stop_type target_type trail_type        # ExitType
    i8  stop_period target_period trail_period  # bars of ATR
    i8  legs                                    # how many of the three there are
    i8  max_holding_bars cooldown_bars          # 0: none
""")
ACCOUNT = _record("""
    f8  cash equity start_equity session_open_equity peak_equity
    f8  realized_pnl             # gross of commission
    f8  commission
    f8  gross_exposure           # Σ |qty| × mark × unit value
    f8  worst_exposure           # Σ of the positions' `exposure`
    f8  worst_daily_loss worst_drawdown_frac
    i8  ts_ns                    # close of the last slice
    i8  session
    i8  session_cursor           # where in the session table the search goes on; not state
    i8  trading_state state_reason state_since_ns  # TradingState, Reason
    i8  next_order_id next_fill_id decisions
    i8  second orders_this_second orders_this_session  # rate windows, event time
    i8  executions
""")
POSITION = _record("""
    f8  qty avg_price realized_pnl
    f8  mark                    # last close, 0 before the first bar
    f8  reference               # the close before it, 0 before the second bar
    f8  bid ask                 # quote of the last bar, NaN if it had none
    f8  spread                  # last spread seen in price units, NaN before the first quote
    f8  volume                  # of the last bar
    f8  working_buy working_sell  # ≥ 0
    i8  mark_ns working_orders
    i8  bars                    # bars seen
    i8  volatile_bars           # in a row above kill_volatility
    i8  quiet_bars              # in a row far below it
    i8  orders_ns orders_this_bar  # a bar, and how many orders it had
    i8  resting                 # of its orders, those that are no plain market orders
    i8  exits                   # of those, exits that close what is held
    i8  entry_bar               # `bars` when it was last entered from flat
    i8  exit_bar                # `bars` when it last became flat
    i8  session                 # of its last bar
    f8  calm_low calm_high      # between these prices a bar meets nothing that rests
    f8  trail_best              # beyond it a trailing stop moves
    i8  delisted
    f8  unit_value              # account currency that a price of 1 is worth; 0 until it is known
    f8  exposure                # most that it is worth while what works fills one side first
    i8  is_financed             # of another currency, or a future: only its profit reaches cash
    f8  split_size              # what a split made of it and its orders: no breach of a limit
    i8  margin_call             # to be closed by the decision of this slice
    f8  borrow_due              # fee that ran up since the last roll of the session
""")
ORDER = _record("""
    i8  order_id
    i8  ts_ns                   # close of the bar it was decided on
    i8  decision                # number of that decision, from 0
    i8  session
    f8  qty filled_qty          # signed
    f8  filled_notional         # ≥ 0
    f8  ended_qty               # signed part that will not fill any more
    f8  commission
    f8  reference volume        # close and volume of the bar it was decided on
    f8  closing                 # signed part that only closes, and comes first
    f8  limit_price stop_price  # 0 where it has none
    f8  distance                # of an exit: from the entry price, or (trailing) from the best
    f8  activate_at             # of a trailing stop: the gain from which it is there
    f8  best                    # of a trailing stop: the best price since the entry
    i8  parent                  # order id of the entry an exit was sent with; 0 for none
    i8  bars_left               # of TimeInForce BARS
    i8  met_ns                  # bar that it was last filled by
    i8  ended_ns
    i4  symbol status type time_in_force kind leg unit  # codes: OrderStatus, OrderType …
    i4  reason                  # Reason it ended for
    i8  triggered               # a stop that the market has reached
""")
FILL = _record("""
    i8  ts_ns order_id fill_id
    f8  qty price commission
    f8  slippage      # account currency, ≥ 0: (price − reference) × qty
    f8  realized_pnl  # gross of commission
    f8  best_price    # what the kindest order of prices inside the bar would have given
    i4  symbol
    i4  flags leg kind  # FillFlag bits, Leg, OrderKind
    f8  unit_value    # of the position at that instant; not digested
""")
DECISION = _record("""
    i8  ts_ns
    f8  requested_qty approved_qty observed limit
    i4  symbol
    i2  reason
    i1  action    # TradingAction
    u1  throttle  # ThrottleStage bits
""")
THROTTLE = _record("""  # one row a stage that cut an order
    i8  decision
    f8  before after driver limit
    i4  symbol reason
""")
# a corporate action, in force from the first bar that opens at or after it
ADJUSTMENT = _record("""
    i8  ts_ns
    f8  value
    i4  symbol kind  # AdjustmentKind
""")
CARRY = _record("""  # where the book stands in what moves money by time
    i8  adjustments   # how many corporate actions are in force
    f8  interest_due  # ran up since the last roll of the session
""")
CASHFLOW = _record("""  # what moved without a trade
    i8  ts_ns
    f8  amount        # account currency, signed
    f8  qty           # units, signed
    f8  value         # split: new for one old; dividend: a unit; otherwise a price or rate
    f8  realized_pnl  # of a split: that of the part of a lot paid out
    i8  fill_id       # of the next fill after it
    i4  symbol kind   # −1: the whole account; CashflowKind
""")
EQUITY = _record("""  # one row a slice
    i8  ts_ns
    f8  equity cash gross_exposure
    i8  trading_state
""")
EVENT = _record("""
    i8  ts_ns order_id
    f8  value limit
    i4  symbol       # −1: the whole account
    i2  kind reason  # EventKind, Reason
""")
