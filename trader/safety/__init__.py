"""The kill switch: latch, gate, the right to run, and what a runner owes them.

A runner goes through these steps (`arm` and `RunInfo` are in `trader.safety.lease`):

    lease = arm(statedir.home_path(), run_id, info)  # run.lock, first look; KilledError: exit 7
    ...  # recover the journal; if lease.cancel_first: cancel before anything
    gate = lease.open_gate(checks, rate)  # second look, then the gate
    watchdog = Watchdog(lease, config.watchdog.soft_s, config.watchdog.hard_s)
    handler = RiskEventHandler(lease)

For each order it makes the intent durable and calls `gate.send(order, broker)`; nothing else
reaches the broker.

    outcome of send       SENT; ABORTED with a Reason; UNKNOWN: ask the broker, then
                          gate.reconciled(order_id, left); until then nothing is sent
    checks                per order None or a Reason's name; one that raises denies
    lease.stop_cause()    ask ten times a second. When it answers: record lease.kills(), cancel,
                          with lease.is_flatten_asked() close by gate.send_closing,
                          lease.close(), exit 7
    lease.trip(code, text)    stops everything (everything=False: this run), from any thread
    lease.write_status({...}) the keys of docs/kill-switch.md, and reason, since_ns,
                              last_bar_ns, journal_durable
"""
