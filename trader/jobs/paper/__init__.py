"""One paper run from start to end: what `trader paper` calls.

start.py    which run (a new one, or one that was cut off), its config, bars, rules
opening.py  the right to run, the journal, recovery; the gate opens last
trading.py  the loop with everything around it, until the feed ends or something stops it
ending.py   what a stop leaves: orders cancelled, kills on record, the run folder written
session.py  the four in order
right_to_run.py  that no other run of this name is alive in this folder
which_run.py  which run a start goes on with
exit_message.py  what is said before the process leaves at once
clock.py    the machine's clocks
"""
