"""The run folder as a place: its name, its atomic appearance, writing one file into it.

Law: a folder under its final name is complete. A backtest fills `.<run id>.partial` beside it
and renames; a run that dies leaves only the partial one, which `trader runs list` names. The
partial folder also reserves the name, so two runs of one second get two names. A paper run must
be found while it lives: `create_live` makes the folder under its final name at once.
"""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trader.errors import TraderError, UsageError

PARTIAL_SUFFIX = ".partial"
LONGEST_NAME = 80
RUN_ID = re.compile(r"^\d{8}T\d{6}Z-[a-z]+-.+$")
MOST_PER_SECOND = 10_000  # names tried before something else must be wrong


@dataclass(frozen=True)
class RunFolder:
    """A folder being filled. `path` is where to write now, `final` where it will be found."""

    run_id: str
    path: Path
    final: Path

    def publish(self) -> Path:
        """Give the complete folder its final name; returns it."""
        if self.path != self.final:
            try:
                self.path.rename(self.final)
            except OSError as error:
                raise cannot_write(self.final, error) from error
        return self.final

    def discard(self) -> None:
        """Remove an unpublished folder and all in it; a live or published one is kept."""
        if self.path != self.final:
            shutil.rmtree(self.path, ignore_errors=True)


def create_partial(parent: Path, command: str, name: str, started_at: datetime) -> RunFolder:
    """Reserve a new run id under `parent` (made if missing) and its partial folder."""
    return _reserve(parent, run_id_stem(command, name, started_at), live=False)


def create_live(
    parent: Path,
    command: str,
    name: str,
    started_at: datetime,
    is_free: Callable[[str], bool] = lambda _: True,
) -> RunFolder:
    """Reserve a new run id under `parent` and make its folder under the final name at once.

    `is_free` says whether a run id is free elsewhere, too.
    """
    return _reserve(parent, run_id_stem(command, name, started_at), live=True, is_free=is_free)


def run_id_stem(command: str, name: str, started_at: datetime) -> str:
    """`20190211T143100Z-backtest-demo`: sorts by time, safe as a file name anywhere."""
    stamp = started_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:LONGEST_NAME] or "run"
    return f"{stamp}-{command}-{slug}"


def _reserve(
    parent: Path, stem: str, live: bool, is_free: Callable[[str], bool] = lambda _: True
) -> RunFolder:
    parent = parent.absolute()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, MOST_PER_SECOND):
            run_id = stem if number == 1 else f"{stem}-{number}"
            folder = _try_to_make(parent, run_id, live) if is_free(run_id) else None
            if folder is not None:
                return folder
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"cannot make run folders in {parent}: a file is in the way; "
            "choose another folder with --out"
        ) from error
    except OSError as error:
        raise cannot_write(parent, error) from error
    raise TraderError(f"no free run name {stem}-… in {parent}; choose another folder with --out")


def _try_to_make(parent: Path, run_id: str, live: bool) -> RunFolder | None:
    """Make the folder unless the id is taken. `mkdir` decides races between processes."""
    final = parent / run_id
    partial = parent / f".{run_id}{PARTIAL_SUFFIX}"
    if final.exists():
        return None
    try:
        partial.mkdir()
    except FileExistsError:
        return None
    if live:
        try:
            final.mkdir()
        except FileExistsError:
            return None
        finally:
            partial.rmdir()
        return RunFolder(run_id, final, final)
    if final.exists():  # published by another run after we looked
        partial.rmdir()
        return None
    return RunFolder(run_id, partial, final)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a whole file or none: beside its place first, then renamed into it."""
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> TraderError:
    """The error of a failed write, with what to do about it."""
    return TraderError(
        f"cannot write {path}: {error.strerror or error}; free some space, or choose another "
        "folder with --out"
    )
