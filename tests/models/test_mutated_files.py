"""Damaged files of every format: a line, or the end of the process they are loaded in; never ours.

A batch of files is loaded in one process with a deadline. Where it dies or hangs, the file it
died of is given to a run as a user would: that ends with one line too.
"""

import hashlib
import json
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.model_files import FORMATS, NAMES, make_file
from tests.model_kit import make_bars, make_config
from tests.models.mutants import damaged_file
from trader.errors import ConfigError, ModelError
from trader.models.model import open_model, predict_actions

PER_FORMAT, TRIALS_PER_FORMAT = 10, 1_000
BATCH_S, LEAST_S = 0.5, 60
SUITE_SEED = 20261128


def corpus(folder: Path) -> Path:
    """A good file of every format, and the section that loads it."""
    whole = folder / "whole"
    whole.mkdir()
    for kind in FORMATS:
        section = make_file(kind, whole)
        path = Path(section["path"])
        path.with_name(f"{path.name}.section").write_text(json.dumps(section))
    return whole


def run_batch(whole: Path, first: int, last: int, seed: int) -> list[str]:
    """The lines of one process over the files from `first` up to `last`."""
    words = [sys.executable, "-m", "tests.models.mutants", str(whole), str(first), str(last)]
    limit_s = LEAST_S + BATCH_S * (last - first)
    try:
        done = subprocess.run(
            [*words, str(seed)], capture_output=True, timeout=limit_s, check=False
        )
        out = done.stdout
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
    return out.decode("utf-8", "replace").splitlines()


def as_a_run(whole: Path, number: int, seed: int) -> str:
    """What a run makes of a file that its batch did not survive."""
    name, data = damaged_file(whole, number, seed)
    path = whole.parent / f"deadly-{name}"
    path.write_bytes(data)
    section = json.loads((whole / f"{name}.section").read_text())
    section |= {"path": str(path), "sha256": hashlib.sha256(data).hexdigest()}
    config = make_config(section)
    try:
        model = open_model(config, NAMES, config.symbols)
        predict_actions(model, make_bars(8), np.ones((8, len(NAMES))))
    except (ModelError, ConfigError) as error:
        return str(error)
    return "answered"


def told_of(folder: Path, files: int, seed: int, runs: int) -> dict[int, str]:
    """number → outcome of every damaged file; the first `runs` deadly ones are run, too."""
    whole, found, first, deadly = corpus(folder), {}, 0, 0
    while first < files:
        for line in run_batch(whole, first, files, seed):
            number, _, said = line.partition(" ")
            if number.isdigit() and not line.endswith(" begins"):
                found[int(number)] = said
        reached = max(found, default=-1) + 1
        if reached < files:  # it died, or hung, of this one
            deadly += 1
            said = as_a_run(whole, reached, seed) if deadly <= runs else "not run"
            found[reached] = f"its process ended: {said}"
        first = max(found) + 1
    return found


def check(found: dict[int, str], files: int, seed: int) -> None:
    assert sorted(found) == list(range(files)), f"seed {seed}"
    refused = [said for said in found.values() if "answered" not in said]
    assert len(refused) > files // 3, f"seed {seed}: mutation does damage"
    for number, said in found.items():
        assert "Traceback" not in said, (seed, number, said)


@pytest.mark.process
def test_ten_damaged_files_of_each_format_end_with_a_line(tmp_path):
    files = PER_FORMAT * len(FORMATS)
    check(told_of(tmp_path, files, SUITE_SEED, 2), files, SUITE_SEED)


@pytest.mark.trials
@pytest.mark.timeout(3600)
def test_a_thousand_damaged_files_of_each_format_end_with_a_line(tmp_path):
    seed = secrets.randbits(31)
    print(f"seed {seed}")
    files = TRIALS_PER_FORMAT * len(FORMATS)
    found = told_of(tmp_path, files, seed, files)
    check(found, files, seed)
    deaths = [said for said in found.values() if "process ended" in said]
    print(f"{len(deaths)} of {files:,} ended their process")
