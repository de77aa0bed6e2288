"""`python tests/harness/kill_start.py --trials N`: a kill while the real `trader paper` starts.

Each trial: a new state folder and a new run, `trader paper` over bars that come at once, and the
real `trader kill` at a moment of its start: a third while it loads, a third between taking the run
and its first order, a third while it trades. Exit 1 on any violation:

    an order at or after the acknowledgement; a run that goes on; another exit code than 7; a
    later start that is not refused; after the re-arm, a run that does not end or is not sound
"""

import argparse
import collections
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.harness.desk import Desk  # noqa: E402

KILLED = 7
PACE = "6000"  # times real time: the 60 bars take 0.6 s
KILL_TAKES_S = 0.03  # from Enter to the page byte
# What the kill met, told by what the run left behind.
REFUSED, OPENED, TRADING, OVER = "before it armed", "while it opened", "while it traded", "over"


class StartingRun(Desk):
    """A desk, and what its run and its state folder tell of a kill."""

    def paper_cold(self) -> "subprocess.Popen[str]":
        """`trader paper`, the whole of its start included."""
        return self.start_cold("paper", "-c", "crash.yaml", "--pace", PACE, "--json")

    def sent_ns(self) -> list[int]:
        """When each order left, on the monotonic clock; empty before there is a journal."""
        found = list(self.folder.glob("runs/*/journal.sqlite"))
        if not found:
            return []
        connection = sqlite3.connect(f"file:{found[0]}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT payload FROM records WHERE type = 'ORDER_SENT'")
            return [json.loads(text)["sent_mono_ns"] for (text,) in rows]
        finally:
            connection.close()

    def acknowledged_ns(self) -> int:
        """When the kill was acknowledged, on the same clock."""
        (line,) = (self.folder / "home" / "audit.jsonl").read_text().splitlines()
        return int(json.loads(line)["ack_mono_ns"])


def made(folder: Path) -> StartingRun:
    """A run in a new folder."""
    folder.mkdir()
    return StartingRun(folder)


def undisturbed_s(folder: Path) -> tuple[float, float, float]:
    """Seconds from Enter until a run that nobody kills takes its folder; to first, last order."""
    run = made(folder)
    began_ns = time.monotonic_ns()
    process = run.paper_cold()
    while not list(folder.glob("runs/*-paper-*")) and process.poll() is None:
        time.sleep(0.002)
    taken_ns = time.monotonic_ns()
    code, _, err = run.end(process)
    sent = run.sent_ns()
    if code or not sent:
        raise RuntimeError(f"an undisturbed run ended with {code}: {err}")
    first_ns, *_, last_ns = sorted(sent)
    return tuple((at - began_ns) / 1e9 for at in (taken_ns, first_ns, last_ns))


def trial(folder: Path, delay_s: float) -> tuple[str, list[str]]:
    """What a kill after `delay_s` met, and what was wrong."""
    run, wrong = made(folder), []
    process = run.paper_cold()
    time.sleep(delay_s)
    code, out, err = run.end(run.start_cold("kill", "--reason", "kill-start", "--json"))
    sent_before = run.sent_ns()
    if code != 0:
        wrong.append(f"kill exits {code}: {out}{err}")
    killed = json.loads(out)
    code, _, err = run.end(process)
    met = _met(run, sent_before, killed, code)
    if code != KILLED and met != OVER:
        wrong.append(f"killed {met}, the run exits {code}: {err}")
    scope = json.loads(next((run.folder / "home" / "kills").iterdir()).read_text())["scope"]
    if scope != "everything":
        wrong.append(f"the record of the kill was changed: its scope is {scope}")
    late = [at for at in run.sent_ns() if at >= run.acknowledged_ns()]
    if late:
        wrong.append(f"{len(late)} orders AFTER the acknowledgement")
    return met, wrong if met == REFUSED else wrong + _goes_on(run, killed["kill_id"])


def _met(run: StartingRun, sent_before: list[int], killed: dict[str, object], code: int) -> str:
    if code == 0:
        return OVER
    if sent_before:
        return TRADING
    return OPENED if killed["runs"] else REFUSED


def _goes_on(run: StartingRun, kill_id: str) -> list[str]:
    """A start under the kill is refused; after the re-arm the run ends and its journal is sound."""
    paper = ("paper", "-c", "crash.yaml", "--pace", "max", "--json")
    code, _, err = run.run(*paper)
    wrong = []
    if code != KILLED or "kill-start" not in err:
        wrong.append(f"a start under the kill exits {code}: {err}")
    rearm = ("rearm", kill_id, "--reason", "next")
    for words in (rearm, paper, ("audit", "verify"), ("replay",)):
        code, out, err = run.run(*words)
        if code:
            wrong.append(f"{' '.join(words)} exits {code}: {out}{err}")
    return wrong


def trials(folder: Path, count: int, seed: int) -> tuple["collections.Counter[str]", list[str]]:
    """`count` kills spread over a start: how often each moment was met, what was wrong."""
    chance, wrong = random.Random(seed), []
    taken_s, first_s, last_s = undisturbed_s(folder / "undisturbed")
    parts = ((0.0, taken_s), (taken_s, first_s), (first_s, last_s))
    delays = [
        max(0.0, chance.uniform(*parts[number % len(parts)]) - KILL_TAKES_S)
        for number in range(count)
    ]
    met: collections.Counter[str] = collections.Counter()
    for number, delay_s in enumerate(delays):
        moment, found = trial(folder / f"trial-{number}", delay_s)
        met[moment] += 1
        wrong += [f"trial {number}, {delay_s:.3f} s after Enter: {text}" for text in found]
    return met, wrong


def main(argv: list[str]) -> int:
    """The long form; prints what was met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kill-start-") as folder:
        met, wrong = trials(Path(folder), asked.trials, asked.seed)
    for text in wrong:
        print(f"VIOLATION {text}")
    moments = ", ".join(f"{count} {moment}" for moment, count in met.items())
    print(f"{asked.trials} kills of a starting run ({moments}): {len(wrong)} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
