"""Which journal a user means.

Law: reads only. A folder, a journal file, a run id, the unique beginning of one, or `latest`;
anything else is a UsageError that says what there is.
"""

import os
from pathlib import Path

from trader.errors import UsageError
from trader.journal.store import FILE_NAME

LATEST = "latest"
NAMED = 3  # how many runs a message names


def find_journal(text: str, parent: Path = Path("runs")) -> Path:
    """The journal file of the run that `text` means; `parent` holds the run folders."""
    try:
        return _found(text, parent)
    except OSError as error:  # a name that no file can have, a folder that may not be entered
        raise UsageError(f"no run {text!r:.60} in {str(parent)!r:.60}: {error.strerror}") from None


def _found(text: str, parent: Path) -> Path:
    given = Path(text)
    if text and (os.sep in text or given.exists()):
        return _in(given)
    names = _with_journal(parent)
    if text == LATEST:
        if not names:
            raise UsageError(f"no run with a journal in {parent}; `trader paper -c FILE` makes one")
        return parent / names[-1] / FILE_NAME
    if text in names:
        return parent / text / FILE_NAME
    if (parent / text).is_dir() and text:
        return _in(parent / text)
    matches = [name for name in names if text and name.startswith(text)]
    if len(matches) == 1:
        return parent / matches[0] / FILE_NAME
    if matches:
        shown = ", ".join(matches[:NAMED]) + (", …" if len(matches) > NAMED else "")
        raise UsageError(f"{text!r} is the beginning of {len(matches)} runs: {shown}")
    there = f"the newest is {names[-1]}" if names else "there is none with a journal"
    raise UsageError(f"no run {text!r} with a journal in {parent}; {there}")


def _in(path: Path) -> Path:
    if path.is_file():
        return path
    journal = path / FILE_NAME
    if journal.is_file():
        return journal
    if path.is_dir():
        raise UsageError(f"{path} has no {FILE_NAME}: only paper runs keep a journal")
    raise UsageError(f"no run folder {path}")


def _with_journal(parent: Path) -> list[str]:
    """Names of the run folders that hold a journal, oldest first (names begin with the time)."""
    try:
        folders = [path for path in parent.iterdir() if (path / FILE_NAME).is_file()]
    except OSError:
        return []
    return sorted(path.name for path in folders)
