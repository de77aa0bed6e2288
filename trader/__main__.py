"""The process: `trader kill` goes straight to its own module, everything else to the command line.

Law: nothing but `sys` is imported before `kill` is dispatched. A stop button must not wait for
libraries, and must still work when one of them is broken.
"""

import sys

ALLOCATIONS = 50_000  # between two searches for cycles: imports make few and allocate much
UNWRITTEN = 120  # as Python itself ends where the last output could not be written


def main() -> int:
    """Run the command in `sys.argv`; the exit code of the process."""
    if sys.argv[1:2] == ["kill"]:
        from trader.safety import kill

        return kill.main(sys.argv[2:])
    import atexit

    ended: list[int] = []
    atexit.register(_leave, ended)  # first, to be called last
    code = _run()
    ended.append(code)
    _ignore_ctrl_c()
    return code


def _leave(ended: list[int]) -> None:
    """End the process here, with the code that the command gave.

    What would come after is the taking down of modules and of what C++ libraries keep: 0.2 s for
    nothing, and now and then it ended the process by a signal ("terminate called"), or by SIGINT
    for a Ctrl-C that had been caught long before. Threads have ended, and `atexit` has called all
    others by now.
    """
    if not ended:  # an exception that nothing took: Python tells of it
        return
    import os

    code = ended[0]
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or UNWRITTEN
    os._exit(code)


def _ignore_ctrl_c() -> None:
    """A further press while Python takes itself down would end it by the signal."""
    import contextlib
    import signal

    with contextlib.suppress(ValueError):  # not the main thread: no signals come here
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run() -> int:
    import gc

    gc.set_threshold(ALLOCATIONS)
    try:
        from trader.cli import app

        return app.run(sys.argv[1:])
    except KeyboardInterrupt:  # while it imports; the commands see to theirs
        sys.stderr.write("interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
