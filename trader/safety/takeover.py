"""State folders of versions before the registry had a place of its own.

    runs/<run_id>/   then: the same path as a run folder, where TRADER_HOME was its grandparent
    registry/live-<run_id>/   now

Law: only what the registry itself made is moved, file by file; whatever else is in the folder (a
journal, results) stays where it is. PERMIT goes first and the page last, so that a
reader finds the old entry, halted, until the new one is whole. A run that is alive is left where
its process knows it.
"""

import contextlib
import os

from trader.safety import arming, latch, registry, statedir


def take_over(home: str) -> None:
    """Moves every entry of a dead run from the old place. One that cannot be moved is read there.

    OSError where the latch lock is not to be had.
    """
    if not statedir.old_entries(home):
        return
    with arming.LatchLock(home):
        for run_id in statedir.old_entries(home):
            with contextlib.suppress(OSError):
                if os.path.lexists(statedir.registry_folder(home, run_id)):
                    _drop_old_page(home, run_id)  # a move that was cut off at its end
                elif not registry.Run(home, run_id).alive:
                    _move(home, run_id)


def _move(home: str, run_id: str) -> None:
    old = statedir.old_folder(home, run_id)
    new = statedir.registry_folder(home, run_id)
    filling = os.path.join(os.path.dirname(new), f".taking-{run_id}")
    statedir.make_folder(filling)
    names = {name for name in os.listdir(old) if registry.is_ours(name)} - {
        latch.PAGE,
        latch.PERMIT,
    }
    for name in (latch.PERMIT, *sorted(names)):
        with contextlib.suppress(FileNotFoundError):  # moved before the move was cut off
            os.rename(os.path.join(old, name), os.path.join(filling, name))
    with contextlib.suppress(FileExistsError):
        os.link(os.path.join(old, latch.PAGE), os.path.join(filling, latch.PAGE))
    os.rename(filling, new)
    _drop_old_page(home, run_id)
    latch.sync_path(os.path.dirname(new))


def _drop_old_page(home: str, run_id: str) -> None:
    """The old name of a page that has been moved; the folder as well, where nothing is left."""
    old = statedir.old_folder(home, run_id)
    page, moved = (
        os.path.join(folder, latch.PAGE) for folder in (old, statedir.registry_folder(home, run_id))
    )
    if os.path.samefile(page, moved):
        os.unlink(page)
        with contextlib.suppress(OSError):  # not empty: it is a run folder as well
            os.rmdir(old)
