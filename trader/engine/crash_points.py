"""Named points of a paper run: where a crash must leave nothing lost and nothing doubled.

Law: a run says where it is and does not care who listens. The crash harness replaces `observer`
by one that ends the process there; in a real run it does nothing.
"""

from collections.abc import Callable

NAMES = (
    "before_inputs",
    "after_inputs",  # bars and actions are on disk
    "after_outputs",  # decisions and intents are on disk, nothing is sent
    "before_send",
    "after_send",  # sent, and not yet recorded as sent
    "before_outcomes",
    "after_outcomes",
    "before_cancel_intent",
    "after_cancel_intent",
    "before_snapshot",
    "after_snapshot",
    "after_resume_record",
    "during_recovery",  # between two recovered steps
    "before_end",
    "after_end",
    "after_pack",  # what the snapshot left behind lies packed
)


def _nobody(name: str) -> None:
    """Nobody listens."""


observer: Callable[[str], None] = _nobody


def reached(name: str) -> None:
    """The run is at `name`, one of NAMES."""
    observer(name)
