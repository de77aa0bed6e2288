"""The modules on which the stop and the limits rest, and the tests that must notice any mistake.

`make coverage` wants every branch of them run, `make mutation` nine in ten mistakes noticed.
"""

PROTECTED = {
    "trader/safety/gate.py": ("tests/safety/test_gate.py",),
    "trader/safety/latch.py": ("tests/safety/test_latch.py",),
    "trader/safety/codes.py": ("tests/safety/test_codes.py",),
    "trader/safety/kill.py": ("tests/safety/test_kill.py", "tests/safety/test_strangers.py"),
    "trader/safety/kill_args.py": ("tests/safety/test_kill.py",),
    "trader/core/risk.py": ("tests/risk/test_risk_steps.py", "tests/core/test_scenarios.py"),
    "trader/exact.py": ("tests/risk/test_risk_api.py",),
    "trader/risk.py": ("tests/risk/test_risk_api.py",),
}
