"""What the words after `trader kill` mean, or why they cannot be meant.

Law: standard library only, and as light as the command. Decides nothing but that: a reason may be
any text or none, a code its name or number, a run the beginning of its id. A stop never refuses
for a missing reason; what is doubtful about its scope or code is refused: nothing was stopped.
"""

import argparse
import os
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from trader.safety import codes, latch, pending, registry, statedir

_TAKES_TEXT = ("--reason", "--code", "--run")
_SHORT = {"-r": "--reason"}
NO_REASON = "no reason given"
_MARK = "="  # before each text, so that argparse takes none for an option or for its own "--"


class KillRequest(NamedTuple):
    """A stop that can be carried out."""

    reason: str
    code: int
    run_id: str  # "" for everything
    flatten: bool
    as_json: bool


class BadArguments(Exception):
    """Why not, in lines for a terminal."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadArguments(f"{self.format_usage()}{self.prog}: error: {pending.shown(message)}\n")


def parse(argv: Sequence[str], home: str) -> KillRequest | None:
    """What `argv` asks for on that state folder; None where it asked for help, and got it.

    Raises `Refused`.
    """
    try:
        found = _parser().parse_args(_joined(argv))
    except SystemExit:
        return None
    run_id, unknown = _run_meant(found.run, home)
    wrong = _refusal(found) or unknown
    if wrong:
        raise BadArguments(f"trader kill: error: {wrong}\n")
    reason = found.reason if found.reason.strip() else NO_REASON
    return KillRequest(reason, _code(found), run_id, found.flatten, found.json)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="trader kill",
        description="Stop every run at once, or one. It stays stopped until `trader rearm`.",
        epilog="Exit codes: 0 durable and every run past its barrier; 2 usage, nothing stopped; "
        "9 stopped, not durable; 10 a run could not be stopped.",
        allow_abbrev=False,
    )
    parser.add_argument("-r", "--reason", type=_unmarked, nargs="?", const="", default="",
                        metavar="TEXT", help="why, in your words; it is kept (default: "
                        f"{NO_REASON})")  # fmt: skip
    parser.add_argument("--code", type=_unmarked, help=f"one of {', '.join(latch.CODES)}, or its "
                        "number (default MANUAL_STOP, or the one the reason names)")  # fmt: skip
    parser.add_argument("--run", type=_unmarked, action="append", default=[], metavar="ID",
                        help="stop this run only (default: everything); the beginning of its id "
                        "will do")  # fmt: skip
    parser.add_argument("--flatten", action="store_true", help="close positions, not only orders")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _joined(argv: Sequence[str]) -> list[str]:
    """`--reason TEXT` as one marked word: a reason may begin with a dash ("-5 % in a minute")."""
    words, rest = [], list(argv)
    while rest:
        name, equals, text = rest.pop(0).partition("=")
        name = _SHORT.get(name, name)
        if name in _TAKES_TEXT and (equals or rest):
            words.append(f"{name}={_MARK}{text if equals else rest.pop(0)}")
        else:
            words.append(name + equals + text)
    return words


def _unmarked(word: str) -> str:
    return word.removeprefix(_MARK)


def _refusal(asked: argparse.Namespace) -> str:
    """Why a code cannot be meant; "" when it can."""
    if asked.code is not None and not codes.given_code(asked.code):
        import difflib

        near = difflib.get_close_matches(asked.code.upper(), latch.CODES, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"--code {pending.shown(asked.code)}: not one of {', '.join(latch.CODES)}{hint}"
    return ""


def _run_meant(named: list[str], home: str) -> tuple[str, str]:
    """The run that `--run` names, "" for everything; and why it cannot be meant, "" if it can."""
    if not named:
        return "", ""
    if len(named) > 1:
        return "", "--run is there twice; leave it out to stop everything, or call once for each"
    (name,) = named
    if statedir.is_run_name(name) and os.path.isdir(statedir.run_folder(home, name)):
        return name, ""
    listed = [run.run_id for run in registry.all_runs(home) if registry.is_listed(run)]
    begun = [run_id for run_id in listed if name and run_id.startswith(name)]
    if len(begun) == 1:
        return begun[0], ""
    what = "no such run" if not begun else f"{len(begun)} runs begin so"
    known = ", ".join(listed) or "none"
    return "", (
        f"--run {pending.shown(name)}: {what} in {home} (not ended: {known}); "
        "leave --run out to stop everything"
    )


def _code(asked: argparse.Namespace) -> int:
    given = codes.given_code(asked.code or "")
    return given or codes.named_code(asked.reason) or latch.CODES["MANUAL_STOP"]
