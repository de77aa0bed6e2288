"""A folder with config and bars of a small scene, and real `trader` processes run in it.

Law: nothing is doubled: a real command line, files, and a state folder of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.harness import crash_scenes
from tests.harness.warm import Process, as_from_a_terminal

ROOT = Path(__file__).resolve().parents[2]


class Desk:
    """The scene `pair`, 60 bars long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        words = {**crash_scenes.USUAL, **crash_scenes.SCENES["pair"][1]}
        (folder / "crash.yaml").write_text(crash_scenes.CONFIG.format(**words))
        (folder / "bars.csv").write_text(crash_scenes.bars_text(2, 60, ("A", "B")))

    def start(self, *words: str) -> Process:
        """`trader` with `words`, with its output in pipes."""
        streams = (subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
        return Process(words, cwd=self.folder, env=self._environ(), streams=streams)

    def start_cold(self, *words: str) -> "subprocess.Popen[str]":
        """The same from scratch: with the seconds, and the moments, of a start."""
        return subprocess.Popen(
            [sys.executable, "-m", "trader", *words],
            cwd=self.folder,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=as_from_a_terminal,  # noqa: PLW1509 - no thread of ours runs
        )

    def _environ(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        return {**os.environ, "TRADER_HOME": str(self.folder / "home"), "PYTHONPATH": path}

    def paper(self, pace: str = "max") -> Process:
        """`trader paper` over the bars."""
        return self.start("paper", "-c", "crash.yaml", "--pace", pace, "--json")

    def run(self, *words: str) -> tuple[int, str, str]:
        """`trader` with `words`, to its end."""
        return self.end(self.start(*words))

    def end(self, process: "Process | subprocess.Popen[str]") -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a process, once it is over."""
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err  # type: ignore[return-value]
