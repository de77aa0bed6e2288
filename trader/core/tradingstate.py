"""ACTIVE → REDUCING → HALTED, as one transition table.

Law: HALTED absorbs whatever the market and the limits do; only REARM, an operator's record from
outside, leads out. Only the roll of the session leads back from REDUCING, and only where the
daily loss was what led there.
"""

import numpy as np

from trader.core.jit import inlined
from trader.core.schema import OnBreach, Reason, TradingState

ACTIVE = int(TradingState.ACTIVE)
REDUCING = int(TradingState.REDUCING)
HALTED = int(TradingState.HALTED)
KILL = int(OnBreach.KILL)
NONE = int(Reason.NONE)
BANKRUPT = int(Reason.BANKRUPT)
DAILY_LOSS_LIMIT = int(Reason.DAILY_LOSS_LIMIT)

SESSION_ROLL, BREACH, HALT, REARM = range(4)  # events

TRANSITIONS = np.array(
    # SESSION_ROLL  BREACH    HALT    REARM
    [
        [ACTIVE, REDUCING, HALTED, ACTIVE],  # from ACTIVE
        [ACTIVE, REDUCING, HALTED, REDUCING],  # from REDUCING
        [HALTED, HALTED, HALTED, ACTIVE],  # from HALTED
    ],
    dtype=np.int64,
)


@inlined
def breach_event(on_breach):
    """The event a crossed loss limit causes under its policy (OnBreach)."""
    return HALT if on_breach == KILL else BREACH


@inlined
def is_bankrupt(account):
    """Whether the run is over: no slice is taken any more."""
    return account["state_reason"] == BANKRUPT


@inlined
def change_state(account, event, reason):
    """Apply `event`, remember why and when; True if the state or its reason changed.

    A daily loss never takes the place of a reason that outlives the session; BANKRUPT takes that of
    any other.
    """
    before = account["trading_state"]
    cause = account["state_reason"]
    if event == SESSION_ROLL and cause != DAILY_LOSS_LIMIT:
        return False
    if event == BREACH and before == REDUCING and reason == DAILY_LOSS_LIMIT:
        return False
    if event == REARM and before != HALTED:
        return False
    after = TRANSITIONS[before, event]
    if after == before and (before != REDUCING or cause == reason):
        if reason != BANKRUPT or cause == BANKRUPT:
            return False
    account["trading_state"] = after
    account["state_reason"] = NONE if after == ACTIVE else reason
    account["state_since_ns"] = account["ts_ns"]
    return True
