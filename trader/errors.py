"""The errors a user can meet, and the exit code of each.

    TraderError                1   something the tree below does not name
    ├── UsageError             2   the command line asks for something impossible
    ├── ConfigError            3   a config value, key, file or combination is wrong
    ├── DataError              4   market data failed the gate
    ├── ModelError             5   a model cannot be loaded, or answered nonsense
    ├── HaltedError            6   a risk limit halted the run
    ├── KilledError            7   killed, or a kill is latched
    └── VerificationError      8   replay, parity, look-ahead or audit did not match

Law: a message names the place, the value that was there, and the remedy. Business refusals
(a denied order) are values in the core and never appear here. This module imports nothing.
"""


class TraderError(Exception):
    """Any failure that is the outside world's and not our bug. `exit_code` is the process's."""

    exit_code = 1


class UsageError(TraderError):
    """The command line is wrong: an unknown run, a missing option, a folder in the way."""

    exit_code = 2


class ConfigError(TraderError):
    """The configuration is wrong, or asks for what the data or the model cannot give.

    `key` is the dotted config key at fault (`features.sma_fast.period`) where one is known; the
    command line turns it into file, line and column. `also` are further mistakes found with it.
    """

    exit_code = 3

    def __init__(
        self, message: str, key: str | None = None, also: "tuple[ConfigError, ...]" = ()
    ) -> None:
        super().__init__(message)
        self.key = key
        self.also = also


class DataError(TraderError):
    """Market data broke a rule of the data gate; the message names file, row and rule."""

    exit_code = 4


class ModelError(TraderError):
    """A model cannot be loaded or broke its contract; the message names the first bad row."""

    exit_code = 5


class HaltedError(TraderError):
    """A risk limit halted trading and the halt was still in force at the end."""

    exit_code = 6


class KilledError(TraderError):
    """The run was killed, or refuses to start because a kill is latched."""

    exit_code = 7


class VerificationError(TraderError):
    """A check of the past failed: replay, parity, look-ahead or the audit chain."""

    exit_code = 8


def needs_extra(extra: str, why: str = "") -> str:
    """What is said of an optional dependency that is not there; `why` as far as it is known."""
    known = f"{why}; " if why else ""
    return f"needs the extra trader[{extra}]: {known}pip install '.[{extra}]' in a clone of trader"
