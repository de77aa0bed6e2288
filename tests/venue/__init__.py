"""Exchanges on loopback that speak the documented protocols and misbehave on demand.

Programs of their own: `python -m tests.venue.binance --seed 7` prints its address as one JSON
line. Field names and types are facts of the exchanges' public pages (read 2026-11); every value is
ours.
"""
