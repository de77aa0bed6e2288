"""The modules on which the stop and the limits rest, and the tests that must notice any mistake.

`make coverage` wants every branch of them run, `make mutation` nine in ten mistakes noticed.
"""

PROTECTED = {
    "trader/safety/gate.py": ("tests/test_safety_gate.py",),
    "trader/safety/latch.py": ("tests/test_safety_latch.py",),
    "trader/safety/codes.py": ("tests/test_safety_codes.py",),
    "trader/safety/kill.py": ("tests/test_safety_kill.py", "tests/test_safety_strangers.py"),
    "trader/safety/killwords.py": ("tests/test_safety_kill.py",),
    "trader/core/risk.py": ("tests/test_risk_steps.py", "tests/test_core_scenarios.py"),
    "trader/exact.py": ("tests/test_risk_api.py",),
    "trader/risk.py": ("tests/test_risk_api.py",),
}
