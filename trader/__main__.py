"""The process: `trader kill` goes straight to its own module, everything else to the command line.

Law: nothing but `sys` is imported before `kill` is dispatched. A stop button must not wait for
libraries, and must still work when one of them is broken.
"""

import sys

ALLOCATIONS = 50_000  # between two searches for cycles: imports make few and allocate much


def main() -> int:
    """Run the command in `sys.argv`; the exit code of the process."""
    code = _run()
    # Python remembers a Ctrl-C that struck inside `exec` of a text (dataclasses, Numba) although
    # it was caught, and would end by SIGINT instead of `code`. The next `exec` makes it forget.
    exec("")  # noqa: S102 - of nothing
    _ignore_ctrl_c()
    import gc

    gc.freeze()  # the process ends: a last search for cycles among all modules costs 0.2 s
    return code


def _ignore_ctrl_c() -> None:
    """A further press while Python takes itself down would end it by the signal."""
    import contextlib
    import signal

    with contextlib.suppress(ValueError):  # not the main thread: no signals come here
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run() -> int:
    if sys.argv[1:2] == ["kill"]:
        from trader.safety import kill

        return kill.main(sys.argv[2:])
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
