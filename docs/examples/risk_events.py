"""Risk events and the emergency stop. The stop is real: set `TRADER_HOME` to an empty folder first.

ORDER_SIZE_LIMIT MARKET_VOLATILITY True True
"""

import asyncio

from trader import KillSwitchReason, RiskEvent, RiskEventHandler, StopReport, emergency_stop

heard: list[str] = []


async def main() -> tuple[StopReport, StopReport]:
    denied = asyncio.Event()

    async def when_denied(event: RiskEvent) -> None:  # in this loop; a plain function: on a thread
        heard.append(event.details["reason"])
        denied.set()

    handler = RiskEventHandler()  # RiskEventHandler(lease) in a runner: its gate is shut first
    handler.register_callback("order_denied", when_denied)
    handler.emit("order_denied", symbol="ACME", reason="ORDER_SIZE_LIMIT")  # returns at once
    await asyncio.wait_for(denied.wait(), 10)

    report = handler.emergency_stop("too wild", KillSwitchReason.MARKET_VOLATILITY, symbol="ACME")
    again = emergency_stop("too wild", "MARKET_VOLATILITY")  # the same stop, no second kill
    return report, again


report, again = asyncio.run(main())
print(*heard, report.code.name, report.durable, again.kill_id == report.kill_id)
