"""The modules on which the stop, the limits and the close of a live bar rest, with their tests.

`make coverage` wants every branch of them run, `make mutation` nine in ten mistakes noticed.
"""

FINALISER = ("tests/feeds/test_finaliser.py", "tests/feeds/test_finaliser_cases.py")

PROTECTED = {
    "trader/safety/gate.py": ("tests/safety/test_gate.py",),
    "trader/safety/latch.py": ("tests/safety/test_latch.py",),
    "trader/safety/codes.py": ("tests/safety/test_codes.py",),
    "trader/safety/kill.py": ("tests/safety/test_kill.py", "tests/safety/test_strangers.py"),
    "trader/safety/kill_args.py": ("tests/safety/test_kill.py",),
    "trader/core/risk.py": ("tests/risk/test_risk_steps.py", "tests/core/test_scenarios.py"),
    "trader/exact.py": ("tests/risk/test_risk_api.py",),
    "trader/risk.py": ("tests/risk/test_risk_api.py",),
    "trader/feeds/finaliser.py": FINALISER,
    "trader/feeds/finaliser_events.py": FINALISER,
    "trader/feeds/final_bars.py": FINALISER,
}
