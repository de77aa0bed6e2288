"""How many cases a test tries in each tier: `make quick`, `make test`, `make trials`."""

import os

TIER = os.environ.get("TRADER_TEST_TIER", "test")
SHARES = {"quick": 20, "test": 6, "trials": 1}  # one in so many


def cases(number: int, fewest: int = 5) -> int:
    """`number` in `make trials`, and a share of it in the other tiers."""
    return max(min(number, fewest), number // SHARES[TIER])
