"""What a broker outside showed, against what the records before it add up to."""

from typing import Any

from trader.journal.audit.orders import OrderFold
from trader.journal.records import number


def account_fault(fold: OrderFold, data: dict[str, Any]) -> str | None:
    """What is wrong with a RECONCILED; None if nothing is."""
    for client_id in data["missing"]:
        if client_id not in fold.orders:
            return f"the broker does not show order {client_id}, which has no ORDER_INTENT"
    return fold.position_fault(data["positions"]) or fold.cash_fault(number(data["cash"]))
